"""Recordings of any kind, decoded by PyAV (FFmpeg inside) to what the engines hear, block by block.

Only the file itself is read: a playlist that names other files or addresses gets nothing.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from assistant.errors import VoiceError
from voice.audio.types import HEARING_RATE

if TYPE_CHECKING:
    from av import AudioFrame
    from av.container import InputContainer

    from voice.audio.types import Samples

# What is piped is held in memory up to this many bytes, and on the disk beyond them.
_SPOOL_BYTES = 64 << 20


class Recording:
    """The first sound track of an open file. `seconds` is its length as the file claims it, 0 if it does not."""

    def __init__(self, container: "InputContainer", name: str) -> None:
        self._container = container
        self.name = name
        self.seconds = _claimed_seconds(container)
        self.damaged_parts = 0
        """How many parts could not be decoded, and were left out, so far."""

    def blocks(self) -> "Iterator[Samples]":
        """The sound from beginning to end, once, as 16 kHz mono in blocks of any length.

        Raises `VoiceError` if the file is damaged and none of it can be decoded.
        """
        resample = _Resampler()
        heard = 0
        try:
            for frame in self._frames():
                for block in resample(frame):
                    heard += block.size
                    yield block
            for block in resample(None):
                heard += block.size
                yield block
        except ValueError as error:  # Which FFmpeg's own errors are, too.
            raise VoiceError(
                f"The sound of {self.name} has a form that cannot be converted ({error}): save it as WAV or FLAC."
            ) from error
        if self.damaged_parts and not heard:
            raise VoiceError(f"{self.name} is damaged and none of its sound can be decoded: fetch or record it again.")

    def _frames(self) -> "Iterator[AudioFrame]":
        from av.error import FFmpegError

        packets = self._container.demux(self._container.streams.audio[0])
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except FFmpegError:
                # Cut short or overwritten from here on. What came before is still worth hearing.
                self.damaged_parts += 1
                return
            try:
                frames = packet.decode()
            except FFmpegError:
                self.damaged_parts += 1
                continue
            yield from frames


@contextmanager
def open_recording(source: str | Path | IO[bytes], name: str = "") -> Iterator[Recording]:
    """Open the recording at a path, or out of a stream that is read to its end; `name` is what errors call it.

    Raises `VoiceError` for what cannot be opened, is empty, or holds no sound that FFmpeg knows.
    """
    import av

    name = name or str(source)
    with _bytes_of(source, name) as file:
        try:
            # A container is handed an open file, and no protocol by which it could open another.
            container = av.open(file, "r", metadata_errors="ignore", options={"protocol_whitelist": "none"})
        except (av.error.FFmpegError, OSError) as error:
            raise VoiceError(
                f"{name} is no recording in a format that is known: give a sound or video file."
            ) from error
        with container:
            if not container.streams.audio:
                raise VoiceError(f"{name} has no sound in it: give a recording, or a video with a sound track.")
            yield Recording(container, name)


@contextmanager
def _bytes_of(source: str | Path | IO[bytes], name: str) -> Iterator[IO[bytes]]:
    """`source` as a file that can be wound back, as many formats need. Raises `VoiceError`."""
    try:
        if isinstance(source, str | Path):
            path = Path(source)
            if path.is_dir():
                raise VoiceError(f"{name} is a folder: name the recordings in it.")
            file: IO[bytes] = path.open("rb")
            if not file.seekable():
                # A pipe with a name: a FIFO, or what a shell makes of <(…).
                with file:
                    file = _spooled(file)
        else:
            file = _spooled(source)
    except FileNotFoundError as error:
        raise VoiceError(f"There is no file {name}: check the path.") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise VoiceError(f"{name} cannot be read: {reason}.") from error
    with file:
        if not file.read(1):
            raise VoiceError(f"{name} is empty: record or fetch it again.")
        file.seek(0)
        yield file


def _spooled(stream: IO[bytes]) -> IO[bytes]:
    """All that comes out of `stream`, as a file of its own."""
    file = cast("IO[bytes]", tempfile.SpooledTemporaryFile(_SPOOL_BYTES))  # noqa: SIM115 - who asks for it closes it
    shutil.copyfileobj(stream, file)
    file.seek(0)
    return file


class _Resampler:
    """Any sound to 16 kHz mono; a track that changes its form in the middle goes on in the new one."""

    def __init__(self) -> None:
        self._resampler: Any = None
        self._form: tuple[str, str, int] | None = None

    def __call__(self, frame: "AudioFrame | None") -> "Iterator[Samples]":
        """What `frame` gives, or, given None, what is left."""
        import av

        if frame is not None:
            form = (frame.format.name, frame.layout.name, frame.sample_rate)
            if form != self._form:
                yield from self._rest()
                self._form = form
                # In whole numbers FFmpeg weighs channels so that their sum stays in range; in floats it overflows.
                self._resampler = av.AudioResampler(format="s16", layout="mono", rate=HEARING_RATE)
            # Times in damaged files jump, which only the resampler would mind.
            frame.pts = None
            yield from map(_as_samples, self._resampler.resample(frame))
        else:
            yield from self._rest()

    def _rest(self) -> "Iterator[Samples]":
        if self._resampler is not None:
            yield from map(_as_samples, self._resampler.resample(None))
            self._resampler = None


def _as_samples(frame: "AudioFrame") -> "Samples":
    import numpy as np

    return frame.to_ndarray().reshape(-1).astype(np.float32) / np.float32(32768)


def _claimed_seconds(container: "InputContainer") -> float:
    stream = next(iter(container.streams.audio))
    if stream.duration is not None and stream.time_base is not None:
        return max(0.0, float(stream.duration * stream.time_base))
    return max(0.0, (container.duration or 0) / 1_000_000)
