"""WAV files of calls: utterances and replies one by one, and a whole call in stereo.

    utterance, reply ─▶ write_wav ─▶ a file that nobody else can read
    microphone, what was played ─▶ CallRecording ─▶ left and right channel, on the disk twice a second
    reply ─▶ RecordingOutput ─▶ output; keeps what was really heard of a reply

Names are new ones: no file is overwritten, and no link is followed.
"""

import os
import struct
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.atomic_files import PRIVATE_FILE, make_private_folder
from assistant.errors import VoiceError
from voice.audio.types import SAMPLE_RATE
from voice.reply_playback import PausableAudioSink

if TYPE_CHECKING:
    from voice.audio.types import Samples

_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_MAX_DATA_BYTES = 2**32 - _HEADER.size - 2
_FLUSH_SAMPLES = SAMPLE_RATE // 2
# A device that is behind the other by more has lost samples: it was silent there. What was played since the last block
# of the microphone comes with that block, so that they differ by a block or two.
_MAX_LAG_SAMPLES = SAMPLE_RATE // 10


class WavWriter:
    """A 16-bit WAV file that grows. Its header tells the truth after every `write`, also if the process is killed."""

    def __init__(self, path: Path, sample_rate: int, channels: int = 1) -> None:
        """Create the file for its owner alone. Raises `OSError`, also if something has that name already."""
        make_private_folder(path.parent)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        self._file = os.fdopen(os.open(path, flags, PRIVATE_FILE), "wb", buffering=0)
        self._format = (sample_rate, channels)
        self._data_bytes = 0
        self._write_header()

    def write(self, samples: "Samples") -> None:
        """Append samples: interleaved, if there are several channels. Raises `OSError`."""
        import numpy as np

        data = np.clip(np.round(samples * 32767), -32767, 32767).astype("<i2").tobytes()
        if self._data_bytes + len(data) > _MAX_DATA_BYTES:
            raise OSError(f"a WAV file holds no more than {_MAX_DATA_BYTES / 2**30:.0f} GiB")
        _write_all(self._file.fileno(), data)
        self._data_bytes += len(data)
        self._write_header()

    def close(self) -> None:
        """Close the file. May be called twice."""
        self._file.close()

    def _write_header(self) -> None:
        rate, channels = self._format
        frame = 2 * channels
        size = self._data_bytes
        riff = (b"RIFF", _HEADER.size - 8 + size, b"WAVE")
        header = _HEADER.pack(*riff, b"fmt ", 16, 1, channels, rate, rate * frame, frame, 16, b"data", size)
        self._file.seek(0)
        _write_all(self._file.fileno(), header)
        self._file.seek(0, os.SEEK_END)


def write_wav(path: Path, samples: "Samples", sample_rate: int) -> None:
    """Write a new mono file. After an error there is none. Raises `OSError`."""
    writer = WavWriter(path, sample_rate)
    try:
        writer.write(samples)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        writer.close()


class CallRecording:
    """A stereo file of a call: the user on the left, as Parley heard them, and what was played on the right."""

    def __init__(self, target: Path, call: str) -> None:
        """Create the file.

        Args:
            target: A new file; a number is added to the name of one that exists. In a folder, the file has the name
                of the call.
            call: Id of the call.

        Raises:
            OSError: The file cannot be created.
        """
        if target.is_dir():
            target /= f"{call}.wav"
        elif target.exists() and not target.is_file():
            raise OSError("it is no regular file")
        self.path, self._writer = _create_new(target)
        self._user: list[Samples] = []
        self._played: list[Samples] = []
        self._started = False

    def add(self, heard: "Samples", played: "Samples") -> None:
        """Append what was heard and played in the same time: 16 kHz mono. Raises `OSError`."""
        if not self._started:
            # What was played before the microphone was open belongs to no time of the recording.
            self._started = True
            played = played[max(0, played.size - heard.size) :]
        self._user.append(heard)
        self._played.append(played)
        lengths = _length(self._user), _length(self._played)
        lagging = max(lengths) - min(lengths) > _MAX_LAG_SAMPLES
        if min(lengths) >= _FLUSH_SAMPLES or lagging:
            self._flush(max(lengths) if lagging else min(lengths))

    def close(self) -> None:
        """Write what is left and close the file. May be called twice. Raises `OSError`."""
        try:
            self._flush(max(_length(self._user), _length(self._played)))
        finally:
            self._writer.close()

    def _flush(self, length: int) -> None:
        import numpy as np

        if length:
            # Dropped before they are written: after an error there is nothing to try again.
            left, self._user = _split(self._user, length)
            right, self._played = _split(self._played, length)
            self._writer.write(np.stack([left, right], 1).reshape(-1))


class RecordingOutput:
    """Pass the audio of replies on to an output, and keep what was heard of the last one."""

    def __init__(self, output: PausableAudioSink, sample_rate: int) -> None:
        """Wrap `output`, to which samples of `sample_rate` Hz are added."""
        self._output = output
        self._sample_rate = sample_rate
        self._added: list[Samples] = []
        self._played_seconds = 0.0
        self._heard: Samples | None = None

    @property
    def played_seconds(self) -> float:
        """Seconds of the reply that were played. The value is kept, because a lost output knows it no longer."""
        self._played_seconds = self._output.played_seconds
        return self._played_seconds

    def add(self, samples: "Samples") -> None:
        self._output.add(samples)
        self._added.append(samples)

    def pause(self) -> None:
        self._output.pause()

    def resume(self) -> None:
        self._output.resume()

    def clear(self) -> None:
        try:
            played = self.played_seconds
        except VoiceError:
            played = self._played_seconds
        self._heard = _concatenate(self._added)[: round(played * self._sample_rate)]
        self._added, self._played_seconds = [], 0.0
        self._output.clear()

    def take_heard(self) -> "Samples":
        """Return what was heard of the reply before the last `clear`, once: after that, nothing."""
        heard, self._heard = self._heard, None
        return _concatenate([] if heard is None else [heard])


def _create_new(path: Path) -> tuple[Path, WavWriter]:
    """Create `path`, or the first of path-2, path-3 and so on that does not exist."""
    for number in count(2):
        try:
            return path, WavWriter(path, SAMPLE_RATE, 2)
        except FileExistsError:
            stem = path.stem if number == 2 else path.stem.rpartition("-")[0]
            path = path.with_name(f"{stem}-{number}{path.suffix}")
    raise AssertionError


def _write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`: near the end of a disk, `write` takes a part of it."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _length(pieces: "list[Samples]") -> int:
    return sum(piece.size for piece in pieces)


def _concatenate(pieces: "list[Samples]") -> "Samples":
    import numpy as np

    return np.concatenate([np.zeros(0, np.float32), *pieces])


def _split(pieces: "list[Samples]", length: int) -> "tuple[Samples, list[Samples]]":
    """Return the first `length` samples, with silence for those that are missing, and the rest."""
    import numpy as np

    samples = _concatenate(pieces)
    first = samples[:length]
    return np.concatenate([first, np.zeros(length - first.size, np.float32)]), [samples[length:].copy()]
