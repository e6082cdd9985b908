"""A message of the user, with its images."""

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from assistant.messages import Message
from tui.widgets.image_preview import ImagePreview


class UserMessage(Vertical):
    """The images of a message and its text, which is shown as typed and never read as markup."""

    def __init__(self, message: Message) -> None:
        super().__init__()
        self._message = message

    def compose(self) -> ComposeResult:
        for image in self._message.images:
            yield ImagePreview(image)
        if self._message.text:
            yield Static(self._message.text, markup=False)
