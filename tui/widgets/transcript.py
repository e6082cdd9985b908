"""The transcript: all messages so far. It follows its end until the user scrolls up.

Only the latest messages are widgets, because Textual lays all of them out again at each change. Older ones are kept as
recipes, which make their widgets when the user scrolls up to them.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar, Protocol, cast

from textual import events
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from assistant.messages import Message
from tui.widgets.assistant_message import AssistantMessage
from tui.widgets.image_preview import ImagePreview
from tui.widgets.notice import Notice
from tui.widgets.user_message import UserMessage
from tui.widgets.welcome import Welcome

Recipe = Callable[[], Widget]
"""Makes the widget of a message or notice. It holds their content and no widget."""


class _Entry(Protocol):
    """A widget of the transcript that can be made again."""

    def recipe(self) -> Recipe:
        """Return what makes a widget with the same content."""
        ...


class Transcript(VerticalScroll, can_focus=False):
    """The messages and notices of a conversation, oldest first."""

    MAX_LATEST: ClassVar[int] = 40
    """Messages and notices that are widgets while the end is shown. Each takes about a millisecond at each change."""
    PAGE: ClassVar[int] = 20
    """Messages that become widgets when the user scrolls up to the first one."""

    def __init__(self) -> None:
        super().__init__()
        self._earlier: list[Recipe] = []
        """Messages above the first widget, oldest first."""
        self._earlier_line = Static(classes="earlier", markup=False)
        self._is_loading_earlier = False

    def on_mount(self) -> None:
        self.mount(self._earlier_line, Welcome())
        self._show_earlier_count()
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
        await self._unmount_oldest()
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
        self._earlier[:0] = [partial(_message_widget, message) for message in messages]
        await self._mount_earlier(self.MAX_LATEST)

    def add_notice(self, text: str, *, failure: bool = False, before: Widget | None = None) -> None:
        """Add a notice at the end, or before the widget of a message."""
        self.mount(Notice(text, failure=failure), before=before)

    # Earlier messages

    def page_up(self) -> None:
        """Scroll up by a page, and further than the first widget if there is more."""
        # Without animation: one that is still running when earlier messages come would go on above them.
        self.scroll_page_up(animate=False)
        if self.scroll_y == 0:
            self._load_earlier()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if new_value <= 0 < old_value:
            self._load_earlier()

    def _load_earlier(self) -> None:
        if self._earlier and not self._is_loading_earlier:
            self._is_loading_earlier = True
            self.call_later(self._load_page)

    async def _load_page(self) -> None:
        await self.stop_animation("scroll_y", complete=False)
        from_end = self.virtual_size.height - self.scroll_y

        def stay() -> None:
            self.scroll_to(y=self.virtual_size.height - from_end, animate=False, force=True, immediate=True)
            self._is_loading_earlier = False

        self.release_anchor()
        await self._mount_earlier(self.PAGE)
        self.call_after_refresh(stay)

    async def _mount_earlier(self, count: int) -> None:
        widgets = [make() for make in self._earlier[-count:]]
        del self._earlier[-count:]
        await self.mount_all(widgets, after=self._earlier_line)
        self._show_earlier_count()

    async def _unmount_oldest(self) -> None:
        """Turn the oldest widgets into recipes. Not one by one, because each removal lays out the rest."""
        entries = self.children[1:]
        if len(entries) <= self.MAX_LATEST + self.PAGE // 2:
            return
        oldest = entries[: len(entries) - self.MAX_LATEST]
        self._earlier += [cast("_Entry", widget).recipe() for widget in oldest]
        await self.remove_children(oldest)
        self._show_earlier_count()

    def _show_earlier_count(self) -> None:
        count = len(self._earlier)
        self._earlier_line.display = count > 0
        self._earlier_line.update(f"▲ {count} earlier {'message' if count == 1 else 'messages'}: scroll up")


def _message_widget(message: Message) -> Widget:
    if message.role == "assistant":
        return AssistantMessage(message.text, reasoning=message.reasoning, interrupted=message.interrupted)
    return UserMessage(message)
