"""Writing what is spoken into WAV files, while it is being spoken."""

import wave
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Self

from assistant.errors import VoiceError

if TYPE_CHECKING:
    from voice.audio.types import Samples


class WavFile:
    """A WAV file of 16 bits, mono. To be used in a `with` block; a failed one leaves no half a file behind."""

    def __init__(self, target: Path | IO[bytes], sample_rate: int) -> None:
        """`target` may be a stream that can be wound back. Raises `VoiceError` if it cannot be written."""
        self._path = target.resolve() if isinstance(target, Path) else None
        if self._path is not None and self._path.exists() and not self._path.is_file():
            raise VoiceError(f"{target} is no ordinary file: name a .wav file, or - for standard output.")
        try:
            # Its own name only when it is whole: what was there before stays until then.
            self._file = self._unfinished.open("wb") if isinstance(target, Path) else target
        except OSError as error:
            raise VoiceError(f"{self._path} cannot be written: {error.strerror}.") from error
        self._wave = wave.open(self._file, "wb")  # noqa: SIM115
        self._wave.setnchannels(1)
        self._wave.setsampwidth(2)
        self._wave.setframerate(sample_rate)

    @property
    def _unfinished(self) -> Path:
        assert self._path is not None
        return self._path.with_name(f".{self._path.name}.unfinished")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: TracebackType | None) -> None:
        try:
            self._wave.close()
            if self._path is not None:
                self._file.close()
                if kind is None:
                    self._unfinished.replace(self._path)
        except OSError as failure:
            raise VoiceError(f"{self._path} cannot be written: {failure.strerror}.") from failure
        finally:
            if self._path is not None:
                self._unfinished.unlink(missing_ok=True)

    def write(self, samples: "Samples") -> None:
        """Add these. Raises `VoiceError` if the disk is full, say."""
        import numpy as np

        try:
            self._wave.writeframes(np.clip(np.round(samples * 32767), -32767, 32767).astype("<i2").tobytes())
        except OSError as error:
            raise VoiceError(f"{self._path} cannot be written: {error.strerror}.") from error
