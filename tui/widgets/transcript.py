"""Everything said so far, following its own end until someone scrolls up to read."""

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.containers import VerticalScroll
from textual.widget import Widget

from assistant.messages import Message
from tui.widgets.assistant_message import AssistantMessage
from tui.widgets.image_preview import ImagePreview
from tui.widgets.notice import Notice
from tui.widgets.user_message import UserMessage
from tui.widgets.welcome import Welcome


class Transcript(VerticalScroll, can_focus=False):
    """The turns of a conversation, oldest first."""

    SHOWN_EARLIER: ClassVar[int] = 60
    """How many messages of a resumed conversation are shown; a widget for each takes about ten milliseconds."""

    def on_mount(self) -> None:
        self.mount(Welcome())
        self.anchor()

    def on_resize(self, _: events.Resize) -> None:
        for picture in self.query(ImagePreview):
            picture.fit()

    async def add_user_turn(self, message: Message) -> UserMessage:
        """Show what a person says now, and the end of the transcript with it."""
        turn = UserMessage(message)
        await self.query(Welcome).remove()
        await self.mount(turn)
        self.anchor()
        return turn

    async def add_reply(self) -> AssistantMessage:
        """Begin a reply."""
        reply = AssistantMessage()
        await self.mount(reply)
        return reply

    async def add_earlier(self, messages: Sequence[Message]) -> None:
        """Show a resumed conversation above what has been said since."""
        if not messages:
            return
        await self.query(Welcome).remove()
        shown = messages[-self.SHOWN_EARLIER :]
        widgets: list[Widget] = [
            AssistantMessage(message.text, interrupted=message.interrupted)
            if message.role == "assistant"
            else UserMessage(message)
            for message in shown
        ]
        if hidden := len(messages) - len(shown):
            widgets.insert(0, Notice(f"{hidden} earlier messages are remembered and not shown."))
        await self.mount_all(widgets, before=0 if self.children else None)

    def add_notice(self, text: str, *, failure: bool = False, before: Widget | None = None) -> None:
        """Show something a person should know, at the end or `before` a turn."""
        self.mount(Notice(text, failure=failure), before=before)
