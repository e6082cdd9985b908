"""The input: some lines of text, sent with Enter; what was sent before comes back with the arrow keys."""

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import TextArea

from assistant.attachments import find_images


class Prompt(TextArea):
    """What a person is about to say."""

    BINDINGS: ClassVar[list[BindingType]] = [
        # Ahead of the text area's own keys, which would make a new line of Enter.
        Binding("enter", "send", "Send", priority=True),
        # Most terminals cannot tell Shift+Enter or Alt+Enter from Enter; all of them can send Ctrl+J.
        Binding("ctrl+j,shift+enter,alt+enter", "new_line", "New line", priority=True),
    ]

    class Sent(Message):
        """Enter was pressed."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text
            """All that is in the input."""

    class PicturesPasted(Message):
        """The paths of pictures, and nothing else, were pasted or dropped."""

        def __init__(self, text: str, sources: Sequence[str]) -> None:
            super().__init__()
            self.text = text
            """What was pasted."""
            self.sources = sources
            """The paths and addresses in it."""

    class BackspacedWhenEmpty(Message):
        """Backspace was pressed with nothing left to delete."""

    def __init__(self) -> None:
        super().__init__(placeholder="Ask something", highlight_cursor_line=False)
        self._sent: list[str] = []
        # Position in `_sent` while looking through it, and what was being typed before that.
        self._recalled: int | None = None
        self._draft = ""

    def take(self) -> None:
        """Empty the input and remember what was in it."""
        text = self.text
        if text.strip() and self._sent[-1:] != [text]:
            self._sent.append(text)
        self._recalled = None
        self.clear()

    def put_back(self, text: str) -> None:
        """Return a text that was taken, above what was typed since."""
        if text:
            self.load_text(f"{text}\n{self.text}" if self.text else text)
            self.move_cursor(self.document.end)

    def action_send(self) -> None:
        """Enter."""
        self.post_message(self.Sent(self.text))

    def action_new_line(self) -> None:
        """Ctrl+J, Shift+Enter, Alt+Enter."""
        self.insert("\n")

    def action_cursor_up(self, select: bool = False) -> None:  # noqa: FBT001, FBT002 the text area's signature
        """A line up; from the first one, to what was sent before."""
        if select or not self.navigator.is_first_wrapped_line(self.cursor_location):
            super().action_cursor_up(select)
        elif self._recalled is None:
            if self._sent:
                self._draft = self.text
                self._recall(len(self._sent) - 1)
        elif self._recalled > 0:
            self._recall(self._recalled - 1)

    def action_cursor_down(self, select: bool = False) -> None:  # noqa: FBT001, FBT002 the text area's signature
        """A line down; from the last one, back towards what was being typed."""
        if select or self._recalled is None or not self.navigator.is_last_wrapped_line(self.cursor_location):
            super().action_cursor_down(select)
        elif self._recalled + 1 < len(self._sent):
            self._recall(self._recalled + 1)
        else:
            self._recalled = None
            self._show(self._draft)

    def action_delete_left(self) -> None:
        """Delete a character, or say that there is none."""
        if self.text:
            super().action_delete_left()
        else:
            self.post_message(self.BackspacedWhenEmpty())

    def on_paste(self, event: events.Paste) -> None:
        found = find_images(event.text)
        if found.sources and not found.text.strip():
            event.stop()
            event.prevent_default()
            self.post_message(self.PicturesPasted(event.text, found.sources))

    def _recall(self, position: int) -> None:
        self._recalled = position
        self._show(self._sent[position])

    def _show(self, text: str) -> None:
        self.load_text(text)
        self.move_cursor(self.document.end)
