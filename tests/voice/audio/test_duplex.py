"""Devices that go while a conversation runs, on a sound server of the test's own, and come back."""

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest

from assistant.errors import VoiceError
from tests.fakes.audio import Floats, tone
from tests.fakes.sound_server import MISSING, REASON, SoundServer, samples_of, sound_server
from voice.audio.duplex import AudioDuplex, DeviceChange
from voice.audio.streams import AudioOutput, Microphone

pytestmark = [
    pytest.mark.slow,
    pytest.mark.live,
    pytest.mark.timeout(120),
    pytest.mark.skipif(bool(MISSING), reason=REASON),
]


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[SoundServer]:
    with sound_server(tmp_path_factory.mktemp("pulse")) as started:
        for name, value in started.environment.items():
            monkeypatch.setenv(name, value)
        yield started


class Listener:
    """What has been heard so far, and the changes that were told."""

    def __init__(self) -> None:
        self.changes: list[DeviceChange] = []
        self.duplex = AudioDuplex(Microphone(), AudioOutput(22_050), self.changes.append)
        self.heard: list[Floats] = []

    async def listen(self) -> None:
        async for samples, _ in self.duplex.pairs():
            self.heard.append(samples)

    async def hears(self, server: SoundServer) -> None:
        """Wait until what is said into the microphone arrives, which the first second may not."""
        self.heard.clear()
        async with asyncio.timeout(40):
            while not any(np.abs(samples).max() > 0.1 for samples in self.heard):
                await asyncio.to_thread(server.say, tone(0.5), 16_000)

    async def until(self, what: str, *, back: bool) -> None:
        async with asyncio.timeout(40):
            while not any((change.kind, change.back) == (what, back) for change in self.changes):  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def test_devices_that_go_are_told_of_once_and_used_again_when_they_are_back(server: SoundServer) -> None:
    listener = Listener()
    duplex = listener.duplex
    async with duplex:
        listening = asyncio.create_task(listener.listen())
        await listener.hears(server)
        duplex.speaker.add(np.zeros(22_050, np.float32))
        server.stop()
        await listener.until("microphone", back=False)
        await listener.until("speaker", back=False)
        with pytest.raises(VoiceError, match="The speaker 'default' has gone"):
            duplex.speaker.add(np.zeros(100, np.float32))
        with pytest.raises(VoiceError, match="has gone"):
            _ = duplex.speaker.played_seconds
        await asyncio.sleep(3)
        server.start()
        await listener.until("microphone", back=True)
        await listener.until("speaker", back=True)
        await listener.hears(server)
        duplex.speaker.add(np.zeros(22_050 // 2, np.float32))
        async with asyncio.timeout(20):
            while duplex.speaker.played_seconds < 0.45:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert len(listener.changes) == 4
        listening.cancel()


async def test_another_default_is_followed(server: SoundServer) -> None:
    listener = Listener()
    async with listener.duplex:
        listening = asyncio.create_task(listener.listen())
        await listener.hears(server)
        server.run("pactl", "load-module", "module-null-sink", "sink_name=other", "rate=48000")
        server.run("pactl", "set-default-sink", "other")
        with server.recorded("other.monitor", 0.5) as path:
            listener.duplex.speaker.add(tone(1.0, 22_050).astype(np.float32))
            await asyncio.sleep(2)
        assert np.abs(samples_of(path)).max() > 0.2
        assert listener.changes == []
        listening.cancel()


async def test_what_is_paused_is_soon_silent_and_counts_no_more_than_was_heard(server: SoundServer) -> None:
    listener = Listener()
    speaker = listener.duplex.speaker
    async with listener.duplex:
        await asyncio.sleep(2)
        with server.recorded("spk.monitor", 0.5) as path:
            speaker.add(tone(5.0, 22_050).astype(np.float32))
            await asyncio.sleep(1.5)
            speaker.pause()
            await asyncio.sleep(1)
            heard = speaker.played_seconds
        loud = int((np.abs(samples_of(path)) > 0.01).sum()) / 48_000
        # A sine is near zero some of the time.
        assert heard == pytest.approx(loud, abs=0.1)
        speaker.clear()
        assert speaker.played_seconds == 0
