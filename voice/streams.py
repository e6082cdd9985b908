"""Sound that flows while a conversation goes on: a microphone that is always heard, a speaker that can be stopped.

PortAudio calls from a thread of its own, which only hands samples over; everything else happens on the event loop.
"""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Self

from assistant.errors import VoiceError
from voice.devices import Converter, choose, named, open_stream, quiet
from voice.samples import HEARING_RATE

if TYPE_CHECKING:
    from voice.samples import Samples

_BLOCK_SECONDS = 0.02
_BLOCKS_REMEMBERED = 100
# A busy machine may hold this process up, and words that were not fetched in time are lost.
_KEPT_SECONDS = 0.3


class Microphone:
    """What a microphone hears, as an async iterator of 16 kHz samples, in a `with` block on the event loop."""

    def __init__(self, wanted: str = "default") -> None:
        self._device = choose(wanted, "input")
        self.name = self._device.name
        self._heard: asyncio.Queue[tuple[Samples, Samples] | None] = asyncio.Queue()
        self.beside: Callable[[], Samples] = _nothing
        """Asked for what was played whenever something was heard: the two stay together, however busy it gets."""

    def __enter__(self) -> Self:
        """Raises `VoiceError` if it cannot be opened."""
        loop = asyncio.get_running_loop()

        def hand_over(samples: Any, *_: object) -> None:
            loop.call_soon_threadsafe(self._heard.put_nowait, (samples[:, 0].copy(), self.beside()))

        def gone() -> None:
            loop.call_soon_threadsafe(self._heard.put_nowait, None)

        self._stream, rate = open_stream(
            self._device,
            "input",
            HEARING_RATE,
            callback=hand_over,
            finished=gone,
            block_seconds=_BLOCK_SECONDS,
            latency=_KEPT_SECONDS,
        )
        self._convert = Converter(rate, HEARING_RATE)
        return self

    def __exit__(self, *_: object) -> None:
        with quiet():
            self._stream.abort()
            self._stream.close()

    async def __aiter__(self) -> "AsyncIterator[Samples]":
        """Raises `VoiceError` when it is unplugged."""
        async for samples, _ in self.pairs():
            yield samples

    async def pairs(self) -> "AsyncIterator[tuple[Samples, Samples]]":
        """What is heard, each time with what `beside` gave then. Raises `VoiceError` when it is unplugged."""
        while (pair := await self._heard.get()) is not None:
            yield self._convert(pair[0]), pair[1]
        raise VoiceError(f"The microphone {self.name!r} has gone: plug it in and start again.")


def _nothing() -> "Samples":
    import numpy as np

    return np.zeros(0, np.float32)


class Playback:
    """A speaker that plays what it is given, in a `with` block; it can pause, and be emptied at once."""

    def __init__(self, sample_rate: int, wanted: str = "default") -> None:
        self._device = choose(wanted, "output")
        self.name = self._device.name
        self.sample_rate = sample_rate
        self._waiting: deque[Samples] = deque()
        self._lock = threading.Lock()
        self._paused = False
        self._played = 0
        self._audible: deque[Samples] = deque(maxlen=_BLOCKS_REMEMBERED)

    def __enter__(self) -> Self:
        """Raises `VoiceError` if it cannot be opened."""
        self._stream, self.rate = open_stream(
            self._device, "output", self.sample_rate, callback=self._fill, block_seconds=_BLOCK_SECONDS
        )
        self._convert = Converter(self.sample_rate, self.rate)
        return self

    def __exit__(self, *_: object) -> None:
        with named(self._device, "output"), quiet():
            self._stream.abort()
            self._stream.close()

    def add(self, samples: "Samples") -> None:
        """Play these after all that was added before."""
        converted = self._convert(samples)
        with self._lock:
            self._waiting.append(converted)

    @property
    def played(self) -> float:
        """Seconds of what was added that have been played since it was last emptied."""
        return self._played / self.rate

    def audible(self) -> "Samples":
        """What has come out of the speaker since this was last asked, silence included: at `rate`, at most 2 s.

        It is what a microphone hears as an echo.
        """
        import numpy as np

        blocks: list[Samples] = []
        while self._audible:
            blocks.append(self._audible.popleft())
        return np.concatenate([np.zeros(0, np.float32), *blocks])

    def pause(self) -> None:
        """Be silent, within one block."""
        self._paused = True

    def resume(self) -> None:
        """Go on where it was paused."""
        self._paused = False

    def empty(self) -> None:
        """Forget all that has not been played, and go on."""
        with self._lock:
            self._waiting.clear()
            self._played = 0
        self._convert = Converter(self.sample_rate, self.rate)
        self._paused = False

    def _fill(self, out: Any, *_: object) -> None:
        """PortAudio's thread: the next block."""
        out.fill(0)
        done = 0
        with self._lock:
            while done < len(out) and self._waiting and not self._paused:
                first = self._waiting[0]
                count = min(first.size, len(out) - done)
                out[done : done + count, 0] = first[:count]
                done += count
                if count == first.size:
                    self._waiting.popleft()
                else:
                    self._waiting[0] = first[count:]
            self._played += done
        self._audible.append(out[:, 0].copy())
