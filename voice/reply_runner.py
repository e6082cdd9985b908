"""Answer an utterance: run a turn of the session and speak its reply.

utterance ─▶ (emotion) ─▶ Session.turn ─▶ TextDelta ─▶ SpokenReply ─▶ audio output
"""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

from assistant.conversation.session import Session
from assistant.conversation.turn import Turn
from assistant.errors import ParleyError
from assistant.events import Notice, SpeechFinished, TextDelta, TextWasReasoning, UserTranscript
from assistant.messages import Image, user
from voice.empathy import EmpathyMode
from voice.events import Publish, ReplyEnded, SpeechFailed, SpeechStarted
from voice.options import FrontEnd
from voice.reply_playback import PausableAudioSink
from voice.speech_synthesizer import SpeechSynthesizer
from voice.spoken_reply import SpokenReply
from voice.stt.base import Transcript
from voice.tts.readable import UnreadableTextError
from voice.turns.utterance import Utterance


class ReplyRunner:
    """Run one spoken reply at a time."""

    def __init__(
        self,
        session: Session,
        synthesizer: SpeechSynthesizer,
        output: PausableAudioSink,
        publish: Publish,
        front_end: FrontEnd,
        empathy: EmpathyMode | None = None,
    ) -> None:
        """Create a runner.

        Args:
            session: Writes the replies.
            synthesizer: Speaks them.
            output: Plays them.
            publish: Receives what happens.
            front_end: Has the images that go with the questions.
            empathy: Instructs the model about the user's emotion.
        """
        self._session = session
        self._synthesizer = synthesizer
        self._output = output
        self._publish = publish
        self._front_end = front_end
        self._empathy = empathy
        # Images of a turn that left no trace go with the next one.
        self._unsent_images: Sequence[Image] = ()
        # A failure of the voice is reported once, until it has worked again.
        self._failure_reported = False
        self._latest: _Answer | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def active(self) -> bool:
        """True while a reply is in progress."""
        return self._task is not None and not self._task.done()

    @property
    def is_audible(self) -> bool:
        """True once the reply in progress has begun to be spoken."""
        return self.active and self._latest is not None and self._latest.reply.is_audible

    @property
    def echoing_reply(self) -> SpokenReply | None:
        """The reply that a microphone may pick up: one in progress, or just over."""
        return self._latest.reply if self._latest and (self.active or self._latest.reply.may_echo) else None

    async def load(self) -> None:
        """Load what replies need beside the model."""
        if self._empathy is not None:
            await self._empathy.prepare()

    def start(
        self, utterance: Utterance, transcript: Transcript, language: str | None, tasks: asyncio.TaskGroup
    ) -> "asyncio.Task[None]":
        """Start to answer `utterance` in a task of `tasks`. The reply before must have been stopped.

        Args:
            utterance: What is answered.
            transcript: Its words.
            language: Code of the language of the reply; None is English.
            tasks: Raises unexpected failures. A `ParleyError` becomes a notice.
        """
        reply = SpokenReply(
            self._synthesizer,
            self._output,
            language or "en",
            on_start=partial(self._on_speech_started, utterance),
            on_error=self._on_speech_failed,
        )
        self._latest = _Answer(reply)
        self._task = tasks.create_task(self._run(utterance, transcript, self._latest))
        return self._task

    async def stop(self) -> None:
        """Stop the reply in progress, which is kept as far as it was heard."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])

    def pause(self, *, silent: bool, idle: bool) -> None:
        """Pause the reply in progress, or resume it.

        Args:
            silent: Whether its voice pauses.
            idle: Whether the model pauses too. Speech recognition has the processor for itself then: with both at work
                on two cores, an interruption was answered after 7.8 s.
        """
        if self.active and self._latest is not None:
            self._latest.reply.pause(paused=silent)
            if self._latest.turn is not None:
                self._latest.turn.pause(paused=idle)

    def prepare_prompt(self, text: str = "") -> None:
        """Let the model process the conversation, and the next question as far as it is known."""
        self._session.prepare(user(text, *self._unsent_images, *self._front_end.pending_images()))

    def close(self) -> None:
        """End the thread of the synthesizer, after what it is doing."""
        self._synthesizer.close()

    async def _run(self, utterance: Utterance, transcript: Transcript, answer: "_Answer") -> None:
        reply = answer.reply
        images = (*self._unsent_images, *self._front_end.take_images())
        self._unsent_images = ()
        text = transcript.text.strip()
        self._publish(UserTranscript(text, images))
        instructions = self._empathy.turn_instructions(utterance, transcript) if self._empathy is not None else None
        turn = self._session.turn(user(text, *images), reply, turn_instructions=instructions, commands=False)
        answer.turn = turn
        failure: str | None = None
        try:
            async with reply, aclosing(turn):
                async for event in turn:
                    match event:
                        case TextDelta(text):
                            reply.write(text)
                        case TextWasReasoning():
                            reply.discard()
                    self._publish(event)
        except ParleyError as error:
            if turn.outcome.reply is None:
                self._unsent_images = images
            failure = str(error)
            self._publish(Notice(failure))
        finally:
            kept = turn.outcome.reply
            if kept is not None:
                self._publish(SpeechFinished(kept.text, kept.interrupted))
            else:
                self._publish(SpeechFinished("", interrupted=True))
            self._publish(ReplyEnded(utterance, reply, kept, failure))

    def _on_speech_started(self, utterance: Utterance) -> None:
        self._failure_reported = False
        self._publish(SpeechStarted(utterance))

    def _on_speech_failed(self, error: ParleyError) -> None:
        self._publish(SpeechFailed(error))
        if not self._failure_reported:
            self._failure_reported = True
            is_partial = isinstance(error, UnreadableTextError)
            self._publish(Notice(f"{error} {'That is left' if is_partial else 'The reply goes on'} in writing."))


@dataclass
class _Answer:
    """A reply and the turn that writes it, which begins a moment later."""

    reply: SpokenReply
    turn: Turn | None = None
