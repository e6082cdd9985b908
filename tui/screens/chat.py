"""The conversation: what was said above, what is about to be said below, and the state of things at the bottom."""

import asyncio
from contextlib import aclosing
from typing import ClassVar

from textual import on
from textual.actions import SkipAction
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.screen import Screen

from assistant.attachments.images import ImageLoader
from assistant.conversation.session import Session, Turn, model_named
from assistant.errors import AssistantError
from assistant.events import Event, Notice, SkillResult, SpeechFinished, TextDelta, TurnFinished, UserTranscript
from assistant.messages import Image, user
from tui.widgets.assistant_message import AssistantMessage
from tui.widgets.composer import Composer
from tui.widgets.status_bar import StatusBar
from tui.widgets.transcript import Transcript
from tui.widgets.user_message import UserMessage
from voice.conversation import SpokenConversation

# What the status says of a spoken conversation.
_VOICE = {
    "listening": "listening",
    "hearing": "hearing you …",
    "thinking": "thinking … (Esc stops)",
    "speaking": "speaking … (Esc stops)",
    "muted": "muted (F3 to talk)",
}


class ChatScreen(Screen[None]):
    """One conversation. It can be typed into from the start, and is answered once `begin` has given it a session."""

    AUTO_FOCUS = "Prompt"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "stop", "Stop the reply"),
        # The prompt is a few lines high and has no use for pages; the transcript cannot be focused.
        Binding("pageup", "page(-1)", "Scroll up", priority=True),
        Binding("pagedown", "page(1)", "Scroll down", priority=True),
    ]

    class RetryRequested(Message):
        """Building the session failed before, and there is a reason to try again."""

    class ConversationEvent(Message):
        """Something has happened in the spoken conversation."""

        def __init__(self, event: Event) -> None:
            super().__init__()
            self.event = event
            """What it was."""

    def __init__(self, image_loader: ImageLoader) -> None:
        super().__init__()
        self._transcript = Transcript()
        self._composer = Composer(image_loader)
        self._status = StatusBar()
        self._session: Session | None = None
        self._failed = False
        self._queued: tuple[Composer.Submitted, UserMessage] | None = None
        self._turn: asyncio.Task[None] | None = None
        self.spoken: SpokenConversation | None = None
        """The spoken conversation, while there is one."""
        self._spoken_reply: AssistantMessage | None = None
        self._changes: set[asyncio.Task[None]] = set()
        self._leaving = False

    def compose(self) -> ComposeResult:
        yield self._transcript
        yield self._composer
        yield self._status

    def show_loading(self, state: str) -> None:
        """Tell how far the session is, like "loading …"."""
        self._failed = False
        self._status.state = state

    async def show_failure(self, reason: str) -> None:
        """There will be no session, for this reason. What was to be sent goes back into the input."""
        self._failed = True
        self._status.state = "no model"
        self._transcript.add_notice(f"{reason} Send again to try once more.", failure=True)
        await self._unqueue()

    async def begin(self, session: Session) -> None:
        """Show what the session remembers, and answer what was sent while it was being built."""
        self._session = session
        self._status.model = session.model.info
        self._status.state = "ready"
        await self._transcript.add_earlier(session.messages)
        if self._queued is not None:
            (submitted, user_turn), self._queued = self._queued, None
            await self._answer(session, submitted, user_turn)

    def begin_command(self, name: str) -> None:
        """Begin the next message with "/name", before what has been typed."""
        self._composer.begin(f"/{name} ")

    def show_event(self, event: Event) -> None:
        """Show what happens in the spoken conversation, in the order in which it does."""
        self.post_message(self.ConversationEvent(event))

    async def shown(self) -> None:
        """Wait until all that has happened is on the screen, which must not go meanwhile."""
        shown = asyncio.Event()
        if self.call_later(shown.set):
            await shown.wait()

    def show_voice(self, what: str | None = None) -> None:
        """Tell what the spoken conversation does, or without it `what`; nothing is that there is none."""
        if what is None and self.spoken is not None:
            what = "hearing you … (F3 sends)" if self.spoken.pushed else _VOICE[self.spoken.state]
        self._status.voice = what or ""

    def show_notice(self, text: str, *, failure: bool = False) -> None:
        """Tell something that belongs to no turn."""
        self._transcript.add_notice(text, failure=failure)

    def take_images(self) -> list[Image]:
        """The attached pictures, for a question that was spoken."""
        return self._composer.take()

    async def leave(self) -> None:
        """Stop what goes on, for good: the reply being written, which is kept, and the change of a model."""
        self._leaving = True
        await self._end_turn()

    async def _end_turn(self) -> None:
        if self._turn is not None:
            self._turn.cancel()
            await asyncio.wait([self._turn])

    async def action_stop(self) -> None:
        """Stop the reply within one token, or take back what still waits for the model."""
        if self._turn is not None:
            self._stop_turn(self._turn)
        elif self.spoken is not None and self.spoken.replying:
            await self.spoken.interrupt()
        else:
            await self._unqueue()

    def _stop_turn(self, turn: "asyncio.Task[None]") -> None:
        turn.cancel()
        self._status.state = "stopping …"

    def action_copy_text(self) -> None:
        """Ctrl+C: copy what is selected; with nothing selected, stop as Esc does, where there is a reply to stop."""
        try:
            super().action_copy_text()
        except SkipAction:
            if self._turn is not None:
                self._stop_turn(self._turn)
            elif self.spoken is not None and self.spoken.replying:
                self.call_later(self.spoken.interrupt)
            else:
                raise

    def action_page(self, direction: int) -> None:
        """Scroll the transcript by a page, up for -1, down for 1."""
        if direction < 0:
            self._transcript.scroll_page_up()
        else:
            self._transcript.scroll_page_down()

    @on(ConversationEvent)
    async def _show_happened(self, happened: ConversationEvent) -> None:
        reply = self._spoken_reply
        match happened.event:
            case UserTranscript(text, pictures):
                # What is said counts as much as what is typed: one reply at a time.
                await self._end_turn()
                await self._transcript.add_user_turn(user(text, *pictures))
                self._spoken_reply = await self._transcript.add_reply()
            case TextDelta(text) if reply is not None:
                await reply.write(text)
            case Notice(text):
                self._transcript.add_notice(text, before=reply)
            case TurnFinished(usage=usage):
                self._status.usage = usage
            case SpeechFinished(text, interrupted) if reply is not None:
                self._spoken_reply = None
                if interrupted:
                    await reply.cut(text)
                await reply.finish(interrupted=interrupted)

    @on(Composer.Submitted)
    async def _send(self, submitted: Composer.Submitted) -> None:
        if self.spoken is not None:
            await self.spoken.interrupt()
        user_turn = await self._transcript.add_user_turn(submitted.message)
        for notice in submitted.notices:
            self._transcript.add_notice(notice)
        if self._session is not None:
            await self._answer(self._session, submitted, user_turn)
        else:
            self._queued = submitted, user_turn
            if self._failed:
                self.post_message(self.RetryRequested())

    async def _unqueue(self) -> None:
        if self._queued is not None:
            (submitted, user_turn), self._queued = self._queued, None
            await user_turn.remove()
            await self._composer.restore(submitted)

    async def _answer(self, session: Session, submitted: Composer.Submitted, user_turn: UserMessage) -> None:
        if (name := model_named(submitted.message.text)) is not None:
            await user_turn.remove()
            # In a task, because a message handler that waits for a model leaves the screen dead until it is there.
            change = asyncio.create_task(self._change_model(session, name))
            self._changes.add(change)
            change.add_done_callback(lambda change: self.call_later(self._settle_change, change))
            return
        reply = await self._transcript.add_reply()
        self._status.state = "thinking … (Esc stops)"
        # What the last reply took says nothing about this one, which may be stopped before it can tell.
        self._status.usage = None
        # A task and no worker: its callback is called even if it is cancelled before it has begun.
        turn = session.turn(submitted.message)
        self._turn = asyncio.create_task(self._consume(turn, reply))
        self._turn.add_done_callback(
            lambda task: self.call_later(self._settle, task, turn, submitted, user_turn, reply)
        )

    def _settle_change(self, change: "asyncio.Task[None]") -> None:
        self._changes.discard(change)
        if not change.cancelled() and (error := change.exception()) is not None:
            raise error

    async def _change_model(self, session: Session, name: str) -> None:
        loop = asyncio.get_running_loop()

        def report(what: str, done: int, total: int) -> None:
            if self._leaving:
                raise _AbandonedError
            percent = f"{100 * done // total} %" if total else "…"
            loop.call_soon_threadsafe(self.show_loading, f"{what} {percent}")

        if name:
            # At once: the hub may be slow to answer, and a reply that is being spoken is waited for.
            self.show_loading(f"changing to {name} …")
        try:
            self._transcript.add_notice(await session.change_model(name, report))
        except AssistantError as error:
            # The name is not put back into the input: what is typed next would be taken for a part of it.
            self._transcript.add_notice(str(error), failure=True)
        except _AbandonedError:
            return
        self._composer.release()
        self._status.model = session.model.info
        self._status.usage = None
        self._status.state = "ready"

    async def _settle(
        self,
        task: "asyncio.Task[None]",
        turn: Turn,
        submitted: Composer.Submitted,
        user_turn: UserMessage,
        reply: AssistantMessage,
    ) -> None:
        """The turn is over, in whatever way: show that, and put back into the input what the session did not keep."""
        self._turn = None
        self._status.state = "ready"
        error = None if task.cancelled() else task.exception()
        if isinstance(error, AssistantError):
            self._transcript.add_notice(str(error), failure=True)
        elif error is not None:
            raise error
        if (kept := turn.outcome.reply) is not None:
            # Too late a stop finds the reply already complete and kept as such.
            await reply.finish(interrupted=kept.interrupted)
            self._composer.release()
        else:
            await reply.remove()
            await user_turn.remove()
            await self._composer.restore(submitted)

    async def _consume(self, turn: Turn, reply: AssistantMessage) -> None:
        by_skill = False
        async with aclosing(turn):
            async for event in turn:
                match event:
                    case SkillResult():
                        by_skill = True
                    case TextDelta(text):
                        self._status.state = "writing … (Esc stops)"
                        await reply.write(text)
                    case Notice(text):
                        self._transcript.add_notice(text, before=reply)
                    case TurnFinished(usage=usage) if not by_skill:
                        # What a skill asks is no part of the conversation, and says nothing about its context.
                        self._status.usage = usage


class _AbandonedError(Exception):
    """Nobody waits for another model any more. Raised into its loading, which ends there."""
