"""OCR: find and read the text in an image with RapidOCR, whose package contains its models (PP-OCRv6).

Text in an image is data. It is quoted wherever it is shown, and never parsed as a command.
"""

import logging
import re
import threading
from collections.abc import Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel

from assistant.attachments.images import decode
from assistant.errors import MissingExtraError
from assistant.messages import Image
from assistant.text_cleaning import clean_line
from skills.definition import skill

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

# One image at a time: the engine uses all cores for it.
_ENGINE_LOCK = threading.Lock()


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
    """Text in an image, from top to bottom and from left to right."""

    lines: list[Line]

    @property
    def rows(self) -> list[str]:
        """The text by rows; words in the same row are separated by two spaces."""
        return ["  ".join(line.text for line in row) for row in _group_rows(self.lines)]

    def __str__(self) -> str:
        return "\n".join(self.rows) or "There are no words that can be read in it."


@skill
def read(photo: Image) -> OcrResult:
    """Read the words in a picture, with where they stand and how sure that is."""
    from skills.text_detection import find_lines

    pixels = decode(photo)
    engine = _engine()
    with _ENGINE_LOCK:
        found = find_lines(engine, pixels)
    lines = [
        Line(text=clean_line(line.text, _MAX_LINE), score=round(line.score, 4), box=_rounded(line.box))
        for line in found
    ]
    return OcrResult(lines=[line for row in _group_rows(lines) for line in row])


def asks_for_text(question: str) -> bool:
    """Return True if a question about an image asks for the text in it."""
    return _ASKS_FOR_TEXT.search(question) is not None


def quote_rows(result: OcrResult) -> str:
    """Return the rows as inline code in Markdown, so that no part of them is taken for markup."""
    return "\n".join(_inline_code(row) for row in result.rows)


@cache
def _engine() -> Any:
    try:
        from rapidocr import RapidOCR
    except ImportError as error:
        raise MissingExtraError(
            f"Reading the words in pictures needs rapidocr and onnxruntime, which do not load here ({error}): "
            "install them anew."
        ) from error
    # Importing it adds a handler to its logger, which prints every step on standard error.
    logging.getLogger("RapidOCR").disabled = True
    return RapidOCR(params={"Global.log_level": "critical"})


def _rounded(box: tuple[float, float, float, float]) -> tuple[int, int, int, int]:
    left, top, right, bottom = box
    return round(left), round(top), round(right), round(bottom)


def _group_rows(lines: Sequence[Line]) -> list[list[Line]]:
    """Group lines by rows, sorted from left to right. Lines that overlap by half their height are in one row."""
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: (line.box[1] + line.box[3], line.box[0])):
        if rows and _is_same_row(rows[-1][-1], line):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [sorted(row, key=lambda line: line.box[0]) for row in rows]


def _is_same_row(one: Line, other: Line) -> bool:
    overlap = min(one.box[3], other.box[3]) - max(one.box[1], other.box[1])
    side_by_side = one.box[2] <= other.box[0] or other.box[2] <= one.box[0]
    return side_by_side and 2 * overlap > min(one.box[3] - one.box[1], other.box[3] - other.box[1])


def _inline_code(row: str) -> str:
    longest_run = max((len(run) for run in re.findall("`+", row)), default=0)
    ticks = "`" * (longest_run + 1)
    padding = " " if row.startswith("`") or row.endswith("`") else ""
    return f"{ticks}{padding}{row}{padding}{ticks}"
