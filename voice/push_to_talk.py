"""Push-to-talk and muting: which part of the microphone's audio the listener gets."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from voice.audio.types import SAMPLE_RATE
from voice.turns.listener import UserTurnListener
from voice.turns.vad import UserStoppedSpeaking

if TYPE_CHECKING:
    from voice.audio.types import Samples

MAX_SECONDS = 120
"""Longest push-to-talk utterance: a key that was pressed and forgotten."""


class PushToTalk:
    """Pass audio on to the listener, unless muted. Between two presses of a key, collect it as one utterance."""

    def __init__(self, listener: UserTurnListener, on_timeout: Callable[[], None]) -> None:
        """Create the gate. `on_timeout` is called after it has ended an utterance of `MAX_SECONDS`."""
        self._listener = listener
        self._on_timeout = on_timeout
        self._muted = False
        # Audio since the key was pressed; None while it is not.
        self._pressed: list[Samples] | None = None

    @property
    def active(self) -> bool:
        """True from a press of the key to the next."""
        return self._pressed is not None

    @property
    def muted(self) -> bool:
        """True while only push-to-talk is listened to."""
        return self._muted

    @muted.setter
    def muted(self, muted: bool) -> None:
        self._muted = muted
        if muted and self._pressed is None:
            self._listener.discard()

    def press(self) -> None:
        """Start an utterance, or end the one that was started."""
        if self._pressed is None:
            self._listener.discard()
            self._pressed = []
            self._listener.start(push_to_talk=True)
        else:
            self._end(self._pressed)

    def process(self, samples: "Samples") -> None:
        """Process the microphone's next samples: 16 kHz mono."""
        if self._pressed is not None:
            self._pressed.append(samples)
            if sum(each.size for each in self._pressed) >= MAX_SECONDS * SAMPLE_RATE:
                self._end(self._pressed)
                self._on_timeout()
        elif not self._muted:
            self._listener.process(samples)

    def flush(self) -> None:
        """End the open utterance at the end of the audio."""
        if self._pressed is not None:
            self._end(self._pressed)
        self._listener.flush()

    def release(self) -> None:
        """Forget that the key is pressed: no more audio comes."""
        self._pressed = None

    def _end(self, pressed: "list[Samples]") -> None:
        import numpy as np

        self._pressed = None
        if pressed:
            self._listener.end(UserStoppedSpeaking(np.concatenate(pressed), covered_by_pause=False))
        else:
            self._listener.discard()
