"""A reply, rendered as markdown while it is being written and after."""

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Markdown, Static
from textual.widgets.markdown import MarkdownStream


class AssistantMessage(Vertical):
    """A message of the assistant.

    Attributes:
        text: The reply so far.
    """

    def __init__(self, text: str | None = None, *, interrupted: bool = False) -> None:
        super().__init__(classes="-waiting" if text is None else None)
        self.text = text or ""
        self._interrupted = interrupted
        self._markdown = Markdown(self.text, parser_factory=_make_parser)
        self._stream: MarkdownStream | None = None

    def compose(self) -> ComposeResult:
        yield Static("…", classes="waiting")
        yield self._markdown
        if self._interrupted:
            yield _stopped_mark()

    async def write(self, delta: str) -> None:
        """Append `delta`. Several in a short time are rendered together, which keeps long replies fast."""
        if self._stream is None:
            self.remove_class("-waiting")
            self._stream = Markdown.get_stream(self._markdown)
        self.text += delta
        await self._stream.write(delta)

    async def replace_text(self, text: str) -> None:
        """Show `text` in place of what was written, such as the part of it that was heard."""
        await self.finish()
        self.text = text
        await self._markdown.update(text)

    async def finish(self, *, interrupted: bool = False) -> None:
        """Render what is still pending, and mark the reply if it was stopped."""
        self.remove_class("-waiting")
        if self._stream is not None:
            await self._stream.stop()
        if interrupted and self.is_attached:
            await self.mount(_stopped_mark())


def _stopped_mark() -> Static:
    return Static("■ stopped", classes="stopped")


def _make_parser() -> MarkdownIt:
    """Return a parser for markdown as chat models mean it: tags are text, and a line break stays one."""
    parser = MarkdownIt("gfm-like", {"html": False})
    parser.core.ruler.push("hard_line_breaks", _harden_line_breaks)
    return parser


def _harden_line_breaks(state: StateCore) -> None:
    for token in state.tokens:
        for child in token.children or ():
            if child.type == "softbreak":
                child.type = "hardbreak"
