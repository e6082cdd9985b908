"""Decode audio and video files of any format to 16 kHz mono, block by block, with PyAV (which contains FFmpeg).

Only the file itself is read: a playlist that names other files or addresses yields nothing.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from assistant.errors import VoiceError
from voice.audio.resample import FrameResampler
from voice.audio.types import SAMPLE_RATE

if TYPE_CHECKING:
    from av import AudioFrame
    from av.container import InputContainer

    from voice.audio.types import Samples

# Piped input stays in memory up to this size and goes to a temporary file beyond it.
_SPOOL_BYTES = 64 << 20


class AudioFile:
    """The first audio track of an open file.

    Attributes:
        name: What error messages call the file.
        seconds: Duration according to the file's header, 0 if it does not say.
        decode_errors: Parts that could not be decoded so far; they are left out.
    """

    def __init__(self, container: "InputContainer", name: str) -> None:
        self._container = container
        self.name = name
        self.seconds = _header_seconds(container)
        self.decode_errors = 0

    def blocks(self) -> "Iterator[Samples]":
        """Decode the whole track once, as 16 kHz mono in blocks of any length.

        Raises:
            VoiceError: The file is damaged and nothing can be decoded, or its audio cannot be converted.
        """
        # Computed in s16, where the sum of many channels stays in range.
        resampler = FrameResampler(SAMPLE_RATE, "s16")
        decoded = False
        try:
            for frame in self._frames():
                if (block := resampler.process(frame)).size:
                    decoded = True
                    yield block
            if (block := resampler.flush()).size:
                decoded = True
                yield block
        except ValueError as error:  # FFmpeg's own errors are ValueErrors too.
            raise VoiceError(
                f"The audio of {self.name} cannot be converted ({error}): save it as WAV or FLAC."
            ) from error
        if self.decode_errors and not decoded:
            raise VoiceError(f"{self.name} is damaged and none of its audio can be decoded: fetch or record it again.")

    def _frames(self) -> "Iterator[AudioFrame]":
        from av.error import FFmpegError

        packets = self._container.demux(self._container.streams.audio[0])
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except FFmpegError:
                # The file is truncated or overwritten from here on. What came before is still usable.
                self.decode_errors += 1
                return
            try:
                frames = packet.decode()
            except FFmpegError:
                self.decode_errors += 1
                continue
            yield from frames


@contextmanager
def open_audio(source: str | Path | IO[bytes], name: str = "") -> Iterator[AudioFile]:
    """Open an audio or video file.

    Args:
        source: A path, or a binary stream, which is read to its end.
        name: What error messages call it; the path by default.

    Raises:
        VoiceError: The file cannot be opened, is empty, or has no audio that FFmpeg can decode.
    """
    import av

    name = name or str(source)
    with _open_seekable(source, name) as file:
        try:
            # FFmpeg gets an open file and no protocol, so that it cannot open another file or address.
            container = av.open(file, "r", metadata_errors="ignore", options={"protocol_whitelist": "none"})
        except (av.error.FFmpegError, OSError) as error:
            raise VoiceError(f"{name} is not an audio or video file in a known format: give another file.") from error
        with container:
            if not container.streams.audio:
                raise VoiceError(f"{name} contains no audio: give an audio file, or a video with an audio track.")
            yield AudioFile(container, name)


@contextmanager
def _open_seekable(source: str | Path | IO[bytes], name: str) -> Iterator[IO[bytes]]:
    """Open `source` as a seekable file, which many formats need. Raises `VoiceError`."""
    try:
        if isinstance(source, str | Path):
            path = Path(source)
            if path.is_dir():
                raise VoiceError(f"{name} is a folder: name the recordings in it.")
            file: IO[bytes] = path.open("rb")
            if not file.seekable():
                # A named pipe: a FIFO, or what a shell makes of <(…).
                with file:
                    file = _spool(file)
        else:
            file = _spool(source)
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


def _spool(stream: IO[bytes]) -> IO[bytes]:
    """Copy `stream` to a temporary file, which the caller closes."""
    file = cast("IO[bytes]", tempfile.SpooledTemporaryFile(_SPOOL_BYTES))  # noqa: SIM115 - the caller closes it
    shutil.copyfileobj(stream, file)
    file.seek(0)
    return file


def _header_seconds(container: "InputContainer") -> float:
    stream = container.streams.audio[0]
    if stream.duration is not None and stream.time_base is not None:
        return max(0.0, float(stream.duration * stream.time_base))
    return max(0.0, (container.duration or 0) / 1_000_000)
