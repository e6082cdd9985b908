"""A message of the user, with its images."""

from collections.abc import Callable
from functools import partial

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import Static

from assistant.messages import Message
from tui.shown_text import fit_message, left_out, with_plain_breaks
from tui.widgets.image_preview import ImagePreview


class UserMessage(Vertical):
    """The images of a message and its text, which is shown as typed and never read as markup."""

    def __init__(self, message: Message) -> None:
        super().__init__()
        self._message = message

    def recipe(self) -> Callable[[], Widget]:
        """Return what makes a widget with the same content."""
        return partial(UserMessage, self._message)

    def compose(self) -> ComposeResult:
        for image in self._message.images:
            yield ImagePreview(image)
        text, count = fit_message(with_plain_breaks(self._message.text))
        if text:
            yield Static(text, markup=False)
        if count:
            yield Static(left_out(count), markup=False, classes="more")
