"""OCR: find and read the text in an image.

Text in an image is data. It is quoted wherever it is shown, and never parsed as a command.
"""

import re
import threading

from pydantic import BaseModel, computed_field

from assistant.attachments.images import decode
from assistant.messages import Image
from assistant.text_cleaning import clean_line
from skills.definition import skill
from skills.reading_order import group_rows, whole_pixels
from skills.text_engine import borrow

# Matches "What does the sign say?", "What is written there?", "Read it to me.", "Is there any text in it?", but not
# "What does the man say?" or "Is she reading?".
_ASKS_FOR_TEXT = re.compile(
    r"""
      ^\W*(?:please\s+|(?:can|could|would|will)\s+you\s+(?:please\s+)?)? (?:read|transcribe)\b
    | \bwhat\s+do(?:es)?\s+(?!(?:the\s+|this\s+|that\s+)?
        (?:man|woman|person|people|child|children|boy|girl|baby|dog|cat|he|she|they|we|you|i)\b)
        [^.?!]*\b(?:say|spell|read)\b
    | \bwhat(?:'s|\s+is|\s+was|\s+has\s+been)\s+(?:\w+\s+)?(?:written|printed)\b
    | \b(?:what|which)\s+(?:text|words?|writing|letters|lettering)\b
    | \b(?:is|are)\s+there\s+(?:any\s+|some\s+|a\s+)?(?:text|words?|writing|lettering)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)

_MAX_LINE = 10_000
"""Characters of a line that are kept."""


class Line(BaseModel):
    """Words that stand together.

    Attributes:
        text: The words.
        score: Confidence from 0.5, below which nothing is reported, to 1.
        box: Left, top, right and bottom in pixels of the upright image.
    """

    text: str
    score: float
    box: tuple[int, int, int, int]


class OcrResult(BaseModel):
    """Text in an image, in reading order: columns one after the other, and all else row by row.

    Attributes:
        lines: The lines that could be read.
        illegible: Number of places that look like text, but are too small or too blurred to be read.
    """

    lines: list[Line]
    illegible: int = 0

    @property
    def rows(self) -> list[str]:
        """The text by rows; words in the same row are separated by two spaces."""
        return [
            "  ".join(self.lines[line].text for line in row) for row in group_rows([each.box for each in self.lines])
        ]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def text(self) -> str:
        """All rows as one text."""
        return "\n".join(self.rows)

    @property
    def notice(self) -> str:
        """A sentence that says what could not be read, or nothing."""
        if not self.illegible:
            return ""
        places = "1 place looks" if self.illegible == 1 else f"{self.illegible} places look"
        return f"{places} like text that is too small or too blurred to be read: try a larger picture of it."

    def __str__(self) -> str:
        rows = self.rows or ["There are no words that can be read in it."]
        return "\n".join([*rows, f"({self.notice})"] if self.notice else rows)


@skill
def read(photo: Image, *, stop: threading.Event | None = None) -> OcrResult:
    """Read the words in a picture, with where they stand and how sure that is."""
    from skills.text_detection import find_lines

    pixels = decode(photo)
    with borrow(stop) as engine:
        found = find_lines(engine, pixels)
    lines = [
        Line(text=clean_line(line.text, _MAX_LINE), score=round(line.score, 4), box=whole_pixels(line.box))
        for line in found
        if line.text
    ]
    rows = group_rows([line.box for line in lines])
    return OcrResult(lines=[lines[each] for row in rows for each in row], illegible=len(found) - len(lines))


def asks_for_text(question: str) -> bool:
    """Return True if a question about an image asks for the text in it."""
    return _ASKS_FOR_TEXT.search(question) is not None


def quote_rows(result: OcrResult) -> str:
    """Return the rows as inline code in Markdown, so that no part of them is taken for markup."""
    return "\n".join(_inline_code(row) for row in result.rows)


def _inline_code(row: str) -> str:
    longest_run = max((len(run) for run in re.findall("`+", row)), default=0)
    ticks = "`" * (longest_run + 1)
    padding = " " if row.startswith("`") or row.endswith("`") else ""
    return f"{ticks}{padding}{row}{padding}{ticks}"
