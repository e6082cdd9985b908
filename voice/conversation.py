"""A conversation that is spoken.

Microphone ─▶ UserTurnDetector ─▶ UserStartedSpeaking ─▶ the reply, if one is being spoken, pauses
                        ├─▶ UserPaused  ─▶ words are looked for already ─▶ they and the sound of it say how long to wait
                        └─▶ UserStoppedSpeaking   ─▶ words? ─ no, a listener's noise, its own echo ─▶ the reply goes on
                                           └─ yes ─▶ the reply is cancelled, kept as far as it was heard
                                                     ─▶ (its mood) ─▶ Session.turn ─▶ Speech ─▶ AudioOutput

Somebody may also say by a key when they speak: `push` is `UserStartedSpeaking`, and pushed again, at once `UserStoppedSpeaking`.
"""

import asyncio
from collections.abc import AsyncIterable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol

from assistant.conversation.session import Session, Turn
from assistant.errors import ParleyError
from assistant.events import Event, Notice, SpeechFinished, TextDelta, UserTranscript
from assistant.messages import Image, user
from voice.audio.types import SAMPLE_RATE
from voice.empathy import LONGEST_SECONDS, DetectedEmotion, EmotionDetector
from voice.spoken_reply import AudioSink, Speech
from voice.stt.base import MIN_LANGUAGE_PROBABILITY, SpeechToText, Transcript, join_transcripts, shift_segment
from voice.tts.base import TextToSpeech
from voice.turns.endpointing import SHORT_SILENCE, EndOfTurnModel, silence_timeout
from voice.turns.interruption import is_backchannel, is_echo
from voice.turns.vad import (
    SpeechChunk,
    TurnEvent,
    UserPaused,
    UserStartedSpeaking,
    UserStoppedSpeaking,
    UserTurnDetector,
)

if TYPE_CHECKING:
    from voice.audio.types import Samples

# The room and the buffers hold on to a voice for this long after it has ended.
_ECHO_SECONDS = 1.5
# A key that was pushed and forgotten.
_LONGEST_PUSH_SECONDS = 120

State = Literal["listening", "hearing", "thinking", "speaking", "muted"]
"""What a spoken conversation does: "hearing" is somebody who speaks, "muted" is listening to nobody."""

Decision = Literal["turn", "nothing", "echo", "backchannel"]
"""What was heard: only words that are meant for Parley are a turn."""


class PausableAudioSink(AudioSink, Protocol):
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

    @property
    def keeps_sound(self) -> bool:
        """Whether the sound of utterances is wanted."""
        ...

    def keep(self, number: int, samples: "Samples") -> str | None:
        """Keep the sound of an utterance, if that is wanted; under which name."""
        ...


class _NoLog:
    keeps_sound = False

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
    # Of one too long to be understood at once: what came first, how many seconds it took, and how it sounds.
    parts: "list[asyncio.Task[Transcript]]" = field(default_factory=list)
    parts_seconds: float = 0.0
    parts_samples: "list[Samples]" = field(default_factory=list)
    # Of the last pause: since when, how likely it sounds as if they were done, and what silence was to end the turn.
    paused: float | None = None
    done: float | None = None
    silence_timeout: float | None = None
    speech_ended: float = 0.0
    ended: float = 0.0


