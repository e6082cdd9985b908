"""Write speech into WAV files while it is being produced."""

import wave
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Self, cast

from assistant.atomic_files import replace_file
from assistant.errors import VoiceError, first_line

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
        self._replacing = ExitStack()
        try:
            # An existing file stays until the new one is complete.
            file = target if self._path is None else self._replacing.enter_context(replace_file(self._path, 0o666))
        except OSError as error:
            raise VoiceError(f"{self._path} cannot be written: {first_line(error)}.") from error
        self._wave = wave.open(cast("IO[bytes]", file), "wb")  # noqa: SIM115 - closed in `__exit__`
        self._wave.setnchannels(1)
        self._wave.setsampwidth(2)
        self._wave.setframerate(sample_rate)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            try:
                self._wave.close()
            except OSError as failure:
                self._replacing.__exit__(type(failure), failure, failure.__traceback__)
                raise
            self._replacing.__exit__(kind, error, traceback)
        except OSError as failure:
            raise VoiceError(f"{self._path} cannot be written: {first_line(failure)}.") from failure

    def write(self, samples: "Samples") -> None:
        """Append samples. Raises `VoiceError` if they cannot be written, for example when the disk is full."""
        import numpy as np

        try:
            self._wave.writeframes(np.clip(np.round(samples * 32767), -32767, 32767).astype("<i2").tobytes())
        except OSError as error:
            raise VoiceError(f"{self._path} cannot be written: {first_line(error)}.") from error
