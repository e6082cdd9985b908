"""A reply, as markdown, while it is being written and after."""

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Markdown, Static
from textual.widgets.markdown import MarkdownStream


class AssistantMessage(Vertical):
    """What the model says. `text` is what it has said so far."""

    def __init__(self, text: str | None = None, *, interrupted: bool = False) -> None:
        super().__init__(classes="-waiting" if text is None else None)
        self.text = text or ""
        self._interrupted = interrupted
        self._markdown = Markdown(self.text, parser_factory=_parser)
        self._stream: MarkdownStream | None = None

    def compose(self) -> ComposeResult:
        yield Static("…", classes="waiting")
        yield self._markdown
        if self._interrupted:
            yield _stopped()

    async def write(self, piece: str) -> None:
        """Show the next piece. Many in a short time are shown together, so that long replies do not slow the screen."""
        if self._stream is None:
            self.remove_class("-waiting")
            self._stream = Markdown.get_stream(self._markdown)
        self.text += piece
        await self._stream.write(piece)

    async def cut(self, text: str) -> None:
        """Show no more than `text`, which is what was heard of it."""
        await self.finish()
        self.text = text
        await self._markdown.update(text)

    async def finish(self, *, interrupted: bool = False) -> None:
        """Show what is still to be shown; mark the reply if it was stopped."""
        self.remove_class("-waiting")
        if self._stream is not None:
            await self._stream.stop()
        if interrupted and self.is_attached:
            await self.mount(_stopped())


def _stopped() -> Static:
    return Static("■ stopped", classes="stopped")


def _parser() -> MarkdownIt:
    """Markdown as chat models mean it: tags are text and not dropped, and a new line is a new line."""
    parser = MarkdownIt("gfm-like", {"html": False})
    parser.core.ruler.push("keep_line_breaks", _keep_line_breaks)
    return parser


def _keep_line_breaks(state: StateCore) -> None:
    for token in state.tokens:
        for child in token.children or ():
            if child.type == "softbreak":
                child.type = "hardbreak"
