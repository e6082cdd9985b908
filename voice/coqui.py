"""Coqui speaks: neural voices of many kinds, from a folder or by name, on the processor or a CUDA device.

`coqui-tts` brings a gigabyte of its own, so it is an optional package, and this is the only module that imports it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.errors import ConfigError, MissingExtraError, VoiceError

if TYPE_CHECKING:
    from voice.samples import Samples

NAMES_BEGIN = "tts_models/"

# In this order: what its trainer and its published voices call the weights.
_CHECKPOINTS = ("best_model.pth", "model.pth", "model_file.pth", "model_file.pth.tar")


class Coqui:
    """A loaded Coqui voice. Keeps the promises of `TextToSpeech`.

    Of a voice with several speakers it is the first. Only what is not streamed within a sentence is supported: XTTS,
    whose licence forbids commercial use, is refused.
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
        api = _library()
        folder = Path(source)
        try:
            if folder.is_dir():
                config, checkpoint = _find(folder)
                tts = api.TTS(model_path=str(checkpoint), config_path=str(config), progress_bar=False)
            else:
                _check_name(source, api)
                tts = api.TTS(model_name=source, progress_bar=False)
            tts.to(_torch_device(device))
        except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
            raise VoiceError(f"The Coqui voice {source} cannot be loaded: {_first_line(error)}.") from error
        return cls(tts.synthesizer)

    def synthesize(self, sentence: str) -> "Iterator[Samples]":
        import numpy as np

        if not self._knows_any_of(sentence):
            return
        try:
            samples = self._synthesizer.tts(sentence, speaker_name=self._speaker, split_sentences=False)
        except (RuntimeError, ValueError) as error:
            raise VoiceError(f"Coqui failed on {sentence[:40]!r}: {_first_line(error)}.") from error
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


def _library() -> Any:
    try:
        import TTS.api
    except ImportError as error:
        raise MissingExtraError(
            f"Coqui's voices need the package coqui-tts, which cannot be loaded ({_first_line(error)}): run "
            "`pip install 'parley-assistant[coqui]'`, or choose --voice piper."
        ) from error
    return TTS.api


def _find(folder: Path) -> tuple[Path, Path]:
    """The configuration and the weights in `folder`: Coqui itself wants both named. Raises `VoiceError`."""
    config = folder / "config.json"
    if not config.is_file():
        raise VoiceError(f"{folder} is no Coqui voice: there is no config.json in it.")
    named = [folder / name for name in _CHECKPOINTS if (folder / name).is_file()]
    checkpoints = named or [path for path in sorted(folder.glob("*.pth")) if "speaker" not in path.name]
    if not checkpoints:
        raise VoiceError(f"{folder} is no Coqui voice: there is no checkpoint (*.pth) in it.")
    return config, checkpoints[0]


def _check_name(name: str, api: Any) -> None:
    if "xtts" in name:
        raise ConfigError(
            "XTTS is not supported, as its licence forbids commercial use: choose a VITS voice of Coqui's."
        )
    known = api.TTS(progress_bar=False).manager.list_tts_models()
    if name not in known:
        raise ConfigError(
            f"There is no Coqui voice {name}: name a folder with a config.json and a checkpoint, "
            "or one of Coqui's names, like tts_models/en/ljspeech/vits."
        )


def _torch_device(device: str) -> str:
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    # What a voice is made of is not all there on Apple's.
    return "cpu" if device == "mps" else device


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")
