"""Devices that are lost during a conversation and come back, on an audio server of the tests' own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import numpy as np
import pytest

from assistant.errors import VoiceError
from tests.fakes.audio import Floats, tone
from tests.fakes.audio_server import (
    DEADLINE_SECONDS,
    MISSING,
    REASON,
    RECORDING_RATE,
    AudioServer,
    audio_server,
    read_samples,
)
from voice.audio.duplex import AudioDuplex, DeviceChange, DeviceKind
from voice.audio.streams import AudioOutput, Microphone

pytestmark = [
    pytest.mark.slow,
    pytest.mark.live,
    pytest.mark.timeout(240),
    pytest.mark.skipif(bool(MISSING), reason=REASON),
]

RATE = 22_050


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[AudioServer]:
    with audio_server(tmp_path_factory.mktemp("pulse")) as started:
        for name, value in started.environment.items():
            monkeypatch.setenv(name, value)
        yield started


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition: PortAudio reports nothing that could be awaited."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


class Listener:
    """A duplex, with everything that it heard and reported."""

    def __init__(self) -> None:
        self.changes: list[DeviceChange] = []
        self.duplex = AudioDuplex(Microphone(), AudioOutput(RATE), self.changes.append)
        self.speaker = self.duplex.speaker
        self._heard: list[Floats] = []

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        async with self.duplex:
            task = asyncio.create_task(self._listen())
            yield
            task.cancel()

    async def _listen(self) -> None:
        async for samples, _ in self.duplex.pairs():
            self._heard.append(samples)

    async def hears(self, server: AudioServer) -> None:
        """Speak into the microphone until it is heard, which may take more than a second after the start."""
        self._heard.clear()
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not any(np.abs(samples).max() > 0.1 for samples in self._heard):
                await asyncio.to_thread(server.say, tone(0.5), 16_000)

    async def reports(self, kind: DeviceKind, *, back: bool) -> None:
        await until(lambda: any((change.kind, change.back) == (kind, back) for change in self.changes))


async def test_lost_devices_are_reported_once_and_used_again(server: AudioServer) -> None:
    listener = Listener()
    async with listener.listening():
        await listener.hears(server)
        listener.speaker.add(np.zeros(RATE, np.float32))
        server.stop()
        await listener.reports("microphone", back=False)
        await listener.reports("speaker", back=False)
        with pytest.raises(VoiceError, match="The speaker 'default' was disconnected"):
            listener.speaker.add(np.zeros(100, np.float32))
        with pytest.raises(VoiceError, match="was disconnected"):
            _ = listener.speaker.played_seconds
        # Long enough for a second attempt to reconnect, which may not report anything.
        await asyncio.sleep(3)
        server.start()
        await listener.reports("microphone", back=True)
        await listener.reports("speaker", back=True)
        await listener.hears(server)
        listener.speaker.add(np.zeros(RATE // 2, np.float32))
        await until(lambda: listener.speaker.played_seconds >= 0.45)
        assert len(listener.changes) == 4


async def test_a_new_default_speaker_is_used(server: AudioServer) -> None:
    listener = Listener()
    async with listener.listening():
        await listener.hears(server)
        server.run("pactl", "load-module", "module-null-sink", "sink_name=other", f"rate={RECORDING_RATE}")
        server.run("pactl", "set-default-sink", "other")
        with server.record("other.monitor", 0.5) as path:
            listener.speaker.add(tone(1.0, RATE).astype(np.float32))
            await until(lambda: listener.speaker.played_seconds >= 0.95)
        assert np.abs(read_samples(path)).max() > 0.2
        assert listener.changes == []


async def test_a_paused_output_is_soon_silent_and_counts_only_what_was_heard(server: AudioServer) -> None:
    listener = Listener()
    speaker = listener.speaker
    async with listener.duplex:
        with server.record("spk.monitor", 0.5) as path:
            speaker.add(tone(5.0, RATE).astype(np.float32))
            await until(lambda: speaker.played_seconds >= 1)
            speaker.pause()
            # What the device has already is still played.
            await asyncio.sleep(1)
            played = speaker.played_seconds
        # A sine is close to zero some of the time.
        loud_seconds = int((np.abs(read_samples(path)) > 0.01).sum()) / RECORDING_RATE
        assert played == pytest.approx(loud_seconds, abs=0.1)
        speaker.clear()
        assert speaker.played_seconds == 0
