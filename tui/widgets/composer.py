"""The composer: attached images, a hint if something is wrong, and the prompt."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalGroup
from textual.message import Message
from textual.widgets import Static

from assistant import messages
from assistant.attachments.images import ImageLoader
from assistant.attachments.typed_text import read_typed_text
from assistant.errors import AttachmentError
from tui.widgets.attachment_chip import AttachmentChip
from tui.widgets.prompt import Prompt


class Composer(Vertical):
    """Builds one message at a time: after each it waits for `release` or `restore`. Typing goes on meanwhile."""

    @dataclass
    class Submitted(Message):
        """A message is ready to be answered.

        Attributes:
            message: The typed text without the paths of images, and all images.
            typed_text: The text as typed.
            attached: The images attached before sending.
            notices: Notices about the images named in the text.
        """

        message: messages.Message
        typed_text: str
        attached: Sequence[messages.Image]
        notices: Sequence[str]

    class AttachmentsChanged(Message):
        """An image was attached, or taken off."""

    def __init__(self, image_loader: ImageLoader) -> None:
        super().__init__()
        self._image_loader = image_loader
        self._hint = Static(classes="hint", markup=False)
        self._chips = VerticalGroup()
        self._prompt = Prompt()
        self._busy_because = ""
        """Why no message can be sent now, as a sentence; empty if one can."""
        self._submitted_text = ""
        """The text of the message that waits for `release` or `restore`."""
        self._set_aside: list[str] = []
        """Texts that were not sent, and could not return to the prompt because of what has been typed since."""
        self._hint_is_about_text = False
        # Images are loaded on other threads. This keeps what follows in the order of the keys.
        self._load_lock = asyncio.Lock()

    def compose(self) -> ComposeResult:
        yield self._chips
        yield self._hint
        yield self._prompt

    @property
    def attached(self) -> list[messages.Image]:
        """The images that go with the next message."""
        return [chip.image for chip in self._chips.query(AttachmentChip)]

    def take_images(self) -> list[messages.Image]:
        """Remove the attached images and return them."""
        attached = self.attached
        self._chips.query(AttachmentChip).remove()
        return attached

    def prepend(self, text: str) -> None:
        """Put `text` before what has been typed, and focus the prompt."""
        self._prompt.prepend(text)

    def unsent_text(self, *, with_submitted: bool) -> str:
        """Return the text in the prompt, and before it that of the message on its way if `with_submitted`."""
        texts = [*self._set_aside, self._submitted_text if with_submitted else "", self._prompt.text]
        return "\n".join(text for text in texts if text.strip())

    def restore_draft(self, text: str) -> None:
        """Put back what was typed and not sent when the app ended."""
        self._return(text, "This is what you had not sent the last time.")

    def add_earlier_history(self, texts: Sequence[str]) -> None:
        """Let the arrow keys bring back `texts`, the messages of a resumed conversation."""
        self._prompt.add_earlier_history(texts)

    def release(self) -> None:
        """Allow the next message."""
        self._allow_next()
        self._show_hint()

    async def restore(self, submitted: Submitted) -> None:
        """Put back a message that was not answered."""
        self.release()
        await self._add_chips(submitted.attached)
        self._return(submitted.typed_text)

    def show_stopping(self) -> None:
        """Say from now on that the message before is being stopped, if another one is sent meanwhile."""
        if self._busy_because:
            self._busy_because = "The reply before is still being stopped: send this again in a moment."

    @on(Prompt.Submitted)
    def _submit(self, submitted: Prompt.Submitted) -> None:
        if submitted.text in self._set_aside:
            self._set_aside.remove(submitted.text)
        if self._busy_because:
            self._return(submitted.text, self._busy_because)
        else:
            self._busy_because = "One message at a time: Esc stops the one before."
            self._submitted_text = submitted.text
            self._build_message(submitted.text)

    @work(group="attach")
    async def _build_message(self, typed_text: str) -> None:
        async with self._load_lock:
            try:
                typed = await asyncio.to_thread(read_typed_text, typed_text, self._image_loader)
            except AttachmentError as error:
                self._allow_next()
                self._return(typed_text, str(error))
                return
            if text := typed.text.strip():
                await self._post(text, typed_text, typed.images, typed.notices)
            else:
                self._allow_next()
                await self._add_chips(typed.images)
                self._show_hint(" ".join([*typed.notices, "There are no words to send yet: type a question."]))

    async def _post(
        self, text: str, typed_text: str, named_images: Sequence[messages.Image], notices: Sequence[str]
    ) -> None:
        attached = self.attached
        await self._chips.query(AttachmentChip).remove()
        self._prompt.add_to_history(typed_text)
        self._show_hint()
        message = messages.user(text, *attached, *named_images)
        self.post_message(self.Submitted(message, typed_text, attached, notices))

    @on(Prompt.ImagesPasted)
    @work(group="attach")
    async def _attach_pasted(self, pasted: Prompt.ImagesPasted) -> None:
        async with self._load_lock:
            try:
                pasted_images, notices = await self._load(pasted.sources)
            except AttachmentError as error:
                self._prompt.insert(pasted.text)
                self._show_hint(str(error))
            else:
                await self._add_chips(pasted_images)
                self._show_hint(" ".join(notices))

    @on(Prompt.Changed)
    def _drop_stale_hint(self) -> None:
        # What is said about a text is over when the text has gone, and about an empty input when there is text.
        if bool(self._prompt.text) != self._hint_is_about_text:
            self._show_hint()

    @on(Prompt.BackspacedWhenEmpty)
    async def _detach_last(self) -> None:
        if chips := self._chips.query(AttachmentChip):
            await chips.last().remove()
            self.post_message(self.AttachmentsChanged())

    async def _load(self, sources: Sequence[str]) -> tuple[list[messages.Image], list[str]]:
        return await asyncio.to_thread(self._image_loader.load_all, sources)

    async def _add_chips(self, attached: Sequence[messages.Image]) -> None:
        await self._chips.mount_all([AttachmentChip(image) for image in attached])
        if attached:
            self.post_message(self.AttachmentsChanged())

    def _allow_next(self) -> None:
        self._busy_because = self._submitted_text = ""

    def _return(self, typed_text: str, hint: str = "") -> None:
        """Return a text that was not sent to the prompt, or keep it aside if there is another one by now."""
        if not self._prompt.restore(typed_text):
            self._set_aside.append(typed_text)
            hint = f"{hint} ↑ brings back what was not sent.".strip()
        if hint:
            self._show_hint(hint)

    def _show_hint(self, text: str = "") -> None:
        self._hint_is_about_text = bool(self._prompt.text)
        self._hint.update(text)
        self._hint.display = bool(text)
