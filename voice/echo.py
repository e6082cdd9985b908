"""Taking what the speaker plays out of what the microphone hears, with the echo canceller of WebRTC.

    speaker's samples ─▶ far ─┐
                              ├─▶ EchoCanceller ─▶ what a person says
    microphone ──────▶ near ──┘

Both come in the order of their time and in equal numbers; the canceller finds the delay between them by itself.
"""

from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import TYPE_CHECKING

from voice.devices import Converter
from voice.samples import HEARING_RATE

if TYPE_CHECKING:
    from voice.samples import Samples

_FRAME = HEARING_RATE // 100
# More of the speaker's samples than this, and the two clocks have drifted apart: the oldest are forgotten.
_MOST_WAITING = HEARING_RATE // 2


class Canceller:
    """Cancels the echo of what `played` returns, which is asked for the samples played since it was last asked."""

    def __init__(self, played: "Callable[[], Samples]", rate: int) -> None:
        """`rate` is that of what was played, in samples a second."""
        import numpy as np
        from pywebrtc_audio import EchoCanceller

        self._canceller = EchoCanceller(HEARING_RATE, 1)
        self._played = played
        self._convert = Converter(rate, HEARING_RATE)
        self._near: Samples = np.zeros(0, np.float32)
        self._far: Samples = np.zeros(0, np.float32)

    async def clean(self, microphone: "AsyncIterable[Samples]") -> "AsyncIterator[Samples]":
        """What the microphone hears, without the echo."""
        async for samples in microphone:
            cleaned = self(samples)
            if cleaned.size:
                yield cleaned

    def __call__(self, samples: "Samples") -> "Samples":
        """What is left of `samples` and of those held back before; some are held back until they fill a frame."""
        import numpy as np

        self._near = np.concatenate([self._near, samples])
        self._far = np.concatenate([self._far, self._convert(self._played())])[-_MOST_WAITING:]
        whole = self._near.size // _FRAME * _FRAME
        near, self._near = self._near[:whole], self._near[whole:]
        far, self._far = self._far[:whole], self._far[whole:]
        far = np.concatenate([far, np.zeros(whole - far.size, np.float32)])
        frames = [
            np.asarray(self._canceller.process(near[at : at + _FRAME], far[at : at + _FRAME]), np.float32)
            for at in range(0, whole, _FRAME)
        ]
        return np.concatenate([np.zeros(0, np.float32), *frames])
