"""A conversation that is spoken.

Microphone ─▶ TurnTaking ─▶ Started ─▶ the reply, if one is being spoken, pauses
├▶ Paused  ─▶ words are looked for already
└▶ Ended   ─▶ words? ─ no, a listener's noise, its own echo ─▶ the reply goes on
└ yes ─▶ the reply is cancelled, kept as far as it was heard
─▶ Session.turn ─▶ Speech ─▶ Playback
"""

import asyncio
from collections.abc import AsyncIterable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import TYPE_CHECKING, Protocol

from assistant.errors import AssistantError
from assistant.events import Event, Heard, Notice, TextDelta
from assistant.messages import Image, user
from assistant.session import Session
from voice.manners import is_backchannel, is_echo
from voice.speech import Output, Speech
from voice.speech_to_text import SpeechToText, Transcript
from voice.text_to_speech import TextToSpeech
from voice.turn_taking import Ended, Paused, Started, TurnEvent, TurnTaking

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
    ) -> None:
        """`show` is given what happens, as it happens. Without `language` the first one heard is kept.

        With `headphones` nothing is taken for an echo. `pictures` go with the first question.
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
        self._listening = ThreadPoolExecutor(1, "ears")
        self._speaking = ThreadPoolExecutor(1, "voice")
        self._hearing: asyncio.Task[Transcript] | None = None
        self._deciding: set[asyncio.Task[None]] = set()
        self._reply: asyncio.Task[None] | None = None
        self._speech: Speech | None = None
        self._silent_since = 0.0

    async def run(self, microphone: "AsyncIterable[Samples]") -> None:
        """Converse until `microphone` ends or this is cancelled; then a reply being spoken is cut and kept.

        Raises what the microphone and the ears raise. A turn that fails is told as a `Notice`.
        """
        try:
            async for samples in microphone:
                for event in self._taking.feed(samples):
                    self._follow(event)
                for failed in [task for task in self._deciding if task.done() and task.exception()]:
                    failed.result()
            # A recording in the place of a microphone has an end.
            await asyncio.gather(*self._deciding)
            if self._reply is not None:
                await self._reply
        finally:
            tasks = [task for task in (*self._deciding, self._hearing, self._reply) if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._listening.shutdown()
            self._speaking.shutdown()

    @property
    def _is_replying(self) -> bool:
        return self._reply is not None and not self._reply.done()

    def _follow(self, event: TurnEvent) -> None:
        match event:
            case Started():
                if self._is_replying:
                    self._output.pause()
            case Paused(samples):
                self._hear(samples)
            case Ended(samples, paused):
                hearing = self._hearing if paused and self._hearing is not None else self._hear(samples)
                self._hearing = None
                deciding = asyncio.create_task(self._decide(hearing))
                self._deciding.add(deciding)
                deciding.add_done_callback(self._decided)

    def _hear(self, samples: "Samples") -> "asyncio.Task[Transcript]":
        """Look for words in these samples, and no longer in the fewer ones of an earlier pause."""
        if self._hearing is not None:
            self._hearing.cancel()
        self._hearing = asyncio.create_task(self._listen(samples))
        return self._hearing

    def _decided(self, task: "asyncio.Task[None]") -> None:
        if task.cancelled() or task.exception() is None:
            self._deciding.discard(task)

    async def _listen(self, samples: "Samples") -> Transcript:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._listening, self._ears.transcribe, samples, self._language)

    async def _decide(self, hearing: "asyncio.Task[Transcript]") -> None:
        """Whether what was heard is a turn, and if so, take it."""
        heard = await hearing
        text = heard.text.strip()
        if not text or self._is_own(text) or (self._is_replying and is_backchannel(text)):
            self._output.resume()
            return
        self._language = self._language or heard.language
        if self._reply is not None and not self._reply.done():
            self._reply.cancel()
            await asyncio.gather(self._reply, return_exceptions=True)
        self._reply = asyncio.create_task(self._answer(text))

    def _is_own(self, text: str) -> bool:
        if self._headphones or self._speech is None:
            return False
        lately = asyncio.get_running_loop().time() - self._silent_since < _ECHO_SECONDS
        return (self._is_replying or lately) and is_echo(text, self._speech.said)

    async def _answer(self, text: str) -> None:
        self._show(Heard(text))
        message = user(text, *self._pictures)
        self._pictures = []
        try:
            async with Speech(self._voice, self._speaking, self._output, self._language or "en") as speech:
                self._speech = speech
                async with aclosing(self._session.turn(message, speech)) as events:
                    async for event in events:
                        if isinstance(event, TextDelta):
                            speech.write(event.text)
                        self._show(event)
        except AssistantError as error:
            self._show(Notice(str(error)))
        finally:
            self._silent_since = asyncio.get_running_loop().time()
