"""The queue between the event loop, which adds samples, and PortAudio's thread, which takes them block by block."""

import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voice.audio.types import Samples

# Blocks of the reference signal kept until the next read: 2 s of 10 ms.
_MAX_REFERENCE_BLOCKS = 200


class PlaybackBuffer:
    """A queue of samples that can pause and be cleared, and that knows how many have been heard. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: deque[Samples] = deque()
        self._paused = False
        # Samples handed to the device since the last `clear`, and how many of them have been heard.
        self._handed_over = 0
        self._heard = 0
        # For each block on its way: (time at which it will have been heard, samples handed over up to its end).
        self._pending: deque[tuple[float, int]] = deque()
        self._reference: deque[Samples] = deque(maxlen=_MAX_REFERENCE_BLOCKS)

    @property
    def empty(self) -> bool:
        """True if nothing is left to play."""
        return not self._queue

    def add(self, samples: "Samples") -> None:
        """Queue samples."""
        with self._lock:
            self._queue.append(samples)

    def pause(self) -> None:
        """Fill blocks with silence and keep the queue."""
        self._paused = True

    def resume(self) -> None:
        """Continue after `pause`."""
        self._paused = False

    def clear(self) -> None:
        """Drop everything that has not been played, count from zero again, and resume."""
        with self._lock:
            self._queue.clear()
            self._pending.clear()
            self._handed_over = self._heard = 0
        self._paused = False

    def fill(self, block: "Samples", starts_at: float, rate: int) -> None:
        """Fill the next block.

        Args:
            block: Array to fill, of shape (samples,).
            starts_at: Time at which its first sample will be heard, on the clock of `heard_samples`.
            rate: Sample rate in Hz.
        """
        block.fill(0)
        done = 0
        with self._lock:
            while done < len(block) and self._queue and not self._paused:
                first = self._queue[0]
                count = min(first.size, len(block) - done)
                block[done : done + count] = first[:count]
                done += count
                if count == first.size:
                    self._queue.popleft()
                else:
                    self._queue[0] = first[count:]
            if done:
                self._handed_over += done
                self._pending.append((starts_at + done / rate, self._handed_over))
        self._reference.append(block.copy())

    def heard_samples(self, now: float) -> int:
        """Return how many samples have been heard since the last `clear`."""
        with self._lock:
            while self._pending and self._pending[0][0] <= now:
                self._heard = self._pending.popleft()[1]
            return self._heard

    def read_reference(self) -> "Samples":
        """Return the blocks filled since the last call, silence included, at most the last 2 s."""
        import numpy as np

        blocks: list[Samples] = []
        while self._reference:
            blocks.append(self._reference.popleft())
        return np.concatenate([np.zeros(0, np.float32), *blocks])
