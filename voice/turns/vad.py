"""Who has the turn: when a person begins to speak, makes a pause, and is done.

frames of 32 ms ─▶ Silero ─▶ probability of speech ─▶ Started ─▶ Paused ─▶ (speaks on …) ─▶ Ended
                                                         │          ├─ words may be looked for already
                                                         │          └─ `settle`: how long this silence may last
                                                         └─ Part: they speak for long, this comes first
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from voice.audio.types import HEARING_RATE
from voice.stt.long_form import quietest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from voice.audio.types import Samples

FRAME = 512
"""Samples the detector takes at a time."""

_CONTEXT = 64
_FRAME_SECONDS = FRAME / HEARING_RATE


@dataclass(frozen=True)
class Pace:
    """How patient to be; times in seconds.

    Speech begins with `onset` of it, at a probability of `loud`, and goes on down to `soft`. After `pause` of silence
    its words may be looked for, and after `end`, at the latest, the turn is over. Of an utterance longer than
    `longest` the first part is given away.
    """

    loud: float = 0.5
    soft: float = 0.35
    onset: float = 0.096
    pause: float = 0.3
    end: float = 2.0
    # Whisper's window: what is longer has to be cut somewhere.
    longest: float = 30.0
    # Before its onset: the first sound of a word is softer than the rest.
    lead: float = 0.4


@dataclass(frozen=True)
class Started:
    """Somebody has begun to speak."""


@dataclass(frozen=True)
class Part:
    """They go on for long: `samples` is what they said first, and the events that follow bring what comes after it."""

    samples: "Samples"


@dataclass(frozen=True)
class Paused:
    """They have been silent for a moment; `samples` is all they have said in this turn, after its `Part`s."""

    samples: "Samples"


@dataclass(frozen=True)
class Ended:
    """They are done; `samples` are what came after the `Part`s. `paused`: the last `Paused` had all words in it."""

    samples: "Samples"
    paused: bool


TurnEvent = Started | Part | Paused | Ended


class SileroDetector:
    """How likely each frame is speech. It remembers what it heard before, unlike faster-whisper's use of the same."""

    def __init__(self) -> None:
        import numpy as np
        from faster_whisper.vad import get_vad_model

        self._session: Any = get_vad_model().session
        self._state: NDArray[np.float32] = np.zeros((1, 1, 128), np.float32)
        self._cell: NDArray[np.float32] = np.zeros((1, 1, 128), np.float32)
        self._context: Samples = np.zeros(_CONTEXT, np.float32)

    def __call__(self, frame: "Samples") -> float:
        """The probability that these `FRAME` samples, which follow those before, are speech."""
        import numpy as np

        heard = np.concatenate([self._context, frame])[None]
        probability, self._state, self._cell = self._session.run(
            None, {"input": heard, "h": self._state, "c": self._cell}
        )
        self._context = frame[-_CONTEXT:]
        return float(probability[0])


class TurnTaking:
    """Turns a stream of samples into the events of turns. `detect` gives the probability of speech in a frame."""

    def __init__(self, detect: "Callable[[Samples], float]", pace: Pace | None = None) -> None:
        self._detect = detect
        self.pace = pace or Pace()
        self._rest: list[Samples] = []
        self._rest_size = 0
        self._before: deque[Samples] = deque(maxlen=round(self.pace.lead / _FRAME_SECONDS))
        self._said: list[Samples] = []
        self._said_size = 0
        self._speech = 0
        self._silence = 0
        self._pause: Paused | None = None
        self._patience = _frames(self.pace.end)

    @property
    def stirring(self) -> bool:
        """Whether somebody may have begun to speak, which the next frames will tell: a word, or a door.

        What can be taken back, such as falling silent, need not wait for `Started`.
        """
        return not self._said and self._speech > 0

    def feed(self, samples: "Samples") -> list[TurnEvent]:
        """What has happened by the end of `samples`, any number of them at 16 kHz."""
        import numpy as np

        self._rest.append(samples)
        self._rest_size += samples.size
        if self._rest_size < FRAME:
            return []
        joined = np.concatenate(self._rest)
        whole = joined.size // FRAME * FRAME
        self._rest, self._rest_size = [joined[whole:]], joined.size - whole
        events: list[TurnEvent] = []
        for start in range(0, whole, FRAME):
            event = self._frame(joined[start : start + FRAME])
            if event is not None:
                events.append(event)
        return events

    def settle(self, pause: Paused, silence: float) -> None:
        """End the turn after `silence` seconds of it in this pause. Nothing, if they have spoken on meanwhile."""
        if pause is self._pause:
            self._patience = _frames(min(silence, self.pace.end))

    def finish(self) -> list[TurnEvent]:
        """What has happened by the end of all sound: whoever is speaking then has said all there is."""
        if not self._said:
            return []
        self._say(*self._rest)
        self._rest, self._rest_size = [], 0
        return [self._end()]

    def _frame(self, frame: "Samples") -> TurnEvent | None:
        speaks = self._detect(frame) >= (self.pace.soft if self._said else self.pace.loud)
        if not self._said:
            return self._idle(frame, speaks=speaks)
        self._say(frame)
        if speaks:
            self._silence = 0
            self._pause = None
            self._patience = _frames(self.pace.end)
            return self._part() if self._said_size >= self.pace.longest * HEARING_RATE else None
        self._silence += 1
        if self._silence >= self._patience:
            return self._end()
        if self._silence == _frames(self.pace.pause):
            self._pause = Paused(self._all())
            return self._pause
        return None

    def _idle(self, frame: "Samples", *, speaks: bool) -> TurnEvent | None:
        self._before.append(frame)
        self._speech = self._speech + 1 if speaks else 0
        if self._speech < _frames(self.pace.onset):
            return None
        self._say(*self._before)
        self._before.clear()
        self._speech = self._silence = 0
        return Started()

    def _part(self) -> Part:
        samples = self._all()
        cut = quietest(samples)
        self._said, self._said_size = [samples[cut:]], samples.size - cut
        return Part(samples[:cut])

    def _end(self) -> Ended:
        ended = Ended(self._all(), paused=self._pause is not None)
        self._said, self._said_size = [], 0
        self._silence = 0
        self._pause = None
        self._patience = _frames(self.pace.end)
        return ended

    def _say(self, *frames: "Samples") -> None:
        self._said += frames
        self._said_size += sum(frame.size for frame in frames)

    def _all(self) -> "Samples":
        import numpy as np

        return np.concatenate(self._said)


def _frames(seconds: float) -> int:
    return max(1, round(seconds / _FRAME_SECONDS))
