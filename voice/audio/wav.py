"""Write speech into WAV files while it is being produced."""

import wave
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Self

from assistant.errors import VoiceError

if TYPE_CHECKING:
    from voice.audio.types import Samples


class WavFile:
    """A 16-bit mono WAV file, used in a `with` block. After an exception no partial file remains."""

    def __init__(self, target: Path | IO[bytes], sample_rate: int) -> None:
        """Create the file.

        Args:
            target: A path, or a seekable binary stream.
            sample_rate: In Hz.

        Raises:
            VoiceError: The file cannot be written.
        """
        self._path = target.resolve() if isinstance(target, Path) else None
        if self._path is not None and self._path.exists() and not self._path.is_file():
            raise VoiceError(f"{target} is not a regular file: name a .wav file, or - for standard output.")
        try:
            # Written under a temporary name: an existing file stays until the new one is complete.
            self._file = self._temporary_path.open("wb") if isinstance(target, Path) else target
        except OSError as error:
            raise VoiceError(f"{self._path} cannot be written: {error.strerror}.") from error
        self._wave = wave.open(self._file, "wb")  # noqa: SIM115 - closed in `__exit__`
        self._wave.setnchannels(1)
        self._wave.setsampwidth(2)
        self._wave.setframerate(sample_rate)

    @property
    def _temporary_path(self) -> Path:
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
                    self._temporary_path.replace(self._path)
        except OSError as failure:
            raise VoiceError(f"{self._path} cannot be written: {failure.strerror}.") from failure
        finally:
            if self._path is not None:
                self._temporary_path.unlink(missing_ok=True)

    def write(self, samples: "Samples") -> None:
        """Append samples. Raises `VoiceError` if they cannot be written, for example when the disk is full."""
        import numpy as np

        try:
            self._wave.writeframes(np.clip(np.round(samples * 32767), -32767, 32767).astype("<i2").tobytes())
        except OSError as error:
            raise VoiceError(f"{self._path} cannot be written: {error.strerror}.") from error
