"""Where a message is put together: the pictures attached so far, what is wrong if something is, and the words."""

import asyncio
from collections.abc import Sequence

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalGroup
from textual.message import Message
from textual.widgets import Static

from assistant import messages
from assistant.attachments.images import ImageLoader, extract_images
from assistant.errors import AttachmentError
from tui.widgets.attachment_chip import AttachmentChip
from tui.widgets.prompt import Prompt


class Composer(Vertical):
    """Makes messages, one at a time: after each it waits for `release` or `restore`. Typing goes on meanwhile."""

    class Submitted(Message):
        """A message is ready to be answered."""

        def __init__(
            self, message: messages.Message, typed: str, attached: Sequence[messages.Image], notices: Sequence[str]
        ) -> None:
            super().__init__()
            self.message = message
            """What to send: the words without the paths of pictures, and all the pictures."""
            self.typed = typed
            """The words as they were typed, paths and all."""
            self.attached = attached
            """The pictures that were attached before sending."""
            self.notices = notices
            """Remarks about pictures whose paths were among the words."""

    def __init__(self, image_loader: ImageLoader) -> None:
        super().__init__()
        self._image_loader = image_loader
        self._hint_line = Static(classes="hint", markup=False)
        self._chips = VerticalGroup()
        self._prompt = Prompt()
        self._busy = False
        # Pictures are read on other threads. Whoever holds this decides what becomes of them, in the order of the keys.
        self._order = asyncio.Lock()

    def compose(self) -> ComposeResult:
        yield self._chips
        yield self._hint_line
        yield self._prompt

    @property
    def attached(self) -> list[messages.Image]:
        """The pictures that will go with the next message."""
        return [chip.image for chip in self._chips.query(AttachmentChip)]

    def take(self) -> list[messages.Image]:
        """The attached pictures, which go with something else than the next message: with what was spoken."""
        attached = self.attached
        self._chips.query(AttachmentChip).remove()
        return attached

    def begin(self, words: str) -> None:
        """Put `words` before what has been typed, and go on typing."""
        self._prompt.begin(words)

    def release(self) -> None:
        """The last message is done with; the next may be sent."""
        self._busy = False
        self._show_hint()

    async def restore(self, submitted: Submitted) -> None:
        """The last message could not be answered: put it back, before anything typed since."""
        self.release()
        await self._add(submitted.attached)
        self._prompt.restore(submitted.typed)

    @on(Prompt.Submitted)
    def _submit(self, sent: Prompt.Submitted) -> None:
        if self._busy:
            self._prompt.restore(sent.text)
            self._show_hint("One message at a time: Esc stops the one before.")
        else:
            self._busy = True
            self._prepare(sent.text)

    @work(group="attach")
    async def _prepare(self, typed: str) -> None:
        async with self._order:
            found = extract_images(typed, links=self._image_loader.allow_urls)
            try:
                opened_images, notices = await self._load(found.sources)
            except AttachmentError as error:
                self._keep(typed, str(error))
                return
            if words := found.text.strip():
                attached = self.attached
                await self._chips.query(AttachmentChip).remove()
                self._prompt.remember(typed)
                self._show_hint()
                self.post_message(
                    self.Submitted(messages.user(words, *attached, *opened_images), typed, attached, notices)
                )
            else:
                await self._add(opened_images)
                self._keep("", " ".join([*notices, "There are no words to send yet: type a question."]))

    @on(Prompt.ImagesPasted)
    @work(group="attach")
    async def _attach_pasted(self, pasted: Prompt.ImagesPasted) -> None:
        async with self._order:
            try:
                opened_images, notices = await self._load(pasted.sources)
            except AttachmentError as error:
                self._prompt.insert(pasted.text)
                self._show_hint(str(error))
            else:
                await self._add(opened_images)
                self._show_hint(" ".join(notices))

    @on(Prompt.BackspacedWhenEmpty)
    async def _detach_last(self) -> None:
        if chips := self._chips.query(AttachmentChip):
            await chips.last().remove()

    async def _load(self, sources: Sequence[str]) -> tuple[list[messages.Image], list[str]]:
        return await asyncio.to_thread(self._image_loader.load_all, sources)

    async def _add(self, images: Sequence[messages.Image]) -> None:
        await self._chips.mount_all([AttachmentChip(image) for image in images])

    def _keep(self, typed: str, why: str) -> None:
        """Go back to typing, as nothing could be sent."""
        self._busy = False
        self._prompt.restore(typed)
        self._show_hint(why)

    def _show_hint(self, text: str = "") -> None:
        self._hint_line.update(text)
        self._hint_line.display = bool(text)
