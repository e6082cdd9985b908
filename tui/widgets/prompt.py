"""The input: some lines of text, sent with Enter; what was sent before comes back with the arrow keys."""

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.message import Message
from textual.widgets import TextArea

from assistant.attachments.images import extract_images


class Prompt(TextArea):
    """What a person is about to say."""

    # Most terminals cannot tell Shift+Enter or Alt+Enter from Enter; all of them can send Ctrl+J.
    NEW_LINE_KEYS: ClassVar[frozenset[str]] = frozenset({"ctrl+j", "shift+enter", "alt+enter"})

    class Submitted(Message):
        """Enter was pressed. The input is empty again; `restore` undoes that."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text
            """All that was in the input."""

    class ImagesPasted(Message):
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

    def remember(self, text: str) -> None:
        """Let the arrow keys bring this text back."""
        if self._sent[-1:] != [text]:
            self._sent.append(text)

    def begin(self, words: str) -> None:
        """Put `words` before what has been typed, and the cursor at the end."""
        self.load_text(words + self.text)
        self.move_cursor(self.document.end)
        self.focus()

    def restore(self, text: str) -> None:
        """Return a text that was sent, above what was typed since."""
        if text:
            self.load_text(f"{text}\n{self.text}" if self.text else text)
            self.move_cursor(self.document.end)

    def on_key(self, event: events.Key) -> None:
        # Not as bindings: Textual runs those out of turn with the letters, and fast typing would end up in disorder.
        if event.key == "enter":
            self._recalled = None
            self.post_message(self.Submitted(self.text))
            self.clear()
        elif event.key in self.NEW_LINE_KEYS:
            self.replace("\n", *self.selection, maintain_selection_offset=False)
        else:
            return
        event.stop()
        event.prevent_default()

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
        found = extract_images(event.text)
        if found.sources and not found.text.strip():
            event.stop()
            event.prevent_default()
            self.post_message(self.ImagesPasted(event.text, found.sources))

    def _recall(self, position: int) -> None:
        self._recalled = position
        self._show(self._sent[position])

    def _show(self, text: str) -> None:
        self.load_text(text)
        self.move_cursor(self.document.end)
