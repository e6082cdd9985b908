"""A reply, rendered as markdown while it is being written and after."""

from collections.abc import Callable
from functools import partial

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import Markdown, Static
from textual.widgets.markdown import MarkdownStream

from tui.markdown_parser import is_reread_whole, make_parser
from tui.shown_text import fit_message, left_out, with_plain_breaks
from tui.widgets.reasoning import ReasoningFold


class AssistantMessage(Vertical):
    """A message of the assistant.

    Attributes:
        text: The reply so far, as far as it is shown.
    """

    def __init__(
        self, text: str | None = None, *, reasoning: str = "", interrupted: bool = False, left_out: int = 0
    ) -> None:
        """Create a reply that is awaited, or one that is known.

        Args:
            text: The reply; None for one that is awaited.
            reasoning: What the model thought before it.
            interrupted: True if it was stopped.
            left_out: Number of characters after `text`, which are not shown.
        """
        super().__init__(classes="-waiting" if text is None else None)
        self.text, count = fit_message(with_plain_breaks(text or ""))
        self._left_out = left_out + count
        self._interrupted = interrupted
        self._reasoning = ReasoningFold(reasoning) if reasoning else None
        self._markdown = Markdown(self.text, parser_factory=make_parser, open_links=False)
        self._more = Static(classes="more")
        self._mark = Static("■ stopped", classes="stopped")
        self._mark.display = interrupted
        self._stream: MarkdownStream | None = None

    def recipe(self) -> Callable[[], Widget]:
        """Return what makes a widget with the same content."""
        reasoning = self._reasoning.text if self._reasoning else ""
        return partial(
            AssistantMessage,
            self.text,
            reasoning=reasoning,
            interrupted=self._interrupted,
            left_out=self._left_out,
        )

    def compose(self) -> ComposeResult:
        if self._reasoning is not None:
            yield self._reasoning
        yield Static("…", classes="waiting")
        yield self._markdown
        yield self._more
        yield self._mark

    def on_mount(self) -> None:
        self._show_left_out()

    def on_markdown_link_clicked(self, event: Markdown.LinkClicked) -> None:
        event.stop()
        self.app.open_url(event.href)

    async def write(self, delta: str) -> None:
        """Append `delta`. Several in a short time are rendered together, which keeps long replies fast."""
        if self._reasoning is not None:
            self._reasoning.finish()
        if self._stream is None:
            self.remove_class("-waiting")
            self._stream = Markdown.get_stream(self._markdown)
        fitting, left_out_here = fit_message(with_plain_breaks(delta), self.text)
        if self._left_out:
            # Once something is left out, nothing that follows may close the gap.
            fitting, left_out_here = "", len(delta)
        if left_out_here:
            self._left_out += left_out_here
            self._show_left_out()
        if fitting:
            self.text += fitting
            await self._stream.write(fitting)

    async def write_reasoning(self, delta: str) -> None:
        """Append `delta` to what the model thought before the reply."""
        if self._reasoning is None:
            self._reasoning = ReasoningFold()
            await self.mount(self._reasoning, before=0)
        self._reasoning.write(delta)

    async def take_text_for_reasoning(self) -> None:
        """Fold what was written so far: it was no reply."""
        text = self.text
        await self.replace_text("")
        self._stream = None
        self.add_class("-waiting")
        await self.write_reasoning(text)

    async def replace_text(self, text: str) -> None:
        """Show `text` in place of what was written, such as the part of it that was heard."""
        await self.finish()
        self.text, self._left_out = fit_message(with_plain_breaks(text))
        self._show_left_out()
        await self._markdown.update(self.text)

    def show_stopping(self) -> None:
        """Show that the reply is being stopped: the model may take seconds to notice."""
        self.remove_class("-waiting")
        self._mark.update("■ stopping …")
        self._mark.display = True

    async def finish(self, *, interrupted: bool = False) -> None:
        """Render what is still pending, and mark the reply if it was stopped."""
        self.remove_class("-waiting")
        if self._reasoning is not None:
            self._reasoning.finish()
        if self._stream is not None:
            await self._stream.stop()
            if is_reread_whole(self.text) and self.is_attached:
                await self._markdown.update(self.text)
        self._interrupted = self._interrupted or interrupted
        self._mark.update("■ stopped")
        self._mark.display = self._interrupted

    def _show_left_out(self) -> None:
        self._more.display = bool(self._left_out)
        if self._left_out:
            self._more.update(left_out(self._left_out))
