"""Detect user turns: when speech starts, pauses and ends.

32 ms frames ─▶ Silero VAD ─▶ speech probability ─▶ UserStartedSpeaking ─▶ UserPaused ─▶ … ─▶ UserStoppedSpeaking
│                   ├─ transcription may start
│                   └─ set_silence_timeout(): how long
│                      this pause may last
└─ SpeechChunk: first part of a long utterance
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from voice.audio.types import SAMPLE_RATE
from voice.stt.long_form import find_quietest_cut

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from voice.audio.types import Samples

FRAME_SAMPLES = 512
"""Samples per frame, 32 ms: Silero's window at 16 kHz."""

_CONTEXT_SAMPLES = 64
_FRAME_SECS = FRAME_SAMPLES / SAMPLE_RATE


@dataclass(frozen=True)
class VadParams:
    """Voice activity detection parameters; times in seconds.

    Attributes:
        start_threshold: Speech probability at which speech starts.
        stop_threshold: Probability below which a frame counts as silence once speech has started.
        start_secs: Speech needed before `UserStartedSpeaking`.
        pause_secs: Silence before `UserPaused`, when transcription may start.
        stop_secs: Longest silence inside a turn.
        pre_roll_secs: Audio kept from before the start; word onsets are quieter than what follows.
        max_segment_secs: Longest utterance returned in one piece (Whisper's window).
    """

    start_threshold: float = 0.5
    stop_threshold: float = 0.35
    start_secs: float = 0.096
    pause_secs: float = 0.2
    stop_secs: float = 2.0
    pre_roll_secs: float = 0.4
    max_segment_secs: float = 30.0


@dataclass(frozen=True)
class UserStartedSpeaking:
    """Speech has started."""


@dataclass(frozen=True)
class SpeechChunk:
    """First part of an utterance longer than `max_segment_secs`. Later events hold only what follows it."""

    samples: "Samples"


@dataclass(frozen=True)
class UserPaused:
    """The user has been silent for `pause_secs`. `samples` holds the turn so far, after any `SpeechChunk`."""

    samples: "Samples"


@dataclass(frozen=True)
class UserStoppedSpeaking:
    """The turn is over.

    Attributes:
        samples: Audio after the last `SpeechChunk`.
        covered_by_pause: Whether the last `UserPaused` already held every word, so that its transcript can be used.
    """

    samples: "Samples"
    covered_by_pause: bool


TurnEvent = UserStartedSpeaking | SpeechChunk | UserPaused | UserStoppedSpeaking


class SileroVad:
    """Silero's speech probability of consecutive frames.

    Keeps the network's recurrent state between calls, unlike faster-whisper's wrapper around the same network.
    """

    def __init__(self) -> None:
        import numpy as np
        from faster_whisper.vad import get_vad_model

        self._session: Any = get_vad_model().session
        self._hidden: NDArray[np.float32] = np.zeros((1, 1, 128), np.float32)
        self._cell: NDArray[np.float32] = np.zeros((1, 1, 128), np.float32)
        self._context: Samples = np.zeros(_CONTEXT_SAMPLES, np.float32)

    def __call__(self, frame: "Samples") -> float:
        """Return the speech probability of the next `FRAME_SAMPLES` samples."""
        import numpy as np

        window = np.concatenate([self._context, frame])[None]
        probability, self._hidden, self._cell = self._session.run(
            None, {"input": window, "h": self._hidden, "c": self._cell}
        )
        self._context = frame[-_CONTEXT_SAMPLES:]
        return float(probability[0])


