"""What happened in a spoken conversation, one JSON object a line: enough to review a call, and to see where time went.

README.md tells what is in a line. A log that cannot be written is told once, and the conversation goes on without.
"""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from assistant.errors import VoiceError
from voice.audio.types import SAMPLE_RATE
from voice.audio.wav import WavFile

if TYPE_CHECKING:
    from voice.audio.types import Samples


class CallLog:
    """Appends to `path`, if there is one, each line at once; keeps utterances as WAV files in `audio`, if asked.

    Times are those of the event loop's clock, and in the file seconds since the call began.
    """

    def __init__(self, path: Path | None, audio: Path | None, tell: Callable[[str], None]) -> None:
        """`tell` hears one sentence for each of the two that cannot be written."""
        self._path = path
        self._audio = audio
        self._tell = tell
        self._began = time.monotonic()
        self._name = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
        self._file: IO[bytes] | None = None
        if path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                # Without a buffer: a line that has been written is there, and one that has not is gone.
                self._file = path.open("ab", buffering=0)
            except OSError as error:
                self._give_up(path, error)

    def __call__(self, event: str, **facts: Any) -> None:
        """Write that `event` happened. Facts whose names end in "ed_at" are times of the event loop."""
        if self._file is None:
            return
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"time": now, "call": self._name, "at": self._seconds(time.monotonic()), "event": event}
        line |= {
            name: self._seconds(fact) if name.endswith("ed_at") else _shortened(fact) for name, fact in facts.items()
        }
        try:
            self._file.write((json.dumps(line, ensure_ascii=False) + "\n").encode())
        except OSError as error:
            assert self._path is not None
            self._give_up(self._path, error)

    @property
    def keeps_sound(self) -> bool:
        """Whether utterances are kept, and none has failed to be."""
        return self._audio is not None

    def keep(self, number: int, samples: "Samples") -> str | None:
        """Keep the sound of an utterance; the name of its file, or None if nothing is to be kept."""
        if self._audio is None:
            return None
        path = self._audio / f"{self._name}-{number:04}.wav"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with WavFile(path, SAMPLE_RATE) as file:
                file.write(samples)
        except (OSError, VoiceError) as error:
            self._audio = None
            reason = error.strerror if isinstance(error, OSError) else error
            self._tell(f"What is heard cannot be kept in {path.parent} ({reason}): the conversation goes on without.")
            return None
        return path.name

    def close(self) -> None:
        """Close the file. Calling it twice is fine."""
        if self._file is not None:
            # Nothing is left to be written that could fail.
            self._file.close()
            self._file = None

    def _seconds(self, at: float | None) -> float | None:
        return None if at is None else round(at - self._began, 3)

    def _give_up(self, path: Path, error: OSError) -> None:
        self.close()
        self._tell(f"The log {path} cannot be written ({error.strerror}): the conversation goes on without it.")


def _shortened(fact: Any) -> Any:
    return round(fact, 3) if isinstance(fact, float) else fact
