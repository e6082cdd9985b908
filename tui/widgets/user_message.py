"""What a person said, word for word, with the pictures they showed."""

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from assistant.messages import Message
from tui.widgets.image_preview import ImagePreview


class UserMessage(Vertical):
    """A user's message. Its words are shown as typed, never as markup."""

    def __init__(self, message: Message) -> None:
        super().__init__()
        self._message = message

    def compose(self) -> ComposeResult:
        for image in self._message.images:
            yield ImagePreview(image)
        if self._message.text:
            yield Static(self._message.text, markup=False)
