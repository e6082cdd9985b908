"""Remove the speaker's audio from the microphone's, with WebRTC's acoustic echo canceller.

    speaker    ─▶ far end  ─┐
                            ├─▶ EchoCanceller ─▶ near end without the echo
    microphone ─▶ near end ─┘

Both signals arrive in order and in equal amounts; the canceller estimates the delay between them.
"""

from collections.abc import AsyncIterable, AsyncIterator
from typing import TYPE_CHECKING

from voice.audio.resample import Resampler
from voice.audio.types import SAMPLE_RATE

if TYPE_CHECKING:
    from voice.audio.types import Samples

_FRAME_SAMPLES = SAMPLE_RATE // 100
# More far-end samples than this mean that microphone samples were lost. The oldest are dropped, because the canceller
# looks for an echo after its source and never before. With a limit of 350 ms, as much as the microphone buffers while
# the machine is busy, the assistant answered itself in two runs of two: what was played before the microphone started
# stayed in the queue.
_MAX_FAR_SAMPLES = SAMPLE_RATE // 10


class EchoCanceller:
    """Cancels the echo of what is played in what is heard."""

    def __init__(self, far_rate: int) -> None:
        """Create a canceller for far-end audio of `far_rate` Hz. The near end is at `SAMPLE_RATE`."""
        import numpy as np
        import pywebrtc_audio

        self._canceller = pywebrtc_audio.EchoCanceller(SAMPLE_RATE, 1)
        self._resampler = Resampler(far_rate, SAMPLE_RATE)
        self._near: Samples = np.zeros(0, np.float32)
        self._far: Samples = np.zeros(0, np.float32)

    async def process_stream(self, pairs: "AsyncIterable[tuple[Samples, Samples]]") -> "AsyncIterator[Samples]":
        """Process (near, far) pairs as they arrive; `AudioDuplex.pairs` yields them."""
        async for near, far in pairs:
            yield self.process(near, far)

    def process(self, near: "Samples", far: "Samples") -> "Samples":
        """Return the near end without its echo.

        The canceller works in frames of 10 ms: what does not fill one is held back for the next call.

        Args:
            near: Microphone samples at `SAMPLE_RATE`.
            far: Samples played in the same time, at the far end's rate.
        """
        import numpy as np

        self._near = np.concatenate([self._near, near])
        self._far = np.concatenate([self._far, self._resampler.process(far)])[-_MAX_FAR_SAMPLES:]
        ready = self._near.size // _FRAME_SAMPLES * _FRAME_SAMPLES
        near, self._near = self._near[:ready], self._near[ready:]
        far, self._far = self._far[:ready], self._far[ready:]
        far = np.concatenate([far, np.zeros(ready - far.size, np.float32)])
        frames = [
            np.asarray(
                self._canceller.process(near[at : at + _FRAME_SAMPLES], far[at : at + _FRAME_SAMPLES]), np.float32
            )
            for at in range(0, ready, _FRAME_SAMPLES)
        ]
        return np.concatenate([np.zeros(0, np.float32), *frames])
