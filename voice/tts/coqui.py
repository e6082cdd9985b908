"""Coqui: neural voices of many kinds, from a folder or by name, on the CPU or a CUDA device.

`coqui-tts` with its dependencies takes a gigabyte. It is an optional package, imported only here and in `xtts`.
"""

import importlib.util
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.attachments.file_lookup import expand_user
from assistant.errors import ConfigError, MissingExtraError, VoiceError, first_line
from voice.tts.engine import VoiceEngine

if TYPE_CHECKING:
    from assistant.progress import Progress
    from assistant.settings import Settings
    from voice.audio.types import Samples

FAST_VOICE = "tts_models/en/ljspeech/vits"
"""The voice that "auto" selects for English on a GPU: a VITS model of one speaker."""

# Raised by torch and Coqui for files that are not a voice, and for texts that a voice cannot process.
COQUI_ERRORS = (OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, AssertionError)

# Names of the weights in order of preference: the trainer's, then those of published voices.
_CHECKPOINT_NAMES = ("best_model.pth", "model.pth", "model_file.pth", "model_file.pth.tar")


class Coqui:
    """A loaded Coqui voice. Implements `TextToSpeech`.

    A model with several speakers speaks with the first. A sentence is returned in one piece; `voice.tts.xtts` streams.
    """

    def __init__(self, synthesizer: Any, language: str = "") -> None:
        self._synthesizer: Any = synthesizer
        self.sample_rate = int(synthesizer.output_sample_rate)
        speakers = getattr(synthesizer.tts_model, "speaker_manager", None)
        names = list(speakers.name_to_id) if speakers is not None and speakers.num_speakers > 1 else []
        self._speaker = names[0] if names else None
        self.language = language

    @classmethod
    def load(cls, source: str, *, device: str = "auto") -> "Coqui":
        """Load a voice.

        Args:
            source: A folder with a config.json and a checkpoint, or one of Coqui's names ("tts_models/en/vctk/vits").
            device: "auto", "cpu", "cuda" or "cuda:1"; "mps" and "xpu" mean the CPU.

        Raises:
            MissingExtraError: coqui-tts is not installed.
            ConfigError: Coqui knows no voice of this name.
            VoiceError: The folder holds no voice, or the download failed.
        """
        api = import_library()
        folder = Path(source)
        if not folder.is_dir():
            if "xtts" in source:
                raise ConfigError("XTTS is a choice of its own, as its license has to be accepted: --voice xtts.")
            download(source)
            # Loaded by name all the same: some voices use the vocoder of another one.
            location = {"model_name": source}
        else:
            config, checkpoint = find_checkpoint(folder)
            location = {"model_path": str(checkpoint), "config_path": str(config)}
        try:
            tts = api.TTS(**location, progress_bar=False)
            tts.to(torch_device(device))
        except COQUI_ERRORS as error:
            raise VoiceError(f"The Coqui voice {source} cannot be loaded: {first_line(error)}.") from error
        return cls(tts.synthesizer, language_in_name(source))

    def synthesize(self, sentence: str) -> "Iterator[Samples]":
        import numpy as np

        if not self._can_speak(sentence):
            return
        try:
            samples = self._synthesizer.tts(sentence, speaker_name=self._speaker, split_sentences=False)
        except COQUI_ERRORS as error:
            raise VoiceError(f"Coqui failed on {sentence[:40]!r}: {first_line(error)}.") from error
        # Coqui appends almost half a second of silence.
        yield np.clip(np.trim_zeros(np.asarray(samples, np.float32).reshape(-1), "b"), -1.0, 1.0)

    def _can_speak(self, sentence: str) -> bool:
        """Tell whether the voice's alphabet has any character of `sentence`. Coqui fails on an empty input."""
        if not any(character.isalnum() for character in sentence):
            return False
        tokenizer = getattr(self._synthesizer.tts_model, "tokenizer", None)
        # Voices that put blanks between letters encode nothing as one blank.
        return tokenizer is None or len(tokenizer.text_to_ids(sentence)) > 1

    def close(self) -> None:
        self._synthesizer = None


def is_installed() -> bool:
    """Tell whether coqui-tts is installed, without importing it."""
    return importlib.util.find_spec("TTS") is not None


def import_library() -> Any:
    """Import Coqui's API module. Raises `MissingExtraError` if that fails."""
    try:
        import TTS.api
    except ImportError as error:
        raise MissingExtraError(
            f"Coqui's voices need the package coqui-tts, which cannot be loaded ({first_line(error)}): run "
            "`pip install 'parley-assistant[coqui]'`, or choose --voice hibari."
        ) from error
    return TTS.api


def find_checkpoint(folder: Path) -> tuple[Path, Path]:
    """Return the paths of the configuration and the weights in `folder`. Raises `VoiceError` if one is missing."""
    config = folder / "config.json"
    if not config.is_file():
        raise VoiceError(f"{folder} is not a Coqui voice: there is no config.json in it.")
    preferred = [folder / name for name in _CHECKPOINT_NAMES if (folder / name).is_file()]
    checkpoints = preferred or [path for path in sorted(folder.glob("*.pth")) if "speaker" not in path.name]
    if not checkpoints:
        raise VoiceError(f"{folder} is not a Coqui voice: there is no checkpoint (*.pth) in it.")
    return config, checkpoints[0]


def download(name: str) -> Path:
    """Return the folder of a voice that Coqui publishes; Coqui's model manager downloads it if needed.

    Raises:
        ConfigError: Coqui knows no voice of this name.
        VoiceError: The download failed or is incomplete.
    """
    from TTS.utils.manage import ModelManager

    manager = ModelManager(progress_bar=False)
    known = manager.list_tts_models()
    if name not in known:
        near = get_close_matches(name, known, 3) or [FAST_VOICE]
        raise ConfigError(
            f"There is no Coqui voice {name}: name a folder with a config.json and a checkpoint, or one of Coqui's "
            f"names, like {', '.join(near)}."
        )
    try:
        checkpoint, _, _ = manager.download_model(name)
    except OSError as error:
        raise VoiceError(
            f"The Coqui voice {name} cannot be downloaded, as the server that has it was not reached: connect to the "
            "network for its first use, or choose --voice hibari."
        ) from error
    except (RuntimeError, ValueError, LookupError) as error:
        folder = manager.output_prefix / name.replace("/", "--")
        raise VoiceError(
            f"The Coqui voice {name} was downloaded incompletely ({first_line(error)}): delete {folder} and try again."
        ) from error
    return Path(checkpoint).parent


def language_in_name(name: str) -> str:
    """Return the language in one of Coqui's names, "de" for "tts_models/de/thorsten/vits"; "" if it has none."""
    parts = name.split("/")
    code = parts[1].partition("-")[0] if len(parts) == 4 and parts[0] == "tts_models" else ""
    return code if len(code) == 2 else ""


def torch_device(device: str) -> str:
    """Return torch's name of the device on which a voice runs, given the setting `device`."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    # Some of the operators that voices need do not exist on MPS, and nobody has tried XPU.
    return "cpu" if device.startswith(("mps", "xpu")) else device


def is_on_gpu(device: str) -> bool:
    """Tell whether the setting `device` selects a CUDA device that exists."""
    import torch

    return torch.cuda.is_available() and torch_device(device).startswith("cuda")


def _load(argument: str, settings: "Settings", _progress: "Progress") -> Coqui:
    return Coqui.load(str(expand_user(argument)), device=settings.device)


ENGINE = VoiceEngine(
    kind="coqui", usage=("coqui:FOLDER_OR_NAME",), load=_load, is_installed=is_installed, argument="required"
)
