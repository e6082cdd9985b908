"""When lost devices are reported and opened again, with devices that are lost at will."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import numpy as np
import pytest

from assistant.errors import VoiceError
from tests.fakes.audio import Floats
from voice.audio import duplex
from voice.audio.duplex import AudioDuplex


class FakeDevice:
    """A microphone and a speaker in one. It is lost while `unplugged`, and until it is opened again."""

    rate = 16_000

    def __init__(self, name: str) -> None:
        self.name = name
        self.unplugged = False
        self.busy = False
        self.silence_seconds = 0.0
        self.rescans = 0
        self.searches = 0
        self._is_open = False

    @property
    def lost(self) -> bool:
        return self.unplugged or not self._is_open

    def unplug(self) -> None:
        self.unplugged, self._is_open = True, False

    def find(self, *, rescan: bool) -> None:
        self.searches += 1
        self.rescans += rescan
        if self.unplugged:
            raise VoiceError("It is not there.")

    def open(self, *_: object) -> None:
        if self.unplugged:
            raise VoiceError("It cannot be opened.")
        self._is_open = True

    def close(self) -> None:
        self._is_open = False

    def clear(self) -> None:
        pass

    def read_reference(self) -> Floats:
        return np.zeros(0, np.float32)

    def push_silence(self, seconds: float) -> None:
        self.silence_seconds += seconds


class Devices:
    def __init__(self) -> None:
        self.microphone, self.speaker = FakeDevice("Mic"), FakeDevice("Box")
        self.reports: list[str] = []

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        pair = AudioDuplex(
            cast("Any", self.microphone), cast("Any", self.speaker), lambda change: self.reports.append(str(change))
        )
        async with pair:
            yield
        assert self.microphone.lost
        assert self.speaker.lost

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():  # noqa: ASYNC110 - the devices are polled
                await asyncio.sleep(0.005)

    async def searched_again(self, device: FakeDevice) -> None:
        """Wait for two more attempts to find a device."""
        searches = device.searches
        await self.until(lambda: device.searches >= searches + 2)


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> Devices:
    monkeypatch.setattr(duplex, "_CHECK_SECONDS", 0.001)
    monkeypatch.setattr(duplex, "_RECONNECT_SECONDS", 0.001)
    return Devices()


async def test_lost_microphone_is_reported_once_and_ends_the_utterance(devices: Devices) -> None:
    async with devices.opened():
        devices.microphone.unplug()
        await devices.searched_again(devices.microphone)
        assert devices.reports == ["The microphone 'Mic' was disconnected: it is used again when it is back."]
        assert devices.microphone.silence_seconds > 2, "longer than any pause"
        devices.microphone.unplugged = False
        await devices.until(lambda: len(devices.reports) > 1)
    assert devices.reports[1:] == ["The microphone is back: Mic."]


async def test_both_devices_are_used_again(devices: Devices) -> None:
    async with devices.opened():
        devices.speaker.unplug()
        devices.microphone.unplug()
        await devices.until(lambda: len(devices.reports) == 2)
        devices.speaker.unplugged = devices.microphone.unplugged = False
        await devices.until(lambda: len(devices.reports) == 4)
    assert sorted(devices.reports[2:]) == ["The microphone is back: Mic.", "The speaker is back: Box."]


async def test_no_rescan_cuts_off_a_reply(devices: Devices) -> None:
    async with devices.opened():
        devices.speaker.busy = True
        devices.microphone.unplug()
        await devices.searched_again(devices.microphone)
        assert devices.speaker.rescans == 1, "that of the start"
        devices.speaker.busy = False
        await devices.until(lambda: devices.speaker.rescans > 1)


async def test_device_that_cannot_be_opened_is_an_error(devices: Devices) -> None:
    devices.microphone.unplug()
    with pytest.raises(VoiceError, match="not there"):
        async with devices.opened():
            pass
    assert devices.speaker.lost, "the other one is closed"
