"""Show the events of one turn, typed or spoken, in the transcript and the status bar."""

from assistant.events import (
    Event,
    LoadProgress,
    Notice,
    ReasoningDelta,
    SkillResult,
    SpeechFinished,
    TextDelta,
    TextWasReasoning,
    TurnFinished,
    UserTranscript,
)
from assistant.messages import Message, user
from tui.widgets.assistant_message import AssistantMessage
from tui.widgets.status_bar import StatusBar
from tui.widgets.transcript import Transcript
from tui.widgets.user_message import UserMessage


class TurnView:
    """The user's message and the reply to it, with the notices between them."""

    def __init__(self, transcript: Transcript, status: StatusBar, *, typed: bool) -> None:
        """Create an empty view; notices shown by it go to the end of the transcript.

        Args:
            transcript: Receives the messages.
            status: Shows what the reply took, and for a typed turn its state. That of a spoken turn is shown by the
                conversation it belongs to.
            typed: False for a turn of a spoken conversation.
        """
        self._transcript = transcript
        self._status = status
        self._typed = typed
        self._user_message: UserMessage | None = None
        self._reply: AssistantMessage | None = None
        self._answered_by_skill = False

    async def add_user_message(self, message: Message) -> None:
        """Show the user's message."""
        self._user_message = await self._transcript.add_user_message(message)

    async def begin_reply(self) -> None:
        """Show that a reply is awaited."""
        self._reply = await self._transcript.add_assistant_message()
        if self._typed:
            self._status.state = "thinking … (Esc stops)"
            # A reply that is stopped never reports its usage: the figures of the one before must not stay beside it.
            self._status.usage = None

    async def show(self, event: Event) -> None:
        """Show `event`."""
        match event:
            case UserTranscript(text, images):
                await self.add_user_message(user(text, *images))
                await self.begin_reply()
            case LoadProgress(label, done_bytes, total_bytes):
                self._status.show_progress(label, done_bytes, total_bytes)
            case SkillResult():
                self._answered_by_skill = True
            case TextDelta(text):
                await self._write(text)
            case ReasoningDelta(text):
                await self._write_reasoning(text)
            case TextWasReasoning() if self._reply is not None:
                await self._reply.take_text_for_reasoning()
            case Notice(text):
                self._transcript.add_notice(text, before=self._reply)
            case TurnFinished(usage=usage) if not self._answered_by_skill:
                # The prompts of a skill are no part of the conversation and say nothing about its context.
                self._status.usage = usage
            case SpeechFinished(text, interrupted):
                if self._reply is not None and interrupted:
                    await self._reply.replace_text(text)
                await self.finish(interrupted=interrupted)

    def show_stopping(self) -> None:
        """Show at once that the turn is being stopped."""
        if self._typed:
            self._status.state = "stopping …"
        if self._reply is not None:
            self._reply.show_stopping()

    async def finish(self, *, interrupted: bool) -> None:
        """Complete the reply, marked as stopped if it was interrupted."""
        reply, self._reply = self._reply, None
        if reply is not None:
            await reply.finish(interrupted=interrupted)

    async def remove(self) -> None:
        """Take the turn out of the transcript."""
        if self._reply is not None:
            await self._reply.remove()
        if self._user_message is not None:
            await self._user_message.remove()

    async def _write_reasoning(self, text: str) -> None:
        if self._typed:
            self._status.state = "reasoning … (Esc stops)"
        if self._reply is not None:
            await self._reply.write_reasoning(text)

    async def _write(self, text: str) -> None:
        if self._typed:
            self._status.state = "writing … (Esc stops)"
        if self._reply is not None:
            await self._reply.write(text)
