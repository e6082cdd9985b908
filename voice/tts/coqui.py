"""Coqui speaks: neural voices of many kinds, from a folder or by name, on the processor or a CUDA device.

`coqui-tts` brings a gigabyte of its own, so it is an optional package, and this is the only module that imports it.
"""

import importlib.util
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.errors import ConfigError, MissingExtraError, VoiceError

if TYPE_CHECKING:
    from voice.audio.types import Samples

FAST_VOICE = "tts_models/en/ljspeech/vits"
"""What speaks English on a GPU unless another voice is set: a VITS, of one speaker."""

# What torch and Coqui raise for files that are no voice, and for texts that their voices cannot take.
FAILURES = (OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, AssertionError)

# In this order: what its trainer and its published voices call the weights.
_CHECKPOINTS = ("best_model.pth", "model.pth", "model_file.pth", "model_file.pth.tar")


class Coqui:
    """A loaded Coqui voice. Keeps the promises of `TextToSpeech`.

    Of a voice with several speakers it is the first. A sentence comes in one piece: XTTS, which does better, is in
    `voice.tts.xtts`.
    """

    def __init__(self, synthesizer: Any) -> None:
        self._synthesizer: Any = synthesizer
        self.sample_rate = int(synthesizer.output_sample_rate)
        speakers = getattr(synthesizer.tts_model, "speaker_manager", None)
        names = list(speakers.name_to_id) if speakers is not None and speakers.num_speakers > 1 else []
        self._speaker = names[0] if names else None

    @classmethod
    def load(cls, source: str, *, device: str = "auto") -> "Coqui":
        """Load a folder with a config.json and a checkpoint, or one of Coqui's names ("tts_models/en/vctk/vits").

        Raises `MissingExtraError` without coqui-tts, `ConfigError` for a name it does not know, and `VoiceError` for
        a folder that is no voice or a download that fails.
        """
        api = library()
        folder = Path(source)
        if not folder.is_dir():
            if "xtts" in source:
                raise ConfigError("XTTS is a choice of its own, as its licence has to be accepted: --voice xtts.")
            download(source)
            # By its name again, since some voices come with a vocoder of another one.
            where = {"model_name": source}
        else:
            config, checkpoint = find(folder)
            where = {"model_path": str(checkpoint), "config_path": str(config)}
        try:
            tts = api.TTS(**where, progress_bar=False)
            tts.to(torch_device(device))
        except FAILURES as error:
            raise VoiceError(f"The Coqui voice {source} cannot be loaded: {first_line(error)}.") from error
        return cls(tts.synthesizer)

    def synthesize(self, sentence: str) -> "Iterator[Samples]":
        import numpy as np

        if not self._knows_any_of(sentence):
            return
        try:
            samples = self._synthesizer.tts(sentence, speaker_name=self._speaker, split_sentences=False)
        except FAILURES as error:
            raise VoiceError(f"Coqui failed on {sentence[:40]!r}: {first_line(error)}.") from error
        # Coqui puts almost half a second of silence behind everything.
        yield np.clip(np.trim_zeros(np.asarray(samples, np.float32).reshape(-1), "b"), -1.0, 1.0)

    def _knows_any_of(self, sentence: str) -> bool:
        """Whether the voice's alphabet has something of `sentence`: with nothing at all to say, Coqui breaks."""
        if not any(character.isalnum() for character in sentence):
            return False
        tokenizer = getattr(self._synthesizer.tts_model, "tokenizer", None)
        # What is left of nothing is one blank, in voices that put blanks between letters.
        return tokenizer is None or len(tokenizer.text_to_ids(sentence)) > 1

    def close(self) -> None:
        self._synthesizer = None


def is_installed() -> bool:
    """Whether coqui-tts can be imported, as far as can be told without doing so."""
    return importlib.util.find_spec("TTS") is not None


def library() -> Any:
    """Coqui's own module. Raises `MissingExtraError`."""
    try:
        import TTS.api
    except ImportError as error:
        raise MissingExtraError(
            f"Coqui's voices need the package coqui-tts, which cannot be loaded ({first_line(error)}): run "
            "`pip install 'parley-assistant[coqui]'`, or choose --voice piper."
        ) from error
    return TTS.api


def find(folder: Path) -> tuple[Path, Path]:
    """The configuration and the weights in `folder`: Coqui itself wants both named. Raises `VoiceError`."""
    config = folder / "config.json"
    if not config.is_file():
        raise VoiceError(f"{folder} is no Coqui voice: there is no config.json in it.")
    named = [folder / name for name in _CHECKPOINTS if (folder / name).is_file()]
    checkpoints = named or [path for path in sorted(folder.glob("*.pth")) if "speaker" not in path.name]
    if not checkpoints:
        raise VoiceError(f"{folder} is no Coqui voice: there is no checkpoint (*.pth) in it.")
    return config, checkpoints[0]


def download(name: str) -> Path:
    """The folder of a voice that Coqui publishes, fetched by its own manager if it is not there yet.

    Raises `ConfigError` for a name it does not know, and `VoiceError` if it cannot be had.
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
            "network for its first use, or choose --voice piper."
        ) from error
    except (RuntimeError, ValueError, LookupError) as error:
        folder = manager.output_prefix / name.replace("/", "--")
        raise VoiceError(
            f"The Coqui voice {name} was not downloaded whole ({first_line(error)}): delete {folder} and try again."
        ) from error
    return Path(checkpoint).parent


def torch_device(device: str) -> str:
    """Where a voice runs, given the setting `device`."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    # What a voice is made of is not all there on Apple's.
    return "cpu" if device == "mps" else device


def is_on_gpu(device: str) -> bool:
    """Whether what the setting `device` means is a CUDA device, and there is one."""
    import torch

    return torch.cuda.is_available() and torch_device(device).startswith("cuda")


def first_line(error: BaseException) -> str:
    """What an error says first, without a full stop."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")
