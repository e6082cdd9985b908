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


_BLOCK_SECONDS = 0.1


class TimedMicrophone(FakeMicrophone):
    """Hears in the time of the event loop: what is put into `audio`, and silence while there is nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._heard = np.zeros(0, np.float32)
        self.error: Exception | None = None
        """Raised instead of more audio."""

    async def pairs(self) -> AsyncIterator[tuple[Floats, Floats]]:
        size = round(_BLOCK_SECONDS * SAMPLE_RATE)
        while True:
            while self._heard.size < size and not self.audio.empty():
                if (samples := self.audio.get_nowait()) is None:
                    return
                self._heard = np.concatenate([self._heard, samples])
            block, self._heard = self._heard[:size], self._heard[size:]
            block = np.concatenate([block, np.zeros(size - block.size, np.float32)])
            await asyncio.sleep(_BLOCK_SECONDS)
            if self.error is not None:
                raise self.error
            yield block, np.zeros(size, np.float32)


class TimedSpeaker(FakeSpeaker):
    """Plays in the time of the event loop."""

    def __init__(self) -> None:
        super().__init__()
        self._played = 0.0
        self._played_at = 0.0

    @property
    def played_seconds(self) -> float:
        self._check()
        self._advance()
        return self._played

    @property
    def busy(self) -> bool:  # type: ignore[override]
        return self.added_seconds > self._played

    def add(self, samples: Floats) -> None:
        self._check()
        self._advance()
        super().add(samples)

    def pause(self) -> None:
        self._advance()
        super().pause()

    def resume(self) -> None:
        self._advance()
        super().resume()

    def clear(self) -> None:
        super().clear()
        self._played = 0.0
        self._advance()

    def _advance(self) -> None:
        now = asyncio.get_running_loop().time()
        if not self.paused and not self.lost:
            self._played = min(self._played + now - self._played_at, self.added_seconds)
        self._played_at = now
