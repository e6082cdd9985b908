"""The chat screen: the transcript above, the composer below it, and the status bar at the bottom."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.actions import SkipAction
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.screen import Screen

from assistant.attachments.images import ImageLoader
from assistant.conversation.session import Session
from assistant.conversation.turn import Turn
from assistant.errors import ParleyError
from assistant.events import Event, UserTranscript
from assistant.messages import Image, user
from tui.spoken_view import SpokenView
from tui.turn_view import TurnView
from tui.widgets.composer import Composer
from tui.widgets.status_bar import StatusBar
from tui.widgets.transcript import Transcript
from voice.conversation import SpokenConversation


@dataclass(frozen=True)
class _RunningTurn:
    """A typed message being answered."""

    task: "asyncio.Task[None]"
    turn: Turn
    submitted: Composer.Submitted
    view: TurnView


class ChatScreen(Screen[None]):
    """One conversation. Messages may be typed from the start; they are answered once there is a session.

    Attributes:
        voice: The spoken conversation, while there is one.
    """

    AUTO_FOCUS = "Prompt"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "stop", "Stop the reply"),
        # The prompt is a few lines high and has no use for pages; the transcript cannot be focused.
        Binding("pageup", "page(-1)", "Scroll up", priority=True),
        Binding("pagedown", "page(1)", "Scroll down", priority=True),
    ]

    class RetryRequested(Message):
        """A message was sent after building the session had failed."""

    @dataclass
    class ConversationEvent(Message):
        """Something happened in the spoken conversation."""

        event: Event

    def __init__(self, image_loader: ImageLoader) -> None:
        super().__init__()
        self._transcript = Transcript()
        self._composer = Composer(image_loader)
        self._status = StatusBar()
        self._session: Session | None = None
        self._build_failed = False
        self._queued: tuple[Composer.Submitted, TurnView] | None = None
        """A message sent before there was a session, and its view."""
        self._current_turn: _RunningTurn | None = None
        self.voice: SpokenConversation | None = None
        self._spoken = SpokenView(self._transcript, self._status)

    def compose(self) -> ComposeResult:
        yield self._transcript
        yield self._composer
        yield self._status

    # The session

    def show_progress(self, label: str, done: int, total: int, *, for_voice: bool = False) -> None:
        """Show how far building the session is, or with `for_voice` the voice session."""
        if for_voice:
            self._status.show_progress(f"voice: {label}", done, total, for_voice=True)
        else:
            self._build_failed = False
            self._status.show_progress(label, done, total)

    async def show_build_failure(self, reason: str) -> None:
        """Show why there is no session. A queued message returns to the input."""
        self._build_failed = True
        self._status.state = "no model"
        self.show_notice(f"{reason} Send again to try once more.", failure=True)
        await self._withdraw_queued()

    async def start(self, session: Session) -> None:
        """Show the messages of `session`, and answer a queued one."""
        self._session = session
        self._status.model = session.model.info
        self._status.state = "ready"
        await self._transcript.prepend_messages(session.messages)
        self._composer.add_earlier_history(
            [each.text for each in session.messages if each.role == "user" and each.text]
        )
        if self._queued is not None:
            (submitted, view), self._queued = self._queued, None
            await self._start_turn(session, submitted, view)
        else:
            self.prepare()

    async def shutdown(self) -> bool:
        """Stop the turn that runs, and return True if there is one. Its reply is kept as far as it was shown."""
        if (running := self._current_turn) is None:
            return False
        await self._cancel(running)
        return running.turn.outcome.reply is not None

    @property
    def unsent_text(self) -> str:
        """The text of the messages that no session keeps: the one in the input, and one on its way."""
        running = self._current_turn
        is_kept = running is not None and (running.turn.is_command or running.turn.outcome.reply is not None)
        return self._composer.unsent_text(with_submitted=not is_kept)

    def restore_draft(self, text: str) -> None:
        """Put what was typed and not sent the last time into the input."""
        if text:
            self._composer.restore_draft(text)

    def show_notice(self, text: str, *, failure: bool = False) -> None:
        """Show a notice that belongs to no turn."""
        self._transcript.add_notice(text, failure=failure)

    # Typed messages

    def prepend_command(self, name: str) -> None:
        """Put "/name" before what has been typed."""
        self._composer.prepend(f"/{name} ")

    @on(Composer.Submitted)
    async def _send(self, submitted: Composer.Submitted) -> None:
        if self.voice is not None:
            await self.voice.interrupt()
        view = TurnView(self._transcript, self._status, typed=True)
        await view.add_user_message(submitted.message)
        for notice in submitted.notices:
            self.show_notice(notice)
        if self._session is not None:
            await self._start_turn(self._session, submitted, view)
        else:
            self._queue(submitted, view)

    @on(Composer.AttachmentsChanged)
    def prepare(self) -> None:
        """Let the model look at the conversation and the attached images while the question is being typed."""
        if self._session is not None:
            self._session.prepare(user("", *self._composer.attached))

    def _queue(self, submitted: Composer.Submitted, view: TurnView) -> None:
        self._queued = submitted, view
        if self._build_failed:
            self.post_message(self.RetryRequested())

    async def _withdraw_queued(self) -> None:
        if self._queued is not None:
            (submitted, view), self._queued = self._queued, None
            await view.remove()
            await self._composer.restore(submitted)

    async def _start_turn(self, session: Session, submitted: Composer.Submitted, view: TurnView) -> None:
        turn = session.turn(submitted.message)
        if turn.is_command:
            await view.remove()
        else:
            await view.begin_reply()
        # A task and no worker: its callback is called even if it is cancelled before it has begun. And no part of this
        # handler: the screen would be dead until the turn is over.
        task = asyncio.create_task(self._show_turn(turn, view))
        running = self._current_turn = _RunningTurn(task, turn, submitted, view)
        task.add_done_callback(lambda _: self.call_later(self._settle, session, running))

    async def _show_turn(self, turn: Turn, view: TurnView) -> None:
        async with aclosing(turn):
            async for event in turn:
                await view.show(event)

    async def _settle(self, session: Session, running: _RunningTurn) -> None:
        """Show how the turn ended. What the session did not keep returns to the input, except a command."""
        self._current_turn = None
        self._status.state = "ready"
        self._show_error(running.task)
        if running.turn.is_command:
            # A wrong model name does not return to the input: what is typed next would be taken for a part of it.
            self._status.model = session.model.info
            self._status.usage = None
            self._composer.release()
        elif (reply := running.turn.outcome.reply) is not None:
            # A stop that came too late finds the reply complete and kept as such.
            await running.view.finish(interrupted=reply.interrupted)
            self._composer.release()
        else:
            await running.view.remove()
            await self._composer.restore(running.submitted)
        self.prepare()

    def _show_error(self, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, ParleyError):
            self.show_notice(str(error), failure=True)
        elif error is not None:
            raise error

    # Stopping

    async def action_stop(self) -> None:
        """Esc: stop the reply within one token, or withdraw a message that still waits for the model."""
        if not self._stop_reply():
            await self._withdraw_queued()

    def action_copy_text(self) -> None:
        """Ctrl+C: copy the selected text; with nothing selected, stop the reply like Esc."""
        try:
            super().action_copy_text()
        except SkipAction:
            if not self._stop_reply():
                raise

    def _stop_reply(self) -> bool:
        """Begin to stop the reply being written or spoken; False if there is none."""
        if (reply := self._running_reply) is not None:
            reply.task.cancel()
            reply.view.show_stopping()
            self._composer.show_stopping()
        elif self.voice is not None and self.voice.replying:
            self._spoken.show_stopping()
            self.call_later(self._interrupt, self.voice)
        else:
            return False
        return True

    async def _interrupt(self, voice: SpokenConversation) -> None:
        await voice.interrupt()
        self.show_voice_state()

    @property
    def _running_reply(self) -> _RunningTurn | None:
        """The running turn if it can be stopped. A command cannot: halfway, the session would have no model."""
        return None if self._current_turn is None or self._current_turn.turn.is_command else self._current_turn

    async def _cancel(self, running: _RunningTurn) -> None:
        running.task.cancel()
        await asyncio.wait([running.task])

    def action_page(self, direction: int) -> None:
        """Scroll the transcript by a page, up for -1, down for 1."""
        if direction < 0:
            self._transcript.page_up()
        else:
            self._transcript.scroll_page_down()

    # The spoken conversation

    def show_event(self, event: Event) -> None:
        """Show an event of the spoken conversation, in the order of the calls."""
        self.post_message(self.ConversationEvent(event))

    async def flush(self) -> None:
        """Wait until every event passed to `show_event` is on the screen."""
        flushed = asyncio.Event()
        if self.call_later(flushed.set):
            await flushed.wait()

    def show_voice_state(self) -> None:
        """Show the state of the spoken conversation in the status bar, or nothing if there is none."""
        self._spoken.show_state(self.voice)

    def take_images(self) -> list[Image]:
        """Remove the attached images from the composer and return them, for a spoken question."""
        return self._composer.take_images()

    def pending_images(self) -> list[Image]:
        """Return the attached images, and leave them where they are."""
        return self._composer.attached

    @on(ConversationEvent)
    async def _show_conversation_event(self, message: ConversationEvent) -> None:
        if isinstance(message.event, UserTranscript):
            await self._begin_spoken_turn()
        await self._spoken.show(message.event)

    async def _begin_spoken_turn(self) -> None:
        # A spoken message counts as much as a typed one: there is one reply at a time.
        if (reply := self._running_reply) is not None:
            await self._cancel(reply)
        self._spoken.begin_turn()
