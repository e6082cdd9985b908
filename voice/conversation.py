"""A conversation that is spoken.

Microphone ─▶ TurnTaking ─▶ Started ─▶ the reply, if one is being spoken, pauses
                        ├─▶ Paused  ─▶ words are looked for already ─▶ they and the sound of it say how long to wait
                        └─▶ Ended   ─▶ words? ─ no, a listener's noise, its own echo ─▶ the reply goes on
                                           └─ yes ─▶ the reply is cancelled, kept as far as it was heard
                                                     ─▶ Session.turn ─▶ Speech ─▶ Playback
"""

import asyncio
from collections.abc import AsyncIterable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from assistant.errors import AssistantError
from assistant.events import Event, Heard, Notice, TextDelta
from assistant.messages import Image, user
from assistant.session import Session
from voice.end_of_turn import SOON, Judge, patience
from voice.manners import is_backchannel, is_echo
from voice.samples import HEARING_RATE
from voice.speech import Output, Speech
from voice.speech_to_text import SURE_LANGUAGE, SpeechToText, Transcript, joined, shifted
from voice.text_to_speech import TextToSpeech
from voice.turn_taking import Ended, Part, Paused, Started, TurnEvent, TurnTaking

if TYPE_CHECKING:
    from voice.samples import Samples

# The room and the buffers hold on to a voice for this long after it has ended.
_ECHO_SECONDS = 1.5


class PausableOutput(Output, Protocol):
    """An output that can be held for a moment."""

    def pause(self) -> None:
        """Be silent at once."""
        ...

    def resume(self) -> None:
        """Go on where it was paused."""
        ...


