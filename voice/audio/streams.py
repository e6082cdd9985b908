"""Audio that flows while a conversation goes on: a microphone, and an output that can pause and be cleared.

PortAudio calls back on its own thread, which only hands samples over; everything else happens on the event loop.
Either device may be unplugged at any time: it is `lost` then, until it is opened again.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, ClassVar

from assistant.errors import VoiceError
from assistant.stderr import silence_stderr
from voice.audio.devices import Direction, find_device, open_stream, translate_errors
from voice.audio.playback_buffer import PlaybackBuffer
from voice.audio.resample import Resampler
from voice.audio.types import SAMPLE_RATE

if TYPE_CHECKING:
    from voice.audio.types import Samples

_BLOCK_SECONDS = 0.01
# Audio buffered while a busy machine holds this process up; beyond it, words are lost. PortAudio delivers it in
# quarters, which delays what is heard: 0.3 s cost 70 ms of the time in which a reply has to fall silent.
_INPUT_LATENCY_SECONDS = 0.15
# Audio in the device's buffer cannot be taken back: as little as does not stutter.
_OUTPUT_LATENCY_SECONDS = 0.03
# A stream calls back within two seconds of its start and then all the time. Some sound servers vanish without a word.
_STALL_SECONDS = 4.0


class AudioStream:
    """A device with a stream that may be lost: the common part of microphone and output."""

    direction: ClassVar[Direction]

    def __init__(self, device: str = "default") -> None:
        """Find the device; `open` starts the stream.

        Args:
            device: Query for `find_device`.

        Raises:
            VoiceError: There is no such device.
            MissingExtraError: PortAudio is not installed.
        """
        self._query = device
        self._device = find_device(device, self.direction)
        self._stream: Any = None
        self._ended = False
        self._last_callback = 0.0

    @property
    def name(self) -> str:
        """Name of the device."""
        return self._device.name

    @property
    def lost(self) -> bool:
        """True when the stream was opened and has ended or stalled."""
        return self._ended or time.monotonic() - self._last_callback > _STALL_SECONDS

    def find(self, *, rescan: bool) -> None:
        """Look for the device again; `rescan` as in `list_devices`. Raises `VoiceError` if it is not there."""
        self._device = find_device(self._query, self.direction, rescan=rescan)

    def close(self) -> None:
        """End the stream at once. May be called twice."""
        stream, self._stream = self._stream, None
        if stream is not None:
            try:
                with translate_errors(self._device, self.direction), silence_stderr():
                    stream.abort()
                    stream.close()
            except VoiceError:
                # The device is gone: nothing is left to close.
                self._ended = True

    def _on_started(self, stream: Any) -> None:
        self._stream = stream
        self._ended = False
        self._last_callback = time.monotonic()

    def _on_finished(self) -> None:
        """Called by PortAudio's thread when the stream has stopped, also by `close`."""
        self._ended = self._stream is not None


class Microphone(AudioStream):
    """A microphone that delivers 16 kHz samples."""

    direction = "input"

    def __init__(self, device: str = "default") -> None:
        super().__init__(device)
        # Captured samples at the device's rate, with the reference read at that moment.
        self._captured: asyncio.Queue[tuple[Samples, Samples]] = asyncio.Queue()

    def open(self, loop: asyncio.AbstractEventLoop, read_reference: "Callable[[], Samples]") -> None:
        """Start to record.

        Args:
            loop: The event loop on which `pairs` is read.
            read_reference: Return what was played since the last call. It is called with each captured block, so that
                both stay aligned however busy the machine is.

        Raises:
            VoiceError: The microphone cannot be opened.
        """

        def capture(samples: Any, *_: object) -> None:
            self._last_callback = time.monotonic()
            loop.call_soon_threadsafe(self._captured.put_nowait, (samples[:, 0].copy(), read_reference()))

        stream, rate = open_stream(
            self._device,
            "input",
            SAMPLE_RATE,
            callback=capture,
            on_finished=self._on_finished,
            block_seconds=_BLOCK_SECONDS,
            latency=_INPUT_LATENCY_SECONDS,
        )
        self._resampler = Resampler(rate, SAMPLE_RATE)
        self._on_started(stream)

    def clear(self) -> None:
        """Drop captured samples that nobody has read, before another conversation begins."""
        while not self._captured.empty():
            self._captured.get_nowait()

    def push_silence(self, seconds: float) -> None:
        """Insert silence, so that an utterance ends that was going on when the microphone was lost."""
        import numpy as np

        count = round(seconds * self._resampler.source_rate)
        self._captured.put_nowait((np.zeros(count, np.float32), np.zeros(0, np.float32)))

    async def pairs(self) -> "AsyncIterator[tuple[Samples, Samples]]":
        """Yield captured samples at 16 kHz with their reference. Waits while the microphone is lost."""
        while True:
            captured, reference = await self._captured.get()
            yield self._resampler.process(captured), reference


class AudioOutput(AudioStream):
    """Plays a queue of samples; it can pause, and be cleared at once."""

    direction = "output"

    def __init__(self, sample_rate: int, device: str = "default") -> None:
        super().__init__(device)
        self.sample_rate = sample_rate
        """Rate in Hz of the samples that are added."""
        self.rate = sample_rate
        """Rate in Hz of the device, known once it is open."""
        self._buffer = PlaybackBuffer()

    def open(self) -> None:
        """Start the stream. Raises `VoiceError` if the output cannot be opened."""
        self._buffer.clear()
        stream, self.rate = open_stream(
            self._device,
            "output",
            self.sample_rate,
            callback=self._fill,
            on_finished=self._on_finished,
            block_seconds=_BLOCK_SECONDS,
            latency=_OUTPUT_LATENCY_SECONDS,
        )
        self._on_started(stream)
        self.clear()

    def add(self, samples: "Samples") -> None:
        """Queue samples. Raises `VoiceError` while the output is lost."""
        self._check()
        self._buffer.add(self._resampler.process(samples))

    @property
    def played_seconds(self) -> float:
        """Seconds of the queued audio that have been heard since the last `clear`.

        Audio that the system still buffers does not count. Raises `VoiceError` while the output is lost.
        """
        self._check()
        return self._buffer.heard_samples(time.monotonic()) / self.rate

    @property
    def busy(self) -> bool:
        """True while something is left to play."""
        return not self._buffer.empty

    def read_reference(self) -> "Samples":
        """Return what was played since the last call, silence included: at `rate`, at most 2 s.

        This is the echo canceller's reference signal (the far end).
        """
        return self._buffer.read_reference()

    def pause(self) -> None:
        """Fall silent as soon as the device's buffer has been heard; keep the queue."""
        self._buffer.pause()

    def resume(self) -> None:
        """Continue after `pause`."""
        self._buffer.resume()

    def clear(self) -> None:
        """Drop everything that has not been played, and resume."""
        self._buffer.clear()
        self._resampler = Resampler(self.sample_rate, self.rate)

    def _check(self) -> None:
        if self.lost:
            raise VoiceError(f"The speaker {self.name!r} was disconnected: it is used again when it is back.")

    def _fill(self, out: Any, _frames: int, times: Any, _status: object) -> None:
        """Fill the next block, on PortAudio's thread. `out` has the shape (samples, 1)."""
        self._last_callback = time.monotonic()
        # Some systems do not know when a block will be heard, and report a time in the past.
        delay = min(max(times.outputBufferDacTime - times.currentTime, 0.0), 1.0)
        self._buffer.fill(out[:, 0], self._last_callback + delay, self.rate)
