"""A microphone and an output used together, reopened when one was lost and has come back.

Microphone ──┬─▶ lost? ─▶ report once ─▶ try to reconnect every two seconds ─▶ report that it is back
AudioOutput ─┘
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

from assistant.async_bridge import wait_uncancelled
from assistant.errors import VoiceError
from voice.audio.resample import Resampler
from voice.audio.streams import AudioOutput, Microphone
from voice.audio.types import SAMPLE_RATE

if TYPE_CHECKING:
    from voice.audio.types import Samples

_CHECK_SECONDS = 0.5
_RECONNECT_SECONDS = 2.0
# Inserted when the microphone is lost: longer than any silence that ends a turn.
_CLOSING_SILENCE_SECONDS = 3.0

DeviceKind = Literal["microphone", "speaker"]


@dataclass(frozen=True)
class DeviceChange:
    """A device was lost, or is `back`. Its string is the sentence for people."""

    kind: DeviceKind
    name: str
    back: bool

    def __str__(self) -> str:
        if self.back:
            return f"The {self.kind} is back: {self.name}."
        return f"The {self.kind} {self.name!r} was disconnected: it is used again when it is back."


class AudioDuplex:
    """Both devices, open inside `async with`."""

    def __init__(
        self,
        microphone: Microphone,
        speaker: AudioOutput,
        on_device_change: Callable[[DeviceChange], None] | None = None,
    ) -> None:
        """Combine two devices. `on_device_change` is called on the event loop when one is lost or back."""
        self.microphone = microphone
        self.speaker = speaker
        self._on_device_change = on_device_change or (lambda _: None)
        self._reported_lost: set[DeviceKind] = set()

    async def __aenter__(self) -> Self:
        """Open both devices. Raises `VoiceError` if one cannot be opened."""
        self._loop = asyncio.get_running_loop()
        self._reported_lost.clear()
        self.microphone.clear()
        try:
            await wait_uncancelled(self._loop.run_in_executor(None, self._open))
        except BaseException:
            self._close()
            raise
        self._watcher = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._watcher.cancel()
        with suppress(asyncio.CancelledError):
            await self._watcher
        await wait_uncancelled(self._loop.run_in_executor(None, self._close))

    async def pairs(self) -> "AsyncIterator[tuple[Samples, Samples]]":
        """Yield what is heard with what was played in the same time (the reference), both at 16 kHz."""
        async for captured, reference in self.microphone.pairs():
            yield captured, self._reference_resampler.process(reference)

    def _open(self) -> None:
        # The speaker first: it must work again after a rescan that does not find the microphone.
        self.speaker.find(rescan=True)
        self._open_speaker()
        self.microphone.find(rescan=False)
        self.microphone.open(self._loop, self.speaker.read_reference)

    def _open_speaker(self) -> None:
        self.speaker.open()
        self._reference_resampler = Resampler(self.speaker.rate, SAMPLE_RATE)

    def _close(self) -> None:
        self.microphone.close()
        self.speaker.close()

    async def _watch(self) -> None:
        tried = 0.0
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            if self._report_changes() and self._loop.time() - tried >= _RECONNECT_SECONDS:
                await wait_uncancelled(self._loop.run_in_executor(None, self._reconnect))
                tried = self._loop.time()
                self._report_changes()

    def _report_changes(self) -> bool:
        """Report what changed since the last call. Return True while a device is lost."""
        devices: tuple[tuple[DeviceKind, Microphone | AudioOutput], ...] = (
            ("microphone", self.microphone),
            ("speaker", self.speaker),
        )
        for kind, device in devices:
            lost = device.lost
            if lost == (kind in self._reported_lost):
                continue
            self._reported_lost ^= {kind}
            self._on_device_change(DeviceChange(kind, device.name, back=not lost))
            if device is self.microphone and lost:
                self.microphone.push_silence(_CLOSING_SILENCE_SECONDS)
        return bool(self._reported_lost)

    def _reconnect(self) -> None:
        """Reopen lost devices where possible. Runs on a thread, since it may take a second."""
        # With a sound server, the device's name stays and another device is behind it now: no rescan is needed.
        if self.speaker.lost:
            self.speaker.close()
            with suppress(VoiceError):
                self.speaker.find(rescan=False)
                self._open_speaker()
        if self.microphone.lost:
            self.microphone.close()
            with suppress(VoiceError):
                self.microphone.find(rescan=False)
                self.microphone.open(self._loop, self.speaker.read_reference)
        # A rescan ends both streams: not while the microphone works, nor in the middle of a reply.
        if self.microphone.lost and not self.speaker.busy:
            self._close()
            with suppress(VoiceError):
                self._open()
