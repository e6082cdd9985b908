"""Find out how far the length in a WAV file's header can be trusted: recorders that were stopped leave wrong ones."""

import io
import struct
from dataclasses import dataclass
from typing import IO

# A recorder writes one of these while it does not know the length yet.
_UNKNOWN_FROM = 0x7FFF_0000
# Chunks before the audio: a few hundred in any file.
_MAX_CHUNKS = 1_000


@dataclass(frozen=True)
class WavLength:
    """Length of the audio in a WAV file.

    Attributes:
        stated_seconds: As the header says; 0 if it does not know.
        is_too_short: True if audio goes on after what the header says.
    """

    stated_seconds: float = 0.0
    is_too_short: bool = False


def wav_length(file: IO[bytes]) -> WavLength | None:
    """Read the header of a seekable file; None if it is no WAV file with a header that can be read."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    start = file.read(12)
    if len(start) < 12 or start[:4] != b"RIFF" or start[8:] != b"WAVE":
        return None
    bytes_per_second = 0
    for _ in range(_MAX_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            return None
        length = int.from_bytes(head[4:], "little")
        if head[:4] == b"data":
            return _length(file, size, length, bytes_per_second)
        if head[:4] == b"fmt ":
            form = file.read(16)
            if len(form) < 16:
                return None
            bytes_per_second = int(struct.unpack("<HHIIHH", form)[3])
            file.seek(length - 16, io.SEEK_CUR)
        else:
            file.seek(length + length % 2, io.SEEK_CUR)
    return None


def _length(file: IO[bytes], size: int, length: int, bytes_per_second: int) -> WavLength | None:
    """Return the length, given that the audio begins at the position of `file`."""
    if not bytes_per_second:
        return None
    if length == 0 or length >= _UNKNOWN_FROM:
        return WavLength()
    end = file.tell() + length + length % 2
    rest = size - end
    if rest <= bytes_per_second:
        return WavLength(length / bytes_per_second)
    file.seek(end)
    head = file.read(8)
    # Another chunk, such as a title, has a name of letters and a length that fits.
    is_chunk = head[:4].isascii() and head[:4].decode("latin-1").isprintable()
    is_chunk = is_chunk and int.from_bytes(head[4:], "little") <= rest - 8
    return WavLength(length / bytes_per_second, is_too_short=not is_chunk)
