"""A conversation that is spoken.

Microphone ─▶ TurnTaking ─▶ Started ─▶ the reply, if one is being spoken, pauses
                        ├─▶ Paused  ─▶ words are looked for already
                        └─▶ Ended   ─▶ words? ─ no, a listener's noise, its own echo ─▶ the reply goes on
                                           └─ yes ─▶ the reply is cancelled, kept as far as it was heard
                                                     ─▶ Session.turn ─▶ Speech ─▶ Playback

Somebody may also say by a key when they speak: `push` is `Started`, and pushed again, `Ended`.
"""

import asyncio
from collections.abc import AsyncIterable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from assistant.errors import AssistantError
from assistant.events import Event, Heard, Notice, Spoken, TextDelta
from assistant.messages import Image, Message, user
from assistant.session import Session
from voice.manners import is_backchannel, is_echo
from voice.samples import HEARING_RATE
from voice.speech import Output, Speech
from voice.speech_to_text import SpeechToText, Transcript
from voice.text_to_speech import TextToSpeech
from voice.turn_taking import Ended, Paused, Started, TurnEvent, TurnTaking

if TYPE_CHECKING:
    from voice.samples import Samples

# The room and the buffers hold on to a voice for this long after it has ended.
_ECHO_SECONDS = 1.5
# A key that was pushed and forgotten.
_LONGEST_PUSH_SECONDS = 120

State = Literal["listening", "hearing", "thinking", "speaking", "muted"]
"""What a spoken conversation does: "hearing" is somebody who speaks, "muted" is listening to nobody."""


class PausableOutput(Output, Protocol):
    """An output that can be held for a moment."""

    def pause(self) -> None:
        """Be silent at once."""
        ...

    def resume(self) -> None:
        """Go on where it was paused."""
        ...


class Log(Protocol):
    """Where what happened is written down: `voice.call_log.CallLog`."""

    def __call__(self, event: str, **facts: Any) -> None:
        """Write that `event` happened."""
        ...

    def keep(self, number: int, samples: "Samples") -> str | None:
        """Keep the sound of an utterance, if that is wanted; under which name."""
        ...


class _NoLog:
    def __call__(self, event: str, **facts: Any) -> None:
        pass

    def keep(self, number: int, samples: "Samples") -> None:
        pass


