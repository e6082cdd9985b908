"""Measure the time from the end of speech to the first sound of the answer, stage by stage, with the bundled models.

A person (the bundled voice) speaks to a `SpokenConversation` in real time, in blocks of 20 ms as from a microphone. The
sound card and echo cancellation are not included. The person asks the questions of `benchmarks.utterances`, each as the
first one of a conversation in English; interrupts long replies; and lets one go on, to see how fast it is written while
it is spoken.

    speech ends ─▶ the pause ─▶ its words ─▶ the turn ─▶ the model's ─▶ a sentence ─▶ sound
                   is noticed   are known    is over     first word     is written
              pause      recognition  decision     prompt        sentence      voice
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from assistant.conversation.session import Session
from assistant.events import Event, TextDelta
from assistant.models.base import GenerationOptions
from assistant.settings import load
from benchmarks.figures import Figure
from benchmarks.simulated_call import SimulatedMicrophone, SimulatedSpeaker
from benchmarks.utterances import QUESTIONS, full_text, synthesize
from parley.factory.models import build_model
from parley.factory.voice import build_end_of_turn_model, build_stt, build_tts
from voice.conversation import SpokenConversation
from voice.events import UtteranceClassified, VoiceEvent
from voice.options import FrontEnd, SpeechEngines, VoiceOptions
from voice.stt.base import SpeechToText, Transcript
from voice.tts.base import TextToSpeech
from voice.turns.vad import SileroVad, UserTurnDetector

if TYPE_CHECKING:
    from voice.audio.types import Samples

GOAL_SECONDS = 1.3
GOAL_TOKENS_PER_SECOND = 15
STAGES = ("pause", "recognition", "decision", "prompt", "sentence", "voice")

LONG_QUESTION = "Please tell me a long story about a lighthouse."
INTERRUPTIONS = ("Wait, what is the capital of Italy?", "No, stop. How many legs does a spider have?")
_REPLY_TOKENS = 160
# An answer that has not begun after so much silence never will.
_MAX_ANSWER_SECONDS = 60
# How long a reply is listened to before it is interrupted.
_LISTENED_SECONDS = 2.0
# A reply of which nothing came for so long, also after a pause of the writing, is complete.
_WRITTEN_SECONDS = 4.0


@dataclass
class Timestamps:
    """Times of what happened after one utterance, on the clock of `time.perf_counter`; 0 for what has not happened."""

    speech_ended: float = 0.0
    paused: float = 0.0
    recognized: float = 0.0
    turn_ended: float = 0.0
    first_text: float = 0.0
    sentence_written: float = 0.0
    sound_started: float = 0.0
    texts: list[float] = field(default_factory=list)
    """Times of all pieces of text."""

    @property
    def stages(self) -> tuple[float, ...]:
        """Seconds of each of `STAGES`. What was over before the stage ahead of it took no time."""
        times = (
            self.speech_ended,
            self.paused,
            self.recognized,
            self.turn_ended,
            self.first_text,
            self.sentence_written,
            self.sound_started,
        )
        reached = np.maximum.accumulate(times)
        return tuple(float(later - earlier) for earlier, later in pairwise(reached))

    @property
    def total(self) -> float:
        """Seconds from the end of speech to the first sound."""
        return self.sound_started - self.speech_ended

    @property
    def tokens_per_second(self) -> float:
        """How fast the reply was written; a piece of text is a token."""
        return (len(self.texts) - 1) / (self.texts[-1] - self.texts[0]) if len(self.texts) > 1 else 0.0


def measure(runs: int) -> list[Figure]:
    """Return each stage and their sum over all questions and over `runs` interruptions, and the speed of writing."""
    settings = load({"model": "pocket"}).settings
    engines = SpeechEngines(
        build_stt(settings, word_times=False), build_tts(settings), build_end_of_turn_model(settings)
    )
    session = Session(build_model(settings), options=GenerationOptions(_REPLY_TOKENS, temperature=0))
    # As in every call.
    session.share_cores(shared=True)
    try:
        return asyncio.run(measure_with(session, engines, [full_text(question) for question in QUESTIONS], runs))
    finally:
        session.model.close()


async def measure_with(
    session: Session, engines: SpeechEngines, questions: Sequence[str], interruptions: int
) -> list[Figure]:
    """Measure with these parts. The first question warms everything up and is asked once more."""
    answered = [await ask(question, session, engines) for question in (questions[0], *questions)][1:]
    complete = [each for each in answered if each.turn_ended > each.speech_ended]
    interrupted = [
        await interrupt(INTERRUPTIONS[number % len(INTERRUPTIONS)], session, engines) for number in range(interruptions)
    ]
    written = [await listen(session, engines, "" if number % 2 else "Mm-hm.") for number in range(2)]
    return [
        Figure("questions answered before they were over", "", (float(len(answered) - len(complete)),), 0),
        *_stage_figures("question", complete, GOAL_SECONDS),
        *_stage_figures("interruption", interrupted, None),
        Figure(
            f"written while it is spoken and heard (at least {GOAL_TOKENS_PER_SECOND})",
            "tokens/s",
            tuple(each.tokens_per_second for each in written),
        ),
    ]


def _stage_figures(kind: str, measured: list[Timestamps], goal: float | None) -> Iterator[Figure]:
    if not measured:
        return
    for name, values in zip(STAGES, zip(*(each.stages for each in measured), strict=True), strict=True):
        yield Figure(f"{kind}: {name}", "s", values)
    totals = tuple(each.total for each in measured)
    yield Figure(f"{kind}: end of speech to first sound", "s", totals, goal)
    yield Figure(f"{kind}: end of speech to first sound, 95th percentile", "s", (float(np.percentile(totals, 95)),))


async def ask(question: str, session: Session, engines: SpeechEngines) -> Timestamps:
    """Ask one question, and stop at the first sound of its answer."""
    async with SimulatedCall.running(session, engines) as call:
        return await call.say(question)


async def interrupt(words: str, session: Session, engines: SpeechEngines) -> Timestamps:
    """Say something over a long reply, and stop at the first sound of the next one."""
    async with SimulatedCall.running(session, engines) as call:
        await call.say(LONG_QUESTION)
        await asyncio.sleep(_LISTENED_SECONDS)
        return await call.say(words)


async def listen(session: Session, engines: SpeechEngines, remark: str) -> Timestamps:
    """Ask for a long reply and let it be written to its end, with a remark over it that does not interrupt."""
    async with SimulatedCall.running(session, engines) as call:
        timestamps = await call.say(LONG_QUESTION)
        if remark:
            await asyncio.sleep(_LISTENED_SECONDS)
            call.remark(remark)
        await call.until(lambda: time.perf_counter() - timestamps.texts[-1] > _WRITTEN_SECONDS)
        return timestamps


class SimulatedCall:
    """A conversation with a person who speaks when told to."""

    def __init__(self, session: Session, engines: SpeechEngines) -> None:
        self._voice = engines.tts
        self._timed_stt, self._timed_voice = TimedSpeechToText(engines.stt), TimedVoice(engines.tts)
        self._microphone = SimulatedMicrophone()
        self._speaker = SimulatedSpeaker(engines.tts.sample_rate)
        self._timestamps = Timestamps()
        self.conversation = SpokenConversation(
            session,
            SpeechEngines(self._timed_stt, self._timed_voice, engines.end_of_turn),
            UserTurnDetector(SileroVad()),
            self._speaker,
            FrontEnd(self._on_event),
            VoiceOptions(language="en"),
        )
        self.conversation.add_observer(self._on_voice_event)
        self._running: asyncio.Task[None] | None = None

    @classmethod
    @asynccontextmanager
    async def running(cls, session: Session, engines: SpeechEngines) -> "AsyncIterator[SimulatedCall]":
        """Run a call beside the block. At its end the conversation is forgotten."""
        call = cls(session, engines)
        call._running = asyncio.create_task(call.conversation.run(call._microphone.blocks()))
        try:
            await asyncio.sleep(0.5)
            yield call
        finally:
            call._running.cancel()
            await asyncio.wait([call._running])
            session.messages.clear()

    async def say(self, words: str) -> Timestamps:
        """Say `words` and wait for the first sound of the reply to them."""
        clip = await asyncio.to_thread(synthesize, words, self._voice)
        timestamps = self._timestamps = Timestamps()
        self._timed_voice.started_at = 0.0
        self._microphone.say(clip)
        await self.until(lambda: timestamps.turn_ended and self._speaker.started_at)
        timestamps.speech_ended = self._microphone.speech_ended
        timestamps.sentence_written = self._timed_voice.started_at
        timestamps.sound_started = self._speaker.started_at or 0.0
        return timestamps

    def remark(self, words: str) -> None:
        """Say `words`, which no reply is expected to."""
        self._microphone.say(synthesize(words, self._voice))

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until `condition` holds. Raises what the conversation raises meanwhile."""
        async with asyncio.timeout(_MAX_ANSWER_SECONDS):
            while not condition():
                if self._running is not None and self._running.done():
                    self._running.result()
                await asyncio.sleep(0.005)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, TextDelta) and self._timestamps.turn_ended:
            now = time.perf_counter()
            self._timestamps.first_text = self._timestamps.first_text or now
            self._timestamps.texts.append(now)

    def _on_voice_event(self, event: Event | VoiceEvent) -> None:
        if isinstance(event, UtteranceClassified) and event.decision == "turn":
            utterance = event.utterance
            # The clock of the event loop is another one.
            offset = time.perf_counter() - asyncio.get_running_loop().time()
            end_of_turn = utterance.end_of_turn
            self._timestamps.paused = offset + (end_of_turn.paused_at if end_of_turn else utterance.ended_at)
            self._timestamps.recognized = self._timed_stt.ended_at
            self._timestamps.turn_ended = offset + utterance.ended_at
            # What the speaker plays from here on is the new reply.
            self._timed_voice.started_at = 0.0
            self._speaker.started_at = None


class TimedSpeechToText:
    """Notes when a transcription ends. Implements `SpeechToText`."""

    def __init__(self, stt: SpeechToText) -> None:
        self._stt = stt
        self.languages = stt.languages
        self.ended_at = 0.0

    def transcribe(self, samples: "Samples", language: str | None = None) -> Transcript:
        """Transcribe, and note the time."""
        transcript = self._stt.transcribe(samples, language)
        self.ended_at = time.perf_counter()
        return transcript

    def close(self) -> None:
        """Leave the engine open for the next call."""


class TimedVoice:
    """Notes when the first sentence arrives. Implements `TextToSpeech`."""

    def __init__(self, voice: TextToSpeech) -> None:
        self._voice = voice
        self.started_at = 0.0
        self.sample_rate = voice.sample_rate

    def synthesize(self, sentence: str) -> "Iterator[Samples]":
        """Synthesize, and note the time."""
        self.started_at = self.started_at or time.perf_counter()
        return self._voice.synthesize(sentence)

    def close(self) -> None:
        """Leave the voice open for the next call."""
