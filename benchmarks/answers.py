"""Measure the time from the end of speech to the first sound of the answer, stage by stage, with the bundled models.

The questions of `benchmarks.utterances`, spoken by the bundled voice, are fed to a `SpokenConversation` in real time,
in blocks of 20 ms as from a microphone. The answer goes to an output in memory. Each question is the first one of a
conversation in English. The sound card and echo cancellation are not included.

    speech ends ─▶ the turn is over ─▶ its words are known ─▶ a sentence is written ─▶ sound
              wait                words                sentence                voice
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from assistant.conversation.session import Session
from assistant.events import Event, UserTranscript
from assistant.models.base import GenerationOptions
from assistant.settings import load
from benchmarks.figures import Figure
from benchmarks.utterances import QUESTIONS, full_text, quiet_room, synthesize
from parley.factory.models import build_model
from parley.factory.voice import build_end_of_turn_model, build_stt, build_tts
from voice.audio.types import SAMPLE_RATE
from voice.conversation import SpokenConversation
from voice.options import FrontEnd, SpeechEngines, VoiceOptions
from voice.tts.base import TextToSpeech
from voice.turns.vad import SileroVad, TurnEvent, UserStoppedSpeaking, UserTurnDetector

if TYPE_CHECKING:
    from voice.audio.types import Samples

GOAL_SECONDS = 1.5
STAGES = ("wait", "words", "sentence", "voice")

_BLOCK_SAMPLES = SAMPLE_RATE // 50
# An answer that has not begun after so much silence never will.
_MAX_ANSWER_SECONDS = 60


@dataclass
class Timestamps:
    """Times of what happened after one question, on the clock of `time.perf_counter`."""

    speech_ended: float = 0.0
    turn_ended: float = 0.0
    transcribed: float = 0.0
    sentence_written: float = 0.0
    sound_started: float = 0.0

    @property
    def stages(self) -> tuple[float, ...]:
        """Seconds of each of `STAGES`."""
        times = (self.speech_ended, self.turn_ended, self.transcribed, self.sentence_written, self.sound_started)
        return tuple(later - earlier for earlier, later in pairwise(times))

    @property
    def total(self) -> float:
        """Seconds from the end of speech to the first sound."""
        return self.sound_started - self.speech_ended


def measure(runs: int) -> list[Figure]:  # noqa: ARG001 - the questions are the runs
    """Return the median and the 95th percentile of each stage and of their sum, over all questions."""
    settings = load({"model": "pocket"}).settings
    engines = SpeechEngines(build_stt(settings), build_tts(settings), build_end_of_turn_model(settings))
    session = Session(build_model(settings), options=GenerationOptions(64, temperature=0))
    # The first question warms everything up and is not counted.
    questions = [synthesize(full_text(question), engines.tts) for question in (QUESTIONS[0], *QUESTIONS)]
    timestamps = asyncio.run(ask_all(questions, session, engines))[1:]
    complete = [each for each in timestamps if each.turn_ended > each.speech_ended]
    figures = [Figure("questions answered before they were over", "", (float(len(timestamps) - len(complete)),), 0)]
    stages = zip(STAGES, zip(*(each.stages for each in complete), strict=True), strict=True)
    totals = tuple(each.total for each in complete)
    for name, values in (*stages, ("end of speech to first sound", totals)):
        goal = GOAL_SECONDS if values is totals else None
        figures.append(Figure(name, "s", values, goal))
        figures.append(Figure(f"{name}, 95th percentile", "s", (float(np.percentile(values, 95)),)))
    return figures


async def ask_all(questions: "list[Samples]", session: Session, engines: SpeechEngines) -> list[Timestamps]:
    """Ask each question as the first one of a conversation."""
    timestamps = []
    for question in questions:
        timestamps.append(await ask(question, session, engines))
        session.messages.clear()
    return timestamps


async def ask(question: "Samples", session: Session, engines: SpeechEngines) -> Timestamps:
    """Ask one question, and stop at the first sound of its answer."""
    timestamps = Timestamps()
    answered = asyncio.Event()

    def on_event(event: Event) -> None:
        if isinstance(event, UserTranscript):
            timestamps.transcribed = time.perf_counter()

    conversation = SpokenConversation(
        session,
        SpeechEngines(engines.stt, TimedVoice(engines.tts, timestamps), engines.end_of_turn),
        TimedTurnDetector(timestamps),
        TimedOutput(timestamps, answered, asyncio.get_running_loop()),
        FrontEnd(on_event),
        VoiceOptions(language="en"),
    )
    running = asyncio.create_task(conversation.run(microphone(question, timestamps)))
    waiting = asyncio.create_task(answered.wait())
    await asyncio.wait([running, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    if not answered.is_set():
        raise RuntimeError(f"A question was not answered within {_MAX_ANSWER_SECONDS} s.")
    return timestamps


async def microphone(question: "Samples", timestamps: Timestamps) -> "AsyncIterator[Samples]":
    """Yield the question in a quiet room, in real time."""
    lead = quiet_room(0.5)
    samples = np.concatenate([lead, question, quiet_room(_MAX_ANSWER_SECONDS)])
    end = lead.size + question.size
    started = time.perf_counter()
    for at in range(0, samples.size, _BLOCK_SAMPLES):
        await asyncio.sleep(max(0.0, started + (at + _BLOCK_SAMPLES) / SAMPLE_RATE - time.perf_counter()))
        if at < end <= at + _BLOCK_SAMPLES:
            # The time at which it was said; this process may be a little behind.
            timestamps.speech_ended = started + end / SAMPLE_RATE
        yield samples[at : at + _BLOCK_SAMPLES]


class TimedTurnDetector(UserTurnDetector):
    """Records when the turn ends."""

    def __init__(self, timestamps: Timestamps) -> None:
        super().__init__(SileroVad())
        self._timestamps = timestamps

    def process(self, samples: "Samples") -> list[TurnEvent]:
        """Record the first `UserStoppedSpeaking`."""
        events = super().process(samples)
        if any(isinstance(event, UserStoppedSpeaking) for event in events) and not self._timestamps.turn_ended:
            self._timestamps.turn_ended = time.perf_counter()
        return events


class TimedVoice:
    """Records when the first sentence arrives. Implements `TextToSpeech`."""

    def __init__(self, voice: TextToSpeech, timestamps: Timestamps) -> None:
        self._voice = voice
        self._timestamps = timestamps
        self.sample_rate = voice.sample_rate

    def synthesize(self, sentence: str) -> "Iterator[Samples]":
        self._timestamps.sentence_written = self._timestamps.sentence_written or time.perf_counter()
        return self._voice.synthesize(sentence)

    def close(self) -> None:
        """Leave the voice open for the next question."""


class TimedOutput:
    """Records the first sound; everything counts as played at once."""

    def __init__(self, timestamps: Timestamps, answered: asyncio.Event, loop: asyncio.AbstractEventLoop) -> None:
        self._timestamps = timestamps
        self._answered = answered
        self._loop = loop
        self.played_seconds = 0.0

    def add(self, samples: "Samples") -> None:  # noqa: ARG002
        """Record the time of the first call."""
        self._timestamps.sound_started = self._timestamps.sound_started or time.perf_counter()
        self._loop.call_soon_threadsafe(self._answered.set)

    def clear(self) -> None:
        """Do nothing."""

    def pause(self) -> None:
        """Do nothing."""

    def resume(self) -> None:
        """Do nothing."""