class SpokenConversation:
    """Listens, answers aloud, and lets itself be interrupted, for as long as `run` runs."""

    def __init__(
        self,
        session: Session,
        ears: SpeechToText,
        voice: TextToSpeech,
        output: PausableOutput,
        taking: TurnTaking,
        show: Callable[[Event], None],
        *,
        language: str | None = None,
        headphones: bool = False,
        pictures: Sequence[Image] = (),
        judge: Judge | None = None,
    ) -> None:
        """`show` is given what happens, as it happens. Without `language` the first one surely heard is kept.

        With `headphones` nothing is taken for an echo. `pictures` go with the first question. `judge` hears whether
        somebody is done; without it their silence alone says so.
        """
        self._session = session
        self._ears = ears
        self._voice = voice
        self._output = output
        self._taking = taking
        self._show = show
        self._language = language
        self._headphones = headphones
        self._pictures = list(pictures)
        self._judge = judge
        self._listening = ThreadPoolExecutor(1, "ears")
        self._judging = ThreadPoolExecutor(1, "turns")
        self._speaking = ThreadPoolExecutor(1, "voice")
        self._hearing: asyncio.Task[Transcript] | None = None
        # Of an utterance too long to be understood at once: what came first, and how many seconds it took.
        self._parts: list[asyncio.Task[Transcript]] = []
        self._parts_seconds = 0.0
        self._waiting: asyncio.Task[None] | None = None
        self._deciding: set[asyncio.Task[None]] = set()
        self._reply: asyncio.Task[None] | None = None
        self._speech: Speech | None = None
        # The reply that the person began to speak over, and whether it was still going on then.
        self._over: Speech | None = None
        self._interrupts = False
        self._silent_since = 0.0
        self._person_speaks = False
        # Utterances are decided one after the other, so that each finds what the one before has led to.
        self._turns = asyncio.Lock()

    async def run(self, microphone: "AsyncIterable[Samples]") -> None:
        """Converse until `microphone` ends or this is cancelled; then a reply being spoken is cut and kept.

        Raises what the microphone and the ears raise, and what ends a turn without being an `AssistantError`; a turn
        that fails with one is told as a `Notice`.
        """
        try:
            async for samples in microphone:
                for event in self._taking.feed(samples):
                    self._follow(event)
                for failed in [task for task in self._deciding if task.done() and task.exception()]:
                    failed.result()
                self._raise_failure()
            # A recording in the place of a microphone has an end.
            for event in self._taking.finish():
                self._follow(event)
            await asyncio.gather(*self._deciding)
            if self._reply is not None:
                await self._reply
        finally:
            ends = (*self._deciding, *self._parts, self._hearing, self._waiting, self._reply)
            tasks = [task for task in ends if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._listening.shutdown()
            self._judging.shutdown()
            self._speaking.shutdown()

    def _raise_failure(self) -> None:
        """Raise what ended the last reply, if that is nothing a person could be told in a sentence."""
        if self._reply is not None and self._reply.done() and not self._reply.cancelled():
            self._reply.result()

    @property
    def _is_replying(self) -> bool:
        return self._reply is not None and not self._reply.done()

    def _follow(self, event: TurnEvent) -> None:
        match event:
            case Started():
                self._person_speaks = True
                # What is heard from here on is held against what is being said now, however long understanding takes.
                self._over = self._speech if self._is_replying or self._is_fresh() else None
                self._interrupts = self._is_replying
                if self._is_replying:
                    self._output.pause()
            case Part(samples):
                self._parts.append(self._hear(samples))
                self._parts_seconds += samples.size / HEARING_RATE
                self._hearing = None
            case Paused(samples):
                self._waiting = asyncio.create_task(self._wait(event, self._hear(samples)))
            case Ended(samples, paused):
                hearing = self._hearing if paused and self._hearing is not None else self._hear(samples)
                whole, self._parts = [*self._parts, hearing], []
                self._parts_seconds = 0.0
                self._hearing = None
                self._person_speaks = False
                deciding = asyncio.create_task(self._decide(whole, self._over, interrupts=self._interrupts))
                self._deciding.add(deciding)
                deciding.add_done_callback(self._decided)

    def _hear(self, samples: "Samples") -> "asyncio.Task[Transcript]":
        """Look for words in these samples, and no longer in the fewer ones of an earlier pause."""
        if self._hearing is not None:
            self._hearing.cancel()
        self._hearing = asyncio.create_task(self._listen(samples, self._parts_seconds))
        return self._hearing

    async def _wait(self, pause: Paused, hearing: "asyncio.Task[Transcript]") -> None:
        """Say how long to wait in this pause, once there are words: before them nothing could be answered anyway."""
        loop = asyncio.get_running_loop()
        done = None
        if self._judge is not None:
            done = await loop.run_in_executor(self._judging, self._judge, pause.samples)
        # What it raises comes out where the turn is decided.
        await asyncio.wait([hearing])
        if hearing.cancelled() or hearing.exception():
            return
        heard = hearing.result()
        nothing = self._is_nothing(heard.text.strip(), self._over, interrupts=self._interrupts)
        self._taking.settle(pause, SOON if nothing else patience(heard, done))

    def _is_nothing(self, text: str, over: Speech | None, *, interrupts: bool) -> bool:
        """Whether `text`, heard `over` a reply, is no turn: no words, a listener's noise, or the reply itself."""
        own = over is not None and not self._headphones and is_echo(text, over.said)
        return not text or own or (interrupts and is_backchannel(text))

    def _decided(self, task: "asyncio.Task[None]") -> None:
        if task.cancelled() or task.exception() is None:
            self._deciding.discard(task)

    async def _listen(self, samples: "Samples", after: float) -> Transcript:
        """The words in `samples`, which come so many seconds `after` the beginning of the utterance."""
        loop = asyncio.get_running_loop()
        heard = await loop.run_in_executor(self._listening, self._ears.transcribe, samples, self._language)
        return replace(heard, segments=tuple(shifted(segment, after) for segment in heard.segments))

    async def _decide(
        self, whole: "Sequence[asyncio.Task[Transcript]]", over: Speech | None, *, interrupts: bool
    ) -> None:
        """Whether what was heard, part for part, is a turn, and if so, take it.

        It began `over` that reply, or just after it; if it `interrupts`, a listener's noise is no turn.
        """
        async with self._turns:
            heard = joined([await part for part in whole])
            text = heard.text.strip()
            if self._is_nothing(text, over, interrupts=interrupts):
                if not self._person_speaks:
                    self._output.resume()
                return
            if heard.language_probability >= SURE_LANGUAGE:
                self._language = self._language or heard.language
            if self._reply is not None and not self._reply.done():
                self._reply.cancel()
                await asyncio.gather(self._reply, return_exceptions=True)
            self._raise_failure()
            self._reply = asyncio.create_task(self._answer(text))

    def _is_fresh(self) -> bool:
        return asyncio.get_running_loop().time() - self._silent_since < _ECHO_SECONDS

    async def _answer(self, text: str) -> None:
        self._show(Heard(text))
        pictures, self._pictures = self._pictures, []
        message = user(text, *pictures)
        try:
            async with Speech(self._voice, self._speaking, self._output, self._language or "en") as speech:
                self._speech = speech
                if self._person_speaks:
                    # They went on while their words were looked for: what they say next decides.
                    self._output.pause()
                async with aclosing(self._session.turn(message, speech)) as events:
                    async for event in events:
                        if isinstance(event, TextDelta):
                            speech.write(event.text)
                        self._show(event)
        except AssistantError as error:
            if not any(kept is message for kept in self._session.messages):
                # A turn that left no trace has not shown them.
                self._pictures = [*pictures, *self._pictures]
            self._show(Notice(str(error)))
        finally:
            self._silent_since = asyncio.get_running_loop().time()
