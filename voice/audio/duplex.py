"""A microphone and a speaker that are used together, and opened again when they went and are back.

           ┌─ lost? ─ told once ─ looked for every two seconds ─ told that it is back
Microphone ┤
Playback ──┘
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

from assistant.async_bridge import finish
from assistant.errors import VoiceError
from voice.audio.devices import Converter
from voice.audio.streams import Microphone, Playback
from voice.audio.types import HEARING_RATE

if TYPE_CHECKING:
    from voice.audio.types import Samples

_LOOK_SECONDS = 0.5
_TRY_SECONDS = 2.0
# Longer than any silence that ends a turn.
_LAST_SILENCE_SECONDS = 3.0


@dataclass(frozen=True)
class DeviceChange:
    """A device has gone, or is `back`."""

    what: Literal["microphone", "speaker"]
    name: str
    back: bool

    def __str__(self) -> str:
        if self.back:
            return f"The {self.what} is back: {self.name}."
        return f"The {self.what} {self.name!r} has gone: it is used again when it is back."


class Headset:
    """Both devices, open inside `async with`. `changed` is told, on the event loop, when one goes or is back."""

    def __init__(
        self, microphone: Microphone, speaker: Playback, changed: Callable[[DeviceChange], None] | None = None
    ) -> None:
        self.microphone = microphone
        self.speaker = speaker
        self.changed = changed or (lambda _: None)
        self._lost: set[Literal["microphone", "speaker"]] = set()

    async def __aenter__(self) -> Self:
        """Raises `VoiceError` if one cannot be opened."""
        self._loop = asyncio.get_running_loop()
        self._lost.clear()
        self.microphone.forget()
        try:
            await finish(self._loop.run_in_executor(None, self._open))
        except BaseException:
            self._close()
            raise
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._watching.cancel()
        with suppress(asyncio.CancelledError):
            await self._watching
        await finish(self._loop.run_in_executor(None, self._close))

    async def pairs(self) -> "AsyncIterator[tuple[Samples, Samples]]":
        """What is heard, each time with what has been played beside it; both have 16,000 samples a second."""
        async for heard, played in self.microphone.pairs():
            yield heard, self._far(played)

    def _open(self) -> None:
        self.speaker.find(renew=True)
        self.microphone.find(renew=False)
        self.speaker.open()
        self._far = Converter(self.speaker.rate, HEARING_RATE)
        self.microphone.open(self._loop, self.speaker.audible)

    def _close(self) -> None:
        self.microphone.close()
        self.speaker.close()

    async def _watch(self) -> None:
        tried = 0.0
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if self._note() and self._loop.time() - tried >= _TRY_SECONDS:
                await finish(self._loop.run_in_executor(None, self._mend))
                tried = self._loop.time()
                self._note()

    def _note(self) -> bool:
        """Tell what has changed since the last time; whether something is lost."""
        lines: tuple[tuple[Literal["microphone", "speaker"], Microphone | Playback], ...] = (
            ("microphone", self.microphone),
            ("speaker", self.speaker),
        )
        for what, line in lines:
            lost = line.lost
            if lost == (what in self._lost):
                continue
            self._lost ^= {what}
            self.changed(DeviceChange(what, line.name, back=not lost))
            if line is self.microphone and lost:
                self.microphone.fall_silent(_LAST_SILENCE_SECONDS)
        return bool(self._lost)

    def _mend(self) -> None:
        """Open what is lost, if it can be: on a thread, since that may take a second."""
        # As sound servers have it, the device itself is still there, and another is behind it now.
        if self.speaker.lost:
            self.speaker.close()
            with suppress(VoiceError):
                self.speaker.find(renew=False)
                self.speaker.open()
                self._far = Converter(self.speaker.rate, HEARING_RATE)
        if self.microphone.lost:
            self.microphone.close()
            with suppress(VoiceError):
                self.microphone.find(renew=False)
                self.microphone.open(self._loop, self.speaker.audible)
        # Looking for new ones ends both: not while there is a microphone to be heard, nor in the middle of a reply.
        if self.microphone.lost and not self.speaker.busy:
            self._close()
            with suppress(VoiceError):
                self._open()