@dataclass
class _Utterance:
    """What somebody says, from its onset on; times are those of the event loop."""

    number: int
    began: float
    # The reply that the person began to speak over, and whether it was still going on then.
    over: Speech | None
    interrupts: bool
    pushed: bool
    paused: float | None = None
    speech_ended: float = 0.0


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
        pictures: Callable[[], Sequence[Image]] = tuple,
        changed: Callable[[State], None] | None = None,
        log: Log | None = None,
    ) -> None:
        """`show` is given what happens, as it happens. Without `language` the first one heard is kept.

        With `headphones` nothing is taken for an echo. `pictures` is asked at each question for those that go with it.
        `changed` is told each new `State`.
        """
        self._session = session
        self._ears = ears
        self._voice = voice
        self._output = output
        self._taking = taking
        self._show = show
        self._language = language
        self._headphones = headphones
        self._more_pictures = pictures
        # Those of a turn that left no trace.
        self._pictures: list[Image] = []
        self._changed = changed or (lambda _: None)
        self._told_state: State | None = None
        self._log = log or _NoLog()
        self._listening = ThreadPoolExecutor(1, "ears")
        self._speaking = ThreadPoolExecutor(1, "voice")
        self._hearing: asyncio.Task[Transcript] | None = None
        self._deciding: set[asyncio.Task[None]] = set()
        self._reply: asyncio.Task[None] | None = None
        self._speech: Speech | None = None
        self._utterance: _Utterance | None = None
        self._utterances = 0
        self._pushed: list[Samples] | None = None
        self._muted = False
        self._flinched = False
        self._told_failure = False
        self._silent_since = 0.0
        # Utterances are decided one after the other, so that each finds what the one before has led to.
        self._turns = asyncio.Lock()

    async def run(self, microphone: "AsyncIterable[Samples]") -> None:
        """Converse until `microphone` ends or this is cancelled; then a reply being spoken is cut and kept.

        Raises what the microphone and the ears raise, and what ends a turn without being an `AssistantError`; a turn
        that fails with one is told as a `Notice`, and so is a voice or a speaker that fails: replies are in writing
        then, until one can be spoken again.
        """
        self._tell_state()
        try:
            async for samples in microphone:
                self._feed(samples)
                for failed in [task for task in self._deciding if task.done() and task.exception()]:
                    failed.result()
                self._raise_failure()
            # A recording in the place of a microphone has an end.
            await asyncio.gather(*self._deciding)
            if self._utterance is not None:
                # Cut off in the middle of a word, by which nothing can be decided any more.
                self._output.resume()
            if self._reply is not None:
                await asyncio.wait([self._reply])
            self._raise_failure()
        finally:
            tasks = [task for task in (*self._deciding, self._hearing, self._reply) if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._listening.shutdown()
            self._speaking.shutdown()

    @property
    def muted(self) -> bool:
        """Whether nobody is listened to, unless they `push`."""
        return self._muted

    @muted.setter
    def muted(self, muted: bool) -> None:
        self._muted = muted
        if muted and self._pushed is None:
            self._forget_utterance()
        self._tell_state()

    @property
    def pushed(self) -> bool:
        """Whether somebody is listened to since they pushed."""
        return self._pushed is not None

    @property
    def state(self) -> State:
        """What it does."""
        if self._utterance is not None:
            return "hearing"
        if self.replying:
            return "speaking" if self._speech is not None and self._speech.spoke else "thinking"
        if self._deciding:
            return "thinking"
        return "muted" if self._muted else "listening"

    def push(self) -> None:
        """Begin to listen to somebody, whether muted or not; pushed again, what they said is all, and is answered."""
        if self._pushed is None:
            self._forget_utterance()
            self._pushed = []
            self._follow(Started(), pushed=True)
        else:
            self._release(self._pushed)

    async def hush(self) -> None:
        """Stop the reply that is being spoken, if there is one; it is kept as far as it was heard."""
        if self._reply is not None and not self._reply.done():
            self._reply.cancel()
            await asyncio.wait([self._reply])

    def _release(self, said: "list[Samples]") -> None:
        import numpy as np

        self._pushed = None
        if said:
            self._follow(Ended(np.concatenate(said), paused=False))
        else:
            self._forget_utterance()
            self._tell_state()

    def _feed(self, samples: "Samples") -> None:
        if self._pushed is not None:
            self._pushed.append(samples)
            if sum(each.size for each in self._pushed) >= _LONGEST_PUSH_SECONDS * HEARING_RATE:
                self._release(self._pushed)
        elif not self._muted:
            for event in self._taking.feed(samples):
                self._follow(event)
            self._flinch()

    def _flinch(self) -> None:
        """Be silent at the first sign of speech already; if it was none, that is a gap that few will notice."""
        stirring = self._taking.stirring and self._utterance is None and self.replying
        if stirring and not self._flinched:
            self._output.pause()
        elif self._flinched and not stirring and self._utterance is None and not self._deciding:
            self._output.resume()
        self._flinched = stirring

    def _forget_utterance(self) -> None:
        """What was being said is no matter any more."""
        import numpy as np

        # Silence is the end of whatever it was.
        self._taking.feed(np.zeros(round(2 * self._taking.pace.end * HEARING_RATE), np.float32))
        if self._hearing is not None:
            self._hearing.cancel()
            self._hearing = None
        if self._utterance is not None or self._flinched:
            self._utterance = None
            self._flinched = False
            self._output.resume()

    def _raise_failure(self) -> None:
        """Raise what ended the last reply, if that is nothing a person could be told in a sentence."""
        if self._reply is not None and self._reply.done() and not self._reply.cancelled():
            self._reply.result()

    @property
    def replying(self) -> bool:
        """Whether there is a reply on its way."""
        return self._reply is not None and not self._reply.done()

    def _tell_state(self) -> None:
        if self.state != self._told_state:
            self._told_state = self.state
            self._changed(self.state)

    def _follow(self, event: TurnEvent, *, pushed: bool = False) -> None:
        now = asyncio.get_running_loop().time()
        match event:
            case Started():
                self._utterances += 1
                # What is heard from here on is held against what is being said now, however long understanding takes.
                over = self._speech if self.replying or self._is_fresh() else None
                self._utterance = _Utterance(self._utterances, now, over, self.replying, pushed)
                if self.replying:
                    self._output.pause()
                    self._log("paused", utterance=self._utterances)
            case Paused(samples) if self._utterance is not None:
                self._utterance.paused = now
                self._hear(samples)
            case Ended(samples, paused) if self._utterance is not None:
                hearing = self._hearing if paused and self._hearing is not None else self._hear(samples)
                self._hearing = None
                utterance, self._utterance = self._utterance, None
                utterance.speech_ended = now
                if paused and utterance.paused is not None:
                    utterance.speech_ended = utterance.paused - self._taking.pace.pause
                deciding = asyncio.create_task(self._decide(hearing, utterance, samples))
                self._deciding.add(deciding)
                deciding.add_done_callback(self._decided)
        self._tell_state()

    def _hear(self, samples: "Samples") -> "asyncio.Task[Transcript]":
        """Look for words in these samples, and no longer in the fewer ones of an earlier pause."""
        if self._hearing is not None:
            self._hearing.cancel()
        self._hearing = asyncio.create_task(self._listen(samples))
        return self._hearing

    def _decided(self, task: "asyncio.Task[None]") -> None:
        if task.cancelled() or task.exception() is None:
            self._deciding.discard(task)
            self._tell_state()

    async def _listen(self, samples: "Samples") -> Transcript:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._listening, self._ears.transcribe, samples, self._language)

    async def _decide(self, hearing: "asyncio.Task[Transcript]", said: _Utterance, samples: "Samples") -> None:
        """Whether what was heard is a turn, and if so, take it."""
        loop = asyncio.get_running_loop()
        async with self._turns:
            heard = await hearing
            text = heard.text.strip()
            decision = self._judge(text, said)
            self._log(
                "heard",
                utterance=said.number,
                decision=decision,
                text=text,
                language=heard.language,
                pushed=said.pushed,
                over_reply=said.interrupts,
                started_at=said.began,
                speech_ended_at=said.speech_ended,
                words_seconds=loop.time() - said.speech_ended,
                audio=self._log.keep(said.number, samples),
            )
            if decision != "turn":
                if said.pushed:
                    self._show(Notice("Nothing was understood: push to talk again, and speak after that."))
                if self._utterance is None:
                    self._output.resume()
                return
            self._language = self._language or heard.language
            await self.hush()
            self._raise_failure()
            self._reply = asyncio.create_task(self._answer(text, said))

    def _judge(self, text: str, said: _Utterance) -> Literal["turn", "nothing", "echo", "backchannel"]:
        """What was heard in `said`: only words that are meant for Parley are a turn."""
        if not text:
            return "nothing"
        if said.pushed:
            return "turn"
        if said.over is not None and not self._headphones and is_echo(text, said.over.said):
            return "echo"
        return "backchannel" if said.interrupts and is_backchannel(text) else "turn"

    def _is_fresh(self) -> bool:
        return asyncio.get_running_loop().time() - self._silent_since < _ECHO_SECONDS

    async def _answer(self, text: str, said: _Utterance) -> None:
        clock = asyncio.get_running_loop().time
        took: dict[str, float | None] = {"first_token_seconds": None, "first_audio_seconds": None}

        def began() -> None:
            took["first_audio_seconds"] = clock() - said.speech_ended
            self._log("speaking", utterance=said.number)
            self._told_failure = False
            self._tell_state()

        pictures = [*self._pictures, *self._more_pictures()]
        self._pictures = []
        message = user(text, *pictures)
        self._show(Heard(text, tuple(pictures)))
        speech = Speech(
            self._voice, self._speaking, self._output, self._language or "en", began=began, failed=self._tell_failure
        )
        failure: str | None = None
        try:
            async with speech:
                self._speech = speech
                if self._utterance is not None:
                    # They went on while their words were looked for: what they say next decides.
                    self._output.pause()
                async with aclosing(self._session.turn(message, speech)) as events:
                    async for event in events:
                        if isinstance(event, TextDelta):
                            if took["first_token_seconds"] is None:
                                took["first_token_seconds"] = clock() - said.speech_ended
                            speech.write(event.text)
                        self._show(event)
        except AssistantError as error:
            if self._kept(message) is None:
                # A turn that left no trace has not shown them.
                self._pictures = [*pictures, *self._pictures]
            failure = str(error)
            self._show(Notice(failure))
        finally:
            self._silent_since = clock()
            reply = self._kept(message)
            self._show(Spoken(reply.text, reply.interrupted) if reply is not None else Spoken("", interrupted=True))
            self._log(
                "reply",
                utterance=said.number,
                text=speech.written,
                kept=reply.text if reply is not None else "",
                interrupted=reply is not None and reply.interrupted,
                spoken=speech.spoke,
                failure=failure,
                **took,
                ended_at=self._silent_since,
            )
            asyncio.get_running_loop().call_soon(self._tell_state)

    def _kept(self, message: Message) -> Message | None:
        """The reply to `message`, if the turn was kept."""
        turn = self._session.messages[-2:]
        return turn[1] if turn and turn[0] is message else None

    def _tell_failure(self, error: AssistantError) -> None:
        """The voice or the speaker has failed: told once, until something was spoken again."""
        self._log("voice failed", reason=str(error))
        if not self._told_failure:
            self._told_failure = True
            self._show(Notice(f"{error} The reply goes on in writing."))
        self._tell_state()
