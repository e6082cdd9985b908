"""Taking what the speaker plays out of what the microphone hears, with the echo canceller of WebRTC.

    speaker's samples ─▶ far ─┐
                              ├─▶ EchoCanceller ─▶ what a person says
    microphone ──────▶ near ──┘

Both come in the order of their time and in equal numbers; the canceller finds the delay between them by itself.
"""

from collections.abc import AsyncIterable, AsyncIterator
from typing import TYPE_CHECKING

from voice.audio.devices import Converter
from voice.audio.types import HEARING_RATE

if TYPE_CHECKING:
    from voice.audio.types import Samples

_FRAME = HEARING_RATE // 100
# More of the speaker's samples than this, and some of the microphone's were lost: the oldest are forgotten, since the
# canceller looks for an echo behind its sound and never before it. With 350 ms, as much as a microphone keeps while the
# machine is held up, it answered itself in two runs of two: what was played before the microphone began kept waiting.
_MOST_WAITING = HEARING_RATE // 10


class Canceller:
    """Cancels in what is heard the echo of what is played; `rate` is that of what is played, in samples a second."""

    def __init__(self, rate: int) -> None:
        import numpy as np
        from pywebrtc_audio import EchoCanceller

        self._canceller = EchoCanceller(HEARING_RATE, 1)
        self._convert = Converter(rate, HEARING_RATE)
        self._near: Samples = np.zeros(0, np.float32)
        self._far: Samples = np.zeros(0, np.float32)

    async def clean(self, pairs: "AsyncIterable[tuple[Samples, Samples]]") -> "AsyncIterator[Samples]":
        """What is heard without its echo, from `Microphone.pairs`."""
        async for heard, played in pairs:
            yield self(heard, played)

    def __call__(self, heard: "Samples", played: "Samples") -> "Samples":
        """What is left of `heard` and of what was held back before; some is held back until it fills a frame."""
        import numpy as np

        self._near = np.concatenate([self._near, heard])
        self._far = np.concatenate([self._far, self._convert(played)])[-_MOST_WAITING:]
        whole = self._near.size // _FRAME * _FRAME
        near, self._near = self._near[:whole], self._near[whole:]
        far, self._far = self._far[:whole], self._far[whole:]
        far = np.concatenate([far, np.zeros(whole - far.size, np.float32)])
        frames = [
            np.asarray(self._canceller.process(near[at : at + _FRAME], far[at : at + _FRAME]), np.float32)
            for at in range(0, whole, _FRAME)
        ]
        return np.concatenate([np.zeros(0, np.float32), *frames])
