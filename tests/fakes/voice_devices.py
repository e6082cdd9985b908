"""A microphone and a speaker without devices, for whole voice sessions."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np

from tests.fakes.audio import Floats
from tests.fakes.speech import TTS_RATE, FakeAudioOutput
from voice.audio.types import SAMPLE_RATE


class FakeMicrophone:
    """Hears what is put into `audio`, in blocks; None ends the audio."""

    name = "a microphone"

    def __init__(self) -> None:
        self.audio: asyncio.Queue[Floats | None] = asyncio.Queue()
        self.lost = False
        self.opened = False

    def find(self, *, rescan: bool) -> None:
        pass

    def open(self, *_: object) -> None:
        self.opened = True

    def close(self) -> None:
        self.opened = False

    def clear(self) -> None:
        pass

    def push_silence(self, seconds: float) -> None:
        self.audio.put_nowait(np.zeros(round(seconds * SAMPLE_RATE), np.float32))

    async def pairs(self) -> AsyncIterator[tuple[Floats, Floats]]:
        while (samples := await self.audio.get()) is not None:
            yield samples, np.zeros(samples.size, np.float32)


class FakeSpeaker(FakeAudioOutput):
    """Plays at once what is added."""

    name = "a speaker"
    sample_rate = TTS_RATE
    rate = SAMPLE_RATE
    busy = False

    def find(self, *, rescan: bool) -> None:
        pass

    def open(self) -> None:
        pass

    def close(self) -> None:
        pass

    def read_reference(self) -> Floats:
        return np.zeros(0, np.float32)
