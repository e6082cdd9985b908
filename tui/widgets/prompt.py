"""The prompt: some lines of text, sent with Enter. The arrow keys bring back earlier messages."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.geometry import Offset
from textual.message import Message
from textual.widgets import TextArea

from assistant.attachments.typed_text import dropped_images
from tui.shown_text import with_plain_breaks


class Prompt(TextArea):
    """The text of the next message."""

    # Most terminals cannot tell Shift+Enter or Alt+Enter from Enter; all of them can send Ctrl+J.
    NEW_LINE_KEYS: ClassVar[frozenset[str]] = frozenset({"ctrl+j", "shift+enter", "alt+enter"})

    @dataclass
    class Submitted(Message):
        """Enter was pressed. The prompt has been cleared; `restore` undoes that."""

        text: str

    @dataclass
    class ImagesPasted(Message):
        """Paths of images, and nothing else, were pasted or dropped.

        Attributes:
            text: The pasted text.
            sources: The paths and URLs in it.
        """

        text: str
        sources: Sequence[str]

    class BackspacedWhenEmpty(Message):
        """Backspace was pressed in an empty prompt."""

    def __init__(self) -> None:
        super().__init__(placeholder="Ask something", highlight_cursor_line=False)
        self._history: list[str] = []
        self._history_index: int | None = None
        """Position in the history while browsing it."""
        self._draft = ""
        """The text from before browsing the history."""

    def add_to_history(self, text: str) -> None:
        """Let the arrow keys bring back `text`."""
        if self._history[-1:] != [text]:
            self._history.append(text)

    def add_earlier_history(self, texts: Sequence[str]) -> None:
        """Let the arrow keys bring back `texts`, oldest first, before all that was sent since."""
        self._history[:0] = texts
        if self._history_index is not None:
            self._history_index += len(texts)

    def prepend(self, text: str) -> None:
        """Put `text` before what has been typed, move the cursor to the end, and take the focus."""
        self.load_text(text + self.text)
        self.move_cursor(self.document.end)
        self.focus()

    def restore(self, text: str) -> bool:
        """Put back a text that was sent, selected: Enter sends it again, and typing replaces it.

        The arrow keys bring it back in any case. If something has been typed since, that stays as it is, so that no two
        messages become one: returns False then.
        """
        if not text:
            return True
        self.add_to_history(text)
        if self.text:
            return False
        self._show(text)
        self.select_all()
        return True

    def on_key(self, event: events.Key) -> None:
        # Not as bindings: Textual runs those out of order with the letters, which would garble fast typing.
        if event.key == "enter":
            self._history_index = None
            self.post_message(self.Submitted(self.text))
            self.clear()
        elif event.key in self.NEW_LINE_KEYS:
            self.replace("\n", *self.selection, maintain_selection_offset=False)
        else:
            return
        event.stop()
        event.prevent_default()

    def action_cursor_up(self, select: bool = False) -> None:  # noqa: FBT001, FBT002 the text area's signature
        """Move up a line; on the first one, to the previous message of the history."""
        if select or not self.navigator.is_first_wrapped_line(self.cursor_location):
            super().action_cursor_up(select)
        elif self._history_index is None:
            # A message that returned is in both places.
            earlier = self._history[:-1] if self._history[-1:] == [self.text] else self._history
            if earlier:
                self._draft = self.text
                self._recall(len(earlier) - 1)
        elif self._history_index > 0:
            self._recall(self._history_index - 1)

    def action_cursor_down(self, select: bool = False) -> None:  # noqa: FBT001, FBT002 the text area's signature
        """Move down a line; on the last one, to the next message of the history or back to the draft."""
        if select or self._history_index is None or not self.navigator.is_last_wrapped_line(self.cursor_location):
            super().action_cursor_down(select)
        elif self._history_index + 1 < len(self._history):
            self._recall(self._history_index + 1)
        else:
            self._history_index = None
            self._show(self._draft)

    def action_delete_left(self) -> None:
        """Delete the character to the left, or post that there is none."""
        if self.text:
            super().action_delete_left()
        else:
            self.post_message(self.BackspacedWhenEmpty())

    async def on_paste(self, event: events.Paste) -> None:
        event.text = with_plain_breaks(event.text)
        # On a thread, because the text may be long and disks slow. The keys that follow wait, everything else goes on.
        if sources := await asyncio.to_thread(dropped_images, event.text):
            event.stop()
            event.prevent_default()
            self.post_message(self.ImagesPasted(event.text, sources))

    def scroll_cursor_visible(self, center: bool = False, animate: bool = False) -> Offset:  # noqa: FBT001, FBT002 the text area's signature
        """Scroll to the cursor, if it is inside the text."""
        # Undoing takes lines away and asks for this before it has moved the cursor, if a scrollbar goes with the lines.
        if self.cursor_location[0] >= self.document.line_count:
            return Offset()
        return super().scroll_cursor_visible(center, animate)

    def _recall(self, index: int) -> None:
        self._history_index = index
        self._show(self._history[index])

    def _show(self, text: str) -> None:
        self.load_text(text)
        self.move_cursor(self.document.end)