class SpokenConversation:
    """Listens, answers aloud, and lets itself be interrupted, for as long as `run` runs."""

    def __init__(
        self,
        session: Session,
        ears: SpeechToText,
        voice: TextToSpeech,
        output: PausableAudioSink,
        taking: UserTurnDetector,
        show: Callable[[Event], None],
        *,
        language: str | None = None,
        headphones: bool = False,
        pictures: Callable[[], Sequence[Image]] = tuple,
        changed: Callable[[State], None] | None = None,
        log: Log | None = None,
        judge: EndOfTurnModel | None = None,
        feel: EmotionDetector | None = None,
    ) -> None:
        """`show` is given what happens, as it happens. Without `language` the first one surely heard is kept.

        With `headphones` nothing is taken for an echo. `pictures` is asked at each question for those that go with it.
        `changed` is told each new `State`. `judge` hears whether somebody is done; without it their silence and their
        words alone say so.
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
        self._judge = judge
        self._feel = feel
        self._listening = ThreadPoolExecutor(1, "ears")
        self._judging = ThreadPoolExecutor(1, "turns")
        self._speaking = ThreadPoolExecutor(1, "voice")
        self._hearing: asyncio.Task[Transcript] | None = None
        self._waiting: asyncio.Task[None] | None = None
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

        Raises what the microphone and the ears raise, and what ends a turn without being an `ParleyError`; a turn
        that fails with one is told as a `Notice`, and so is a voice or a speaker that fails: replies are in writing
        then, until one can be spoken again.
        """
        self._tell_state()
        try:
            # What is said meanwhile waits in the microphone.
            await self._prepare()
            async for samples in microphone:
                self._feed(samples)
                for failed in [task for task in self._deciding if task.done() and task.exception()]:
                    failed.result()
                self._raise_failure()
            # A recording in the place of a microphone has an end.
            self._finish()
            await asyncio.gather(*self._deciding)
            if self._reply is not None:
                await asyncio.wait([self._reply])
            self._raise_failure()
        finally:
            parts = self._utterance.parts if self._utterance is not None else ()
            ends = (*self._deciding, *parts, self._hearing, self._waiting, self._reply)
            tasks = [task for task in ends if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._listening.shutdown()
            self._judging.shutdown()
            self._speaking.shutdown()

    async def _prepare(self) -> None:
        if self._feel is not None:
            try:
                await asyncio.to_thread(self._feel.prepare, self._session.model)
            except ParleyError as error:
                self._give_up_feeling(error)

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
            self._follow(UserStartedSpeaking(), pushed=True)
        else:
            self._release(self._pushed)

    async def interrupt(self) -> None:
        """Stop the reply that is being spoken, if there is one; it is kept as far as it was heard."""
        if self._reply is not None and not self._reply.done():
            self._reply.cancel()
            await asyncio.wait([self._reply])

    def _release(self, said: "list[Samples]") -> None:
        import numpy as np

        self._pushed = None
        if said:
            self._follow(UserStoppedSpeaking(np.concatenate(said), covered_by_pause=False))
        else:
            self._forget_utterance()
            self._tell_state()

    def _feed(self, samples: "Samples") -> None:
        if self._pushed is not None:
            self._pushed.append(samples)
            if sum(each.size for each in self._pushed) >= _LONGEST_PUSH_SECONDS * SAMPLE_RATE:
                self._release(self._pushed)
                self._show(Notice(f"Push-to-talk ended by itself after {_LONGEST_PUSH_SECONDS} s: push to go on."))
        elif not self._muted:
            for event in self._taking.process(samples):
                self._follow(event)
            self._flinch()

    def _finish(self) -> None:
        """There is no more sound: whoever is speaking has said all there is."""
        if self._pushed is not None:
            self._release(self._pushed)
        for event in self._taking.flush():
            self._follow(event)
        if self._flinched and not self._deciding:
            # That was no speech, or too little to tell.
            self._output.resume()

    def _flinch(self) -> None:
        """Be silent at the first sign of speech already; if it was none, that is a gap that few will notice."""
        speech_onset = self._taking.speech_onset and self._utterance is None and self.replying
        if speech_onset and not self._flinched:
            self._output.pause()
        elif self._flinched and not speech_onset and self._utterance is None and not self._deciding:
            self._output.resume()
        self._flinched = speech_onset

    def _forget_utterance(self) -> None:
        """What was being said is no matter any more."""
        import numpy as np

        # Silence is the end of whatever it was.
        self._taking.process(np.zeros(round(2 * self._taking.params.stop_secs * SAMPLE_RATE), np.float32))
        if self._hearing is not None:
            self._hearing.cancel()
            self._hearing = None
        if self._waiting is not None:
            self._waiting.cancel()
        if self._utterance is not None:
            for part in self._utterance.parts:
                part.cancel()
        if self._utterance is not None or self._flinched:
            self._utterance = None
            self._flinched = False
            self._output.resume()

    def _raise_failure(self) -> None:
        """Raise what ended the last reply, or the judge, if that is nothing a person could be told in a sentence."""
        for task in (self._reply, self._waiting):
            if task is not None and task.done() and not task.cancelled():
                task.result()

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
            case UserStartedSpeaking():
                self._utterances += 1
                # What is heard from here on is held against what is being said now, however long understanding takes.
                over = self._speech if self.replying or self._is_fresh() else None
                self._utterance = _Utterance(self._utterances, now, over, self.replying, pushed)
                if self.replying:
                    self._output.pause()
                    self._log("paused", utterance=self._utterances)
            case SpeechChunk(samples) if self._utterance is not None:
                self._utterance.parts.append(self._hear(samples, self._utterance))
                self._utterance.parts_seconds += samples.size / SAMPLE_RATE
                if self._log.keeps_sound or self._feel is not None:
                    self._utterance.parts_samples.append(samples)
                self._hearing = None
            case UserPaused(samples) if self._utterance is not None:
                self._utterance.paused = now
                self._utterance.done = self._utterance.silence_timeout = None
                if self._waiting is not None:
                    self._waiting.cancel()
                hearing = self._hear(samples, self._utterance)
                self._waiting = asyncio.create_task(self._wait(event, hearing, self._utterance))
            case UserStoppedSpeaking(samples, covered_by_pause) if self._utterance is not None:
                self._end(self._utterance, samples, paused=covered_by_pause)
        self._tell_state()

    def _end(self, said: _Utterance, samples: "Samples", *, paused: bool) -> None:
        """`samples` are the last of what was `said`; what they mean is decided when all of it has been listened to."""
        said.ended = said.speech_ended = asyncio.get_running_loop().time()
        if paused and said.paused is not None:
            said.speech_ended = said.paused - self._taking.params.pause_secs
        else:
            # They went on after the last pause.
            said.done = said.silence_timeout = None
        hearing = self._hearing if paused and self._hearing is not None else self._hear(samples, said)
        self._hearing = self._utterance = None
        deciding = asyncio.create_task(self._decide([*said.parts, hearing], said, samples))
        self._deciding.add(deciding)
        deciding.add_done_callback(self._decided)

    def _hear(self, samples: "Samples", said: _Utterance) -> "asyncio.Task[Transcript]":
        """Look for words in these samples of what was `said`, and no longer in the fewer ones of an earlier pause."""
        if self._hearing is not None:
            self._hearing.cancel()
        self._hearing = asyncio.create_task(self._listen(samples, said.parts_seconds))
        return self._hearing

    async def _wait(self, pause: UserPaused, hearing: "asyncio.Task[Transcript]", said: _Utterance) -> None:
        """Say how long to wait in this pause, once there are words: before them nothing could be answered anyway."""
        loop = asyncio.get_running_loop()
        if self._judge is not None:
            said.done = await loop.run_in_executor(self._judging, self._judge, pause.samples)
        whole = [*said.parts, hearing]
        # What they raise comes out where the turn is decided.
        await asyncio.wait(whole)
        if any(part.cancelled() or part.exception() for part in whole):
            return
        heard = join_transcripts([part.result() for part in whole])
        is_turn = self._decision(heard.text.strip(), said) == "turn"
        said.silence_timeout = silence_timeout(heard, said.done) if is_turn else SHORT_SILENCE
        self._taking.set_silence_timeout(pause, said.silence_timeout)

    def _decided(self, task: "asyncio.Task[None]") -> None:
        if task.cancelled() or task.exception() is None:
            self._deciding.discard(task)
            self._tell_state()

    async def _listen(self, samples: "Samples", after: float) -> Transcript:
        """The words in `samples`, which come so many seconds `after` the beginning of the utterance."""
        loop = asyncio.get_running_loop()
        heard = await loop.run_in_executor(self._listening, self._ears.transcribe, samples, self._language)
        return replace(heard, segments=tuple(shift_segment(segment, after) for segment in heard.segments))

    async def _decide(self, whole: "Sequence[asyncio.Task[Transcript]]", said: _Utterance, samples: "Samples") -> None:
        """Whether what was heard, part for part, is a turn, and if so, take it. `samples` are those of the last one."""
        loop = asyncio.get_running_loop()
        async with self._turns:
            heard = join_transcripts([await part for part in whole])
            text = heard.text.strip()
            decision = self._decision(text, said)
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
                done=said.done,
                patience_seconds=said.silence_timeout,
                waited_seconds=said.ended - said.speech_ended,
                words_seconds=loop.time() - said.speech_ended,
                audio=self._kept_sound(said, samples),
            )
            if decision != "turn":
                if said.pushed:
                    self._show(Notice("Nothing was understood: push to talk again, and speak after that."))
                if self._utterance is None:
                    self._output.resume()
                return
            if heard.language_probability >= MIN_LANGUAGE_PROBABILITY:
                self._language = self._language or heard.language
            await self.interrupt()
            self._raise_failure()
            sound = [*said.parts_samples, samples]
            self._reply = asyncio.create_task(self._answer(text, said, heard.language, sound))

    def _decision(self, text: str, said: _Utterance) -> Decision:
        """What `text` is, which was heard in `said`."""
        if not text:
            return "nothing"
        if said.pushed:
            return "turn"
        if said.over is not None and not self._headphones and is_echo(text, said.over.said):
            return "echo"
        return "backchannel" if said.interrupts and is_backchannel(text) else "turn"

    def _kept_sound(self, said: _Utterance, samples: "Samples") -> str | None:
        """The name under which all the sound of `said` is kept, which ends in `samples`."""
        import numpy as np

        if not self._log.keeps_sound:
            return None
        return self._log.keep(said.number, np.concatenate([*said.parts_samples, samples]))

    def _is_fresh(self) -> bool:
        return asyncio.get_running_loop().time() - self._silent_since < _ECHO_SECONDS

    async def _answer(self, text: str, said: _Utterance, language: str, sound: "Sequence[Samples]") -> None:
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
        self._show(UserTranscript(text, tuple(pictures)))
        speech = Speech(
            self._voice, self._speaking, self._output, self._language or "en", began=began, failed=self._tell_failure
        )
        failure: str | None = None
        turn: Turn | None = None
        try:
            async with speech:
                self._speech = speech
                if self._utterance is not None:
                    # They went on while their words were looked for: what they say next decides.
                    self._output.pause()
                # Words are judged in English only.
                words = text if language == "en" else ""
                advice = None
                if self._feel is not None:
                    advice = partial(self._advice, self._feel, words, said, sound, asyncio.get_running_loop())
                turn = self._session.turn(message, speech, turn_instructions=advice, commands=False)
                async with aclosing(turn):
                    async for event in turn:
                        if isinstance(event, TextDelta):
                            if took["first_token_seconds"] is None:
                                took["first_token_seconds"] = clock() - said.speech_ended
                            speech.write(event.text)
                        self._show(event)
        except ParleyError as error:
            if turn is None or turn.outcome.reply is None:
                # A turn that left no trace has not shown them.
                self._pictures = [*pictures, *self._pictures]
            failure = str(error)
            self._show(Notice(failure))
        finally:
            self._silent_since = clock()
            reply = turn.outcome.reply if turn is not None else None
            self._show(
                SpeechFinished(reply.text, reply.interrupted)
                if reply is not None
                else SpeechFinished("", interrupted=True)
            )
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

    def _advice(
        self,
        feel: EmotionDetector,
        words: str,
        said: _Utterance,
        sound: "Sequence[Samples]",
        loop: asyncio.AbstractEventLoop,
    ) -> str:
        """What the model is told about who `said` something with these `words`. Runs on the model's thread."""
        import numpy as np

        samples = np.concatenate(sound)[-LONGEST_SECONDS * SAMPLE_RATE :]
        try:
            mood = feel(self._session.model, words, samples)
        except ParleyError as error:
            loop.call_soon_threadsafe(self._give_up_feeling, error)
            return ""
        if mood is None:
            return ""
        loop.call_soon_threadsafe(self._felt, said, mood)
        return mood.instructions

    def _felt(self, said: _Utterance, mood: DetectedEmotion) -> None:
        parts = {
            name: {"label": label, "confidence": round(confidence, 3)}
            for name, (label, confidence) in mood.parts.items()
        }
        self._log(
            "mood",
            utterance=said.number,
            label=mood.label,
            confidence=mood.confidence,
            parts=parts,
            instructions=mood.instructions or None,
        )
        if mood.distress:
            self._show(Notice(f"You sound {mood.distress}: the model is told."))

    def _give_up_feeling(self, error: ParleyError) -> None:
        self._feel = None
        self._show(Notice(f"{error} The conversation goes on without knowing how you feel."))

    def _tell_failure(self, error: ParleyError) -> None:
        """The voice or the speaker has failed: told once, until something was spoken again."""
        self._log("voice failed", reason=str(error))
        if not self._told_failure:
            self._told_failure = True
            self._show(Notice(f"{error} The reply goes on in writing."))
        self._tell_state()
