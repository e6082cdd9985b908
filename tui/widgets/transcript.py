"""The transcript: all messages so far. It follows its end until the user scrolls up."""

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
    """The messages and notices of a conversation, oldest first."""

    MAX_EARLIER_MESSAGES: ClassVar[int] = 60
    """Messages of a resumed conversation that are shown. The widget of each takes about ten milliseconds."""

    def on_mount(self) -> None:
        self.mount(Welcome())
        self.anchor()

    def on_resize(self, _: events.Resize) -> None:
        for preview in self.query(ImagePreview):
            preview.fit()

    async def add_user_message(self, message: Message) -> UserMessage:
        """Append a message of the user and scroll to it."""
        widget = UserMessage(message)
        await self.query(Welcome).remove()
        await self.mount(widget)
        self.anchor()
        return widget

    async def add_assistant_message(self) -> AssistantMessage:
        """Append an empty reply."""
        widget = AssistantMessage()
        await self.mount(widget)
        return widget

    async def prepend_messages(self, messages: Sequence[Message]) -> None:
        """Show a resumed conversation above what has been said since."""
        if not messages:
            return
        await self.query(Welcome).remove()
        shown = messages[-self.MAX_EARLIER_MESSAGES :]
        widgets = [_message_widget(message) for message in shown]
        if hidden := len(messages) - len(shown):
            widgets.insert(0, Notice(f"{hidden} earlier messages are remembered and not shown."))
        await self.mount_all(widgets, before=0 if self.children else None)

    def add_notice(self, text: str, *, failure: bool = False, before: Widget | None = None) -> None:
        """Add a notice at the end, or before the widget of a message."""
        self.mount(Notice(text, failure=failure), before=before)


def _message_widget(message: Message) -> Widget:
    if message.role == "assistant":
        return AssistantMessage(message.text, interrupted=message.interrupted)
    return UserMessage(message)
