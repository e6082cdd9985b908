"""A long spoken conversation costs no more at its end than at its beginning.

SOAK sets the number of turns.
"""

import asyncio
import gc
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import psutil
import pytest

from assistant.conversation.session import Session
from assistant.events import TurnFinished
from assistant.models.scripted import ScriptedModel
from tests.fakes.speech import FakeSpeechToText, FakeTextToSpeech, speech
from tests.fakes.virtual_time import run_virtually
from tests.fakes.voice_devices import TimedMicrophone, TimedSpeaker
from voice.audio.streams import AudioOutput, Microphone
from voice.options import FrontEnd, SpeechEngines, VoiceOptions
from voice.voice_session import VoiceSession

TURNS = int(os.environ.get("SOAK", "200"))
"""One of four is interrupted."""


class Soak:
    """A call of `TURNS` turns, and what the process has at each."""

    def __init__(self, folder: Path) -> None:
        self.microphone, self.speaker = TimedMicrophone(), TimedSpeaker()
        # A context of a few turns: the model's prompt is as long at the end as soon after the beginning.
        model = ScriptedModel(context_tokens=200)
        model.enqueue(*(f"One two three four five six seven eight. That was {number}." for number in range(2 * TURNS)))
        self.model = model
        self.session = Session(model)
        engines = SpeechEngines(FakeSpeechToText("Count to eight, please.", "Stop it now."), FakeTextToSpeech())
        options = VoiceOptions(
            headphones=True, call_log=folder / "log.jsonl", audio_dir=folder / "audio", record=folder / "call.wav"
        )
        self.voice_session = VoiceSession(
            engines, cast("Microphone", self.microphone), cast("AudioOutput", self.speaker), options
        )
        self.finished = 0
        self.bytes: list[int] = []
        self.seconds: list[float] = []

    async def run(self) -> None:
        running = asyncio.create_task(
            self.voice_session.run(self.session, FrontEnd(self._on_event), on_ready=lambda _: None)
        )
        process = psutil.Process()
        while self.finished < TURNS:
            started, before = time.process_time(), self.finished
            self.microphone.audio.put_nowait(speech(0))
            if self.finished % 4 == 3:
                await self._until(lambda: self.speaker.added_seconds > 0)
                self.microphone.audio.put_nowait(speech(1))
            await self._until(partial(self._has_finished_more_than, before))
            # The prompts of a scripted model are for tests that look at them.
            self.model.prompts.clear()
            self.seconds.append(time.process_time() - started)
            gc.collect()
            self.bytes.append(process.memory_info().rss)
        self.microphone.audio.put_nowait(None)
        await running
        await self.session.close()

    async def _until(self, condition: Callable[[], object]) -> None:
        while not condition():  # noqa: ASYNC110 - sound cards have no event
            await asyncio.sleep(0.1)

    def _has_finished_more_than(self, count: int) -> bool:
        return self.finished > count

    def _on_event(self, event: object) -> None:
        if isinstance(event, TurnFinished):
            self.finished += 1


@pytest.mark.slow
@pytest.mark.timeout(60 + TURNS)
def test_long_conversation_grows_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voice.turns.vad.SileroVad", lambda: lambda frame: float(np.abs(frame).max()))
    process = psutil.Process()
    threads, descriptors = threading.active_count(), process.num_fds()
    soak = Soak(tmp_path)
    run_virtually(soak.run())
    tenth = TURNS // 10
    # What is loaded and cached at first is no growth.
    early, late = np.median(soak.bytes[tenth : 2 * tenth]), np.median(soak.bytes[-tenth:])
    early_seconds, late_seconds = np.median(soak.seconds[tenth : 2 * tenth]), np.median(soak.seconds[-tenth:])
    growth = late / early - 1
    print(
        f"{TURNS} turns: {early / 1e6:.1f} MB to {late / 1e6:.1f} MB ({growth:+.1%}), "
        f"{1000 * early_seconds:.1f} ms to {1000 * late_seconds:.1f} ms a turn"
    )
    assert growth < 0.05
    assert threading.active_count() == threads
    assert process.num_fds() == descriptors
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) > 3 * TURNS
