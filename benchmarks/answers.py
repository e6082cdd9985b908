"""From the end of speech to the first sound of the answer, stage by stage, with all that is bundled.

The questions of `benchmarks.utterances`, spoken by the bundled voice, are fed in real time to a `SpokenConversation`
as a microphone would, in blocks of 20 ms; the answer goes to an output in memory. Each is the first of a conversation
in English. What a sound card adds is not in it, and neither is echo cancellation.

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
from benchmarks.utterances import QUESTIONS, silence, spoken, whole
from parley.factory.models import build_model
from parley.factory.voice import build_end_of_turn_model, build_stt, build_tts
from voice.audio.types import SAMPLE_RATE
from voice.conversation import SpokenConversation
from voice.options import FrontEnd, SpeechEngines, VoiceOptions
from voice.stt.base import SpeechToText
from voice.tts.base import TextToSpeech
from voice.turns.endpointing import EndOfTurnModel
from voice.turns.vad import SileroVad, TurnEvent, UserStoppedSpeaking, UserTurnDetector

if TYPE_CHECKING:
    from voice.audio.types import Samples

GOAL_SECONDS = 1.5
STAGES = ("wait", "words", "sentence", "voice")

_BLOCK = SAMPLE_RATE // 50
# Longer than any answer takes to begin.
_SILENCE_SECONDS = 60


@dataclass
class Moments:
    """When things happened while one question was asked, on the clock of `time.perf_counter`."""

    silent: float = 0.0
    over: float = 0.0
    heard: float = 0.0
    sentence: float = 0.0
    sound: float = 0.0

    @property
    def stages(self) -> tuple[float, ...]:
        """The seconds of each of `STAGES`."""
        times = (self.silent, self.over, self.heard, self.sentence, self.sound)
        return tuple(later - earlier for earlier, later in pairwise(times))


def measure(runs: int) -> list[Figure]:  # noqa: ARG001 - the questions are the runs
    """The stages and their sum over all questions: the median of each, and what 95 of 100 stay below."""
    settings = load({"model": "pocket"}).settings
    voice, ears, judge = build_tts(settings), build_stt(settings), build_end_of_turn_model(settings)
    session = Session(build_model(settings), options=GenerationOptions(max_tokens=64))
    # The first one warms everything up and is not counted.
    asked = [QUESTIONS[0], *QUESTIONS]
    moments = asyncio.run(ask_all([spoken(whole(each), voice) for each in asked], session, ears, voice, judge))[1:]
    late = [each for each in moments if each.over > each.silent]
    figures = [Figure("questions answered before they were over", "", (float(len(moments) - len(late)),), 0)]
    columns = list(zip(*(each.stages for each in late), strict=True))
    totals = tuple(each.sound - each.silent for each in late)
    for name, values in (*zip(STAGES, columns, strict=True), ("end of speech to first sound", totals)):
        goal = GOAL_SECONDS if values is totals else None
        figures.append(Figure(name, "s", values, goal))
        figures.append(Figure(f"{name}, 95th percentile", "s", (float(np.percentile(values, 95)),)))
    return figures


async def ask_all(
    questions: "list[Samples]", session: Session, ears: SpeechToText, voice: TextToSpeech, judge: EndOfTurnModel | None
) -> list[Moments]:
    """Ask each, as if it were the first."""
    moments = []
    for question in questions:
        moments.append(await ask(question, session, ears, voice, judge))
        session.messages.clear()
    return moments


async def ask(
    question: "Samples", session: Session, ears: SpeechToText, voice: TextToSpeech, judge: EndOfTurnModel | None
) -> Moments:
    """Ask one question, and leave at the first sound of its answer."""
    moments = Moments()
    answered = asyncio.Event()

    def show(event: Event) -> None:
        if isinstance(event, UserTranscript):
            moments.heard = time.perf_counter()

    conversation = SpokenConversation(
        session,
        SpeechEngines(ears, Watched(voice, moments), judge),
        Taking(moments),
        Ear(moments, answered, asyncio.get_running_loop()),
        FrontEnd(show),
        VoiceOptions(language="en"),
    )
    talking = asyncio.create_task(conversation.run(microphone(question, moments)))
    await asyncio.wait([talking, waited := asyncio.create_task(answered.wait())], return_when=asyncio.FIRST_COMPLETED)
    waited.cancel()
    talking.cancel()
    with suppress(asyncio.CancelledError):
        await talking
    if not answered.is_set():
        raise RuntimeError(f"A question was not answered within {_SILENCE_SECONDS} s.")
    return moments


async def microphone(question: "Samples", moments: Moments) -> "AsyncIterator[Samples]":
    """The question in a quiet room, as fast as it is spoken."""
    lead = silence(0.5)
    heard = np.concatenate([lead, question, silence(_SILENCE_SECONDS)])
    ends = lead.size + question.size
    started = time.perf_counter()
    for at in range(0, heard.size, _BLOCK):
        await asyncio.sleep(max(0.0, started + (at + _BLOCK) / SAMPLE_RATE - time.perf_counter()))
        if at < ends <= at + _BLOCK:
            # When it was said; this process may be a little behind.
            moments.silent = started + ends / SAMPLE_RATE
        yield heard[at : at + _BLOCK]


class Taking(UserTurnDetector):
    """Notes when the turn is over."""

    def __init__(self, moments: Moments) -> None:
        super().__init__(SileroVad())
        self._moments = moments

    def process(self, samples: "Samples") -> list[TurnEvent]:
        """As it does."""
        events = super().process(samples)
        if any(isinstance(event, UserStoppedSpeaking) for event in events) and not self._moments.over:
            self._moments.over = time.perf_counter()
        return events


class Watched:
    """A voice that notes when it is given its first sentence."""

    def __init__(self, voice: TextToSpeech, moments: Moments) -> None:
        self._voice = voice
        self._moments = moments
        self.sample_rate = voice.sample_rate

    def synthesize(self, sentence: str) -> "Iterator[Samples]":
        """As it does."""
        self._moments.sentence = self._moments.sentence or time.perf_counter()
        return self._voice.synthesize(sentence)

    def close(self) -> None:
        """Stays open for the next question."""


class Ear:
    """An output that notes its first sound, and has played at once all that it is given."""

    def __init__(self, moments: Moments, answered: asyncio.Event, loop: asyncio.AbstractEventLoop) -> None:
        self._moments = moments
        self._answered = answered
        self._loop = loop
        self.played_seconds = 0.0

    def add(self, samples: "Samples") -> None:  # noqa: ARG002
        """Listen."""
        self._moments.sound = self._moments.sound or time.perf_counter()
        self._loop.call_soon_threadsafe(self._answered.set)

    def clear(self) -> None:
        """Nothing waits."""

    def pause(self) -> None:
        """Nothing plays."""

    def resume(self) -> None:
        """Nothing waits."""
