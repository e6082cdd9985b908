"""Sound that flows while a conversation goes on: a microphone that is always heard, a speaker that can be stopped.

PortAudio calls from a thread of its own, which only hands samples over; everything else happens on the event loop.
Either may be unplugged at any time: it is `lost` then, until it has been opened again.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, ClassVar

from assistant.errors import VoiceError
from voice.audio.devices import Converter, Direction, choose, named, open_stream, quiet
from voice.audio.types import HEARING_RATE

if TYPE_CHECKING:
    from voice.audio.types import Samples

_BLOCK_SECONDS = 0.01
_BLOCKS_REMEMBERED = 200
# A busy machine may hold this process up, and words that were not fetched in time are lost. PortAudio fetches them in
# quarters of this, so that more is heard later: 0.3 s cost 70 ms of the time in which a reply has to fall silent.
_KEPT_SECONDS = 0.15
# What has been handed to the speaker can no longer be held back: as little as does not stutter.
_AHEAD_SECONDS = 0.03
# A stream begins after up to two seconds, and never pauses after that. Some sound servers that go say nothing.
_STALLED_SECONDS = 4.0


class _Line:
    """What a microphone and a speaker have in common: a device with a stream, which may go."""

    direction: ClassVar[Direction]

    def __init__(self, wanted: str = "default") -> None:
        """Raises `VoiceError` for a device there is not, and `MissingExtraError` without PortAudio."""
        self._wanted = wanted
        self._device = choose(wanted, self.direction)
        self._stream: Any = None
        self._gone = False
        self._alive = 0.0

    @property
    def name(self) -> str:
        """What the system calls it."""
        return self._device.name

    @property
    def lost(self) -> bool:
        """Whether it has been opened and is gone, or does not move any more."""
        return self._gone or time.monotonic() - self._alive > _STALLED_SECONDS

    def find(self, *, renew: bool) -> None:
        """Look for it once more; `renew` as for `devices.choose`. Raises `VoiceError`."""
        self._device = choose(self._wanted, self.direction, renew=renew)

    def close(self) -> None:
        """End its stream, at once. Calling it twice is fine."""
        stream, self._stream = self._stream, None
        if stream is not None:
            # A device that is gone cannot be left in any better way.
            try:
                with named(self._device, self.direction), quiet():
                    stream.abort()
                    stream.close()
            except VoiceError:
                self._gone = True

    def _started(self, stream: Any) -> None:
        self._stream = stream
        self._gone = False
        self._alive = time.monotonic()

    def _finished(self) -> None:
        """PortAudio's thread: the stream is over, for whatever reason."""
        self._gone = self._stream is not None


class Microphone(_Line):
    """What a microphone hears, as 16 kHz samples."""

    direction = "input"

    def __init__(self, wanted: str = "default") -> None:
        super().__init__(wanted)
        self._heard: asyncio.Queue[tuple[Samples, Samples]] = asyncio.Queue()

    def open(self, loop: asyncio.AbstractEventLoop, beside: "Callable[[], Samples]") -> None:
        """Listen, for `pairs` on that `loop`. Raises `VoiceError` if it cannot be opened.

        `beside` is asked for what was played whenever something was heard: the two stay together, however busy it gets.
        """

        def hand_over(samples: Any, *_: object) -> None:
            self._alive = time.monotonic()
            loop.call_soon_threadsafe(self._heard.put_nowait, (samples[:, 0].copy(), beside()))

        stream, rate = open_stream(
            self._device,
            "input",
            HEARING_RATE,
            callback=hand_over,
            finished=self._finished,
            block_seconds=_BLOCK_SECONDS,
            latency=_KEPT_SECONDS,
        )
        self._convert = Converter(rate, HEARING_RATE)
        self._started(stream)

    def forget(self) -> None:
        """Drop what was heard and asked for by nobody, before another conversation begins."""
        while not self._heard.empty():
            self._heard.get_nowait()

    def fall_silent(self, seconds: float) -> None:
        """Be heard as silence for that long: so that what somebody was saying when it went has an end."""
        import numpy as np

        rate = self._convert.source
        self._heard.put_nowait((np.zeros(round(seconds * rate), np.float32), np.zeros(0, np.float32)))

    async def pairs(self) -> "AsyncIterator[tuple[Samples, Samples]]":
        """What is heard, each time with what `beside` gave then. Waits while the microphone is lost."""
        while True:
            heard, played = await self._heard.get()
            yield self._convert(heard), played


class Playback(_Line):
    """A speaker that plays what it is given; it can pause, and be emptied at once."""

    direction = "output"

    def __init__(self, sample_rate: int, wanted: str = "default") -> None:
        super().__init__(wanted)
        self.sample_rate = sample_rate
        self._waiting: deque[Samples] = deque()
        self._lock = threading.Lock()
        self._paused = False
        self._handed = 0
        # When how many of the samples that were handed over will have come out of the speaker.
        self._on_their_way: deque[tuple[float, int]] = deque()
        self._heard = 0
        self._audible: deque[Samples] = deque(maxlen=_BLOCKS_REMEMBERED)

    def open(self) -> None:
        """Be ready to play. Raises `VoiceError` if it cannot be opened."""
        with self._lock:
            self._waiting.clear()
        stream, self.rate = open_stream(
            self._device,
            "output",
            self.sample_rate,
            callback=self._fill,
            finished=self._finished,
            block_seconds=_BLOCK_SECONDS,
            latency=_AHEAD_SECONDS,
        )
        self._started(stream)
        self.empty()

    def add(self, samples: "Samples") -> None:
        """Play these after all that was added before. Raises `VoiceError` while the speaker is lost."""
        self._check()
        converted = self._convert(samples)
        with self._lock:
            self._waiting.append(converted)

    @property
    def played(self) -> float:
        """Seconds of what was added that have been heard since it was last emptied.

        What the system still keeps before it is heard does not count. Raises `VoiceError` while the speaker is lost.
        """
        self._check()
        now = time.monotonic()
        with self._lock:
            while self._on_their_way and self._on_their_way[0][0] <= now:
                self._heard = self._on_their_way.popleft()[1]
        return self._heard / self.rate

    @property
    def busy(self) -> bool:
        """Whether there is something left to play."""
        return bool(self._waiting)

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
        """Be silent, as soon as what the system already has was heard."""
        self._paused = True

    def resume(self) -> None:
        """Go on where it was paused."""
        self._paused = False

    def empty(self) -> None:
        """Forget all that has not been played, and go on."""
        with self._lock:
            self._waiting.clear()
            self._on_their_way.clear()
            self._handed = self._heard = 0
        self._convert = Converter(self.sample_rate, self.rate)
        self._paused = False

    def _check(self) -> None:
        if self.lost:
            raise VoiceError(f"The speaker {self.name!r} has gone: it is used again when it is back.")

    def _fill(self, out: Any, _frames: int, times: Any, _status: object) -> None:
        """PortAudio's thread: the next block."""
        self._alive = time.monotonic()
        # Some systems cannot tell when a block will be heard, and say that it was long ago.
        ahead = min(max(times.outputBufferDacTime - times.currentTime, 0.0), 1.0)
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
            if done:
                self._handed += done
                self._on_their_way.append((self._alive + ahead + done / self.rate, self._handed))
        self._audible.append(out[:, 0].copy())
