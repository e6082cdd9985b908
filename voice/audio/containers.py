"""Open the container of an audio or video file, choose among its audio tracks, and say why a file cannot be read."""

import io
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from assistant.errors import VoiceError, first_line
from assistant.text_cleaning import clean_line
from voice.audio.wav_header import wav_length

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer

# Piped input stays in memory up to this size and goes to a temporary file beyond it.
_SPOOL_BYTES = 64 << 20

# How files of known formats begin: a file that begins like this and cannot be opened is damaged.
_SIGNATURES = (
    (0, b"RIFF"), (0, b"RF64"), (0, b"RIFX"), (4, b"ftyp"), (4, b"moov"), (4, b"mdat"), (0, b"OggS"), (0, b"fLaC"),
    (0, b"ID3"), (0, b"\xff\xfb"), (0, b"\xff\xf3"), (0, b"\xff\xf1"), (0, b"\xff\xf9"), (0, b"\x1aE\xdf\xa3"),
    (0, b"FORM"), (0, b"caff"), (0, b"#!AMR"), (0, b"wvpk"), (0, b"MAC "), (0, b"0&\xb2u"), (0, b".snd"),
    (0, b"FLV\x01"), (0, b"\x0bw"), (0, b"TTA1"), (0, b"\x00\x00\x01\xba"),
)  # fmt: skip
# Tags of the tracks of shops: Apple's FairPlay, encrypted MP4, Audible.
_PROTECTED_TAGS = ("drms", "enca", "aavd")
# Tracks that are not what a viewer hears unless he asks for them.
_SIDE_TRACKS = ("comment", "visual_impaired", "karaoke", "clean_effects", "descriptions", "dependent")
# FFmpeg estimates durations of these from their size, or does not say that it does.
_ESTIMATED = ("aac", "ac3", "eac3", "amr", "dts", "mpeg", "mpegts", "loas")
_LONGEST_OGG_PAGE = 65_307
MAX_SECONDS = 1_000 * 3600
"""Longer durations come from headers of streams, which do not know theirs."""


def open_container(file: IO[bytes], name: str) -> "InputContainer":
    """Open a seekable file. Raises `VoiceError` with the reason if FFmpeg cannot."""
    import av

    reader = _Reader(file)
    # FFmpeg gets an open file and no protocol, so that it cannot open another file or address.
    options = {"protocol_whitelist": "none"}
    length = wav_length(file)
    if length is not None and length.is_too_short:
        options["ignore_length"] = "1"
    file.seek(0)
    try:
        opened = av.open(cast("Any", reader), "r", metadata_errors="ignore", options=options)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        file.seek(0)
        start = file.read(16)
        if any(start[offset : offset + len(begin)] == begin for offset, begin in _SIGNATURES):
            raise VoiceError(f"{name} is damaged or cut short: fetch or record it again.") from error
        raise VoiceError(f"{name} is not an audio or video file in a known format: give another file.") from error
    return cast("InputContainer", opened)


class _Reader(io.RawIOBase):
    """A file for FFmpeg, whose damaged headers ask for impossible positions."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            # PyAV would print a traceback; FFmpeg takes a negative position for an error.
            return -1


def tracks_in_order(container: "InputContainer") -> tuple[int, ...]:
    """Return the numbers of the tracks that can be decoded, from 1: the default one first, commentaries last."""

    def rank(number: int) -> tuple[bool, bool, int]:
        stream = container.streams.audio[number - 1]
        disposition = stream.disposition.name or ""
        title = str(stream.metadata.get("title", "")).lower()
        is_side = "comment" in title or any(each in disposition for each in _SIDE_TRACKS)
        return is_side, "default" not in disposition, number

    # PyAV has no codec context for a track of a format that FFmpeg does not know.
    known = [number for number, stream in enumerate(container.streams.audio, 1) if has_decoder(stream)]
    return tuple(sorted(known, key=rank))


def has_decoder(stream: "AudioStream") -> bool:
    """Tell whether FFmpeg knows the format of a track. PyAV's types do not say that the context may be missing."""
    context: object = stream.codec_context
    return context is not None


def describe_track(container: "InputContainer", track: int) -> str:
    """Return "track 2 (eng, Commentary)"."""
    stream = container.streams.audio[track - 1]
    language = stream.metadata.get("language", "")
    known = (language, stream.metadata.get("title", ""))
    details = ", ".join(clean_line(each, 40) for each in known if each not in ("", "und", None))
    return f"track {track} ({details})" if details else f"track {track}"


def is_protected(stream: "AudioStream") -> bool:
    """Tell whether a track is encrypted."""
    return stream.codec_context.codec_tag in _PROTECTED_TAGS


def expected_seconds(file: IO[bytes], container: "InputContainer", stream: "AudioStream") -> float:
    """Return the duration of a track that the file states; 0 if it does not, or only estimates it."""
    formats = container.format.name.split(",")
    if "wav" in formats:
        # FFmpeg calculates it from what is there.
        position = file.tell()
        length = wav_length(file)
        file.seek(position)
        return 0.0 if length is None or length.is_too_short else length.stated_seconds
    if any(each in _ESTIMATED for each in formats) or ("mp3" in formats and not stream.start_time):
        return 0.0
    seconds = 0.0
    if stream.duration and stream.time_base:
        seconds = float(stream.duration * stream.time_base)
    elif len(container.streams) == 1:
        seconds = (container.duration or 0) / 1_000_000
    else:
        seconds = _clock_seconds(str(stream.metadata.get("DURATION", "")))
    return seconds if 0 < seconds < MAX_SECONDS else 0.0


def lacks_end_mark(file: IO[bytes], container: "InputContainer") -> bool:
    """Tell whether an Ogg file ends before its last page, which has a mark. Its duration is that of what is there."""
    if container.format.name != "ogg":
        return False
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - _LONGEST_OGG_PAGE))
    end = file.read()
    last = end.rfind(b"OggS")
    # The mark is a bit of the byte after the version of the page.
    return last >= 0 and not (end[last + 5 : last + 6] or b"\0")[0] & 4


def _clock_seconds(text: str) -> float:
    """Return 75.5 for "00:01:15.500", Matroska's form of durations, and 0 for anything else."""
    try:
        hours, minutes, seconds = (float(part) for part in text.split(":"))
    except ValueError:
        return 0.0
    return 3600 * hours + 60 * minutes + seconds


@contextmanager
def open_seekable(source: str | Path | IO[bytes], name: str) -> Iterator[IO[bytes]]:
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
        raise VoiceError(f"{name} cannot be read: {first_line(error)}.") from error
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