class UserTurnDetector:
    """Turn a stream of audio into turn events."""

    def __init__(self, speech_probability: "Callable[[Samples], float]", params: VadParams | None = None) -> None:
        """Create a detector.

        Args:
            speech_probability: Return the speech probability of one frame of `FRAME_SAMPLES` samples.
            params: Thresholds and times; the defaults suit conversational speech.
        """
        self._speech_probability = speech_probability
        self.params = params or VadParams()
        self._incomplete_frame = _Buffer()
        self._pre_roll: deque[Samples] = deque(maxlen=_frames(self.params.pre_roll_secs))
        # Audio of the open turn, after its last `SpeechChunk`; empty while nobody speaks.
        self._turn = _Buffer()
        self._speech_frames = 0
        self._silence_frames = 0
        self._pause: UserPaused | None = None
        self._timeout_frames = _frames(self.params.stop_secs)

    @property
    def speech_onset(self) -> bool:
        """True while the last frames sound like speech but `start_secs` has not passed: a word, or a door.

        Reactions that can be undone, such as pausing playback, need not wait for `UserStartedSpeaking`.
        """
        return not self._turn.size and self._speech_frames > 0

    def process(self, samples: "Samples") -> list[TurnEvent]:
        """Process any number of 16 kHz mono samples and return the events they cause."""
        self._incomplete_frame.append(samples)
        if self._incomplete_frame.size < FRAME_SAMPLES:
            return []
        available = self._incomplete_frame.pop()
        frames_end = available.size // FRAME_SAMPLES * FRAME_SAMPLES
        self._incomplete_frame.append(available[frames_end:])
        events = (
            self._process_frame(available[start : start + FRAME_SAMPLES])
            for start in range(0, frames_end, FRAME_SAMPLES)
        )
        return [event for event in events if event is not None]

    def set_silence_timeout(self, pause: UserPaused, seconds: float) -> list[TurnEvent]:
        """End the turn after `seconds` of silence in `pause`. Ignored if the user has resumed speaking.

        Returns the end of the turn if there have been so many: the next frame would come 16 ms later on average.
        """
        if pause is not self._pause:
            return []
        self._timeout_frames = _frames(min(seconds, self.params.stop_secs))
        return [self._end_turn()] if self._silence_frames >= self._timeout_frames else []

    def flush(self) -> list[TurnEvent]:
        """Close the open turn at the end of the audio."""
        self._speech_frames = 0
        if not self._turn.size:
            return []
        self._turn.append(self._incomplete_frame.pop())
        return [self._end_turn()]

    def reset(self) -> None:
        """Drop the open turn. Silence is processed, since it also resets the network behind `speech_probability`."""
        import numpy as np

        self.process(np.zeros(round(2 * self.params.stop_secs * SAMPLE_RATE), np.float32))

    def _process_frame(self, frame: "Samples") -> TurnEvent | None:
        params = self.params
        threshold = params.stop_threshold if self._turn.size else params.start_threshold
        is_speech = self._speech_probability(frame) >= threshold
        if not self._turn.size:
            return self._process_outside_turn(frame, is_speech=is_speech)
        self._turn.append(frame)
        if is_speech:
            self._reset_silence()
            return self._split_long_turn() if self._turn.size >= params.max_segment_secs * SAMPLE_RATE else None
        self._silence_frames += 1
        if self._silence_frames >= self._timeout_frames:
            return self._end_turn()
        if self._silence_frames == _frames(params.pause_secs):
            self._pause = UserPaused(self._turn.samples())
            return self._pause
        return None

    def _process_outside_turn(self, frame: "Samples", *, is_speech: bool) -> TurnEvent | None:
        self._pre_roll.append(frame)
        self._speech_frames = self._speech_frames + 1 if is_speech else 0
        if self._speech_frames < _frames(self.params.start_secs):
            return None
        self._turn.append(*self._pre_roll)
        self._pre_roll.clear()
        self._speech_frames = 0
        self._reset_silence()
        return UserStartedSpeaking()

    def _split_long_turn(self) -> SpeechChunk:
        samples = self._turn.pop()
        cut = find_quietest_cut(samples)
        self._turn.append(samples[cut:])
        return SpeechChunk(samples[:cut])

    def _end_turn(self) -> UserStoppedSpeaking:
        stopped = UserStoppedSpeaking(self._turn.pop(), covered_by_pause=self._pause is not None)
        self._reset_silence()
        return stopped

    def _reset_silence(self) -> None:
        self._silence_frames = 0
        self._pause = None
        self._timeout_frames = _frames(self.params.stop_secs)


class _Buffer:
    """Audio that arrives in pieces, with a running size: concatenating at each frame would copy the whole turn."""

    def __init__(self) -> None:
        self._pieces: list[Samples] = []
        self.size = 0

    def append(self, *pieces: "Samples") -> None:
        self._pieces += pieces
        self.size += sum(piece.size for piece in pieces)

    def samples(self) -> "Samples":
        import numpy as np

        return np.concatenate([np.zeros(0, np.float32), *self._pieces])

    def pop(self) -> "Samples":
        samples = self.samples()
        self._pieces, self.size = [], 0
        return samples


def _frames(seconds: float) -> int:
    return max(1, round(seconds / _FRAME_SECS))
