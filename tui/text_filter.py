"""Keep control characters out of the terminal: every line that the app draws passes through `TextFilter`.

Textual hands each rendered line to the filters of the app before it becomes escape sequences. So widgets may hold text
as it is: the names, replies, errors and results in it cannot control the terminal or reverse the order of a line.
What does not pass there is cleaned in `tui.app`: the exit message and the clipboard.
"""

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from assistant.text_cleaning import clean_text

_LINE_CONTROLS = str.maketrans("", "", "\t\n")
"""Tabs and line breaks, which Textual has laid out before. One that is left would move the cursor."""


class TextFilter(LineFilter):
    """Removes what the terminal would obey from the text and the hyperlinks of a line."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002 - Textual's
        """Return `segments` without control characters, each as wide as before."""
        if all(_is_clean(segment) for segment in segments):
            return segments
        return [segment if _is_clean(segment) else _cleaned(segment) for segment in segments]


def _is_clean(segment: Segment) -> bool:
    text, style = segment.text, segment.style
    return (text.isprintable() or _clean(text) == text) and (
        style is None or style.link is None or style.link.isprintable()
    )


def _cleaned(segment: Segment) -> Segment:
    text = _clean(segment.text)
    # Removing a character can join its neighbours to one that is wider or narrower, such as an emoji of several parts.
    if (cells := cell_len(segment.text)) != cell_len(text):
        text = set_cell_size(text, cells)
    style = segment.style
    if style is not None and style.link is not None:
        style = style.update_link(_clean(style.link))
    return Segment(text, style)


def _clean(text: str) -> str:
    return clean_text(text).translate(_LINE_CONTROLS)
