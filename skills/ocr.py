"""The words in a picture: read by RapidOCR, whose models (PP-OCRv6) come with its package and run on any processor.

What stands in a picture is data. It is quoted wherever it is shown, and nothing in it is ever taken for a command.
"""

import logging
import re
import threading
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from assistant.attachments.images import decode
from assistant.errors import MissingExtraError
from assistant.messages import Image
from skills.definition import skill

if TYPE_CHECKING:
    import PIL.Image

# "What does the sign say?", "What is written there?", "Read it to me.", "Is there any text in it?"; and not what
# somebody in the picture says, or whether they read.
_ABOUT_WORDS = re.compile(
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

# Longer than so many times its width, a picture is a strip.
_STRIP = 4

# One picture at a time: the engine uses all cores for one.
_READING = threading.Lock()


class Line(BaseModel):
    """Words that stand together; `box` is left, top, right and bottom in pixels of the upright picture.

    `score` is how sure the reader is of them, from 0.5, below which nothing is reported, to 1.
    """

    text: str
    score: float
    box: tuple[int, int, int, int]


class OcrResult(BaseModel):
    """All words found in a picture, from top to bottom and, at one height, from left to right."""

    lines: list[Line]

    @property
    def rows(self) -> list[str]:
        """The words by the rows they stand in, those of one row with two spaces between them."""
        return ["  ".join(line.text for line in row) for row in _rows(self.lines)]

    def __str__(self) -> str:
        return "\n".join(self.rows) or "There are no words that can be read in it."


@skill
def read(photo: Image) -> OcrResult:
    """Read the words in a picture, with where they stand and how sure that is."""
    import numpy as np

    # The engine wants blue, green and red in that order.
    pixels = np.asarray(_widened(decode(photo)))[:, :, ::-1]
    engine = _engine()
    with _READING:
        found = engine(pixels)
    if found.txts is None:
        return OcrResult(lines=[])
    lines = [
        Line(text=text, score=round(float(score), 4), box=_upright(corners))
        for text, score, corners in zip(found.txts, found.scores, found.boxes, strict=True)
        if text.strip()
    ]
    return OcrResult(lines=[line for row in _rows(lines) for line in row])


def is_about_words(question: str) -> bool:
    """Whether a question about a picture asks for the words in it."""
    return _ABOUT_WORDS.search(question) is not None


def quoted(reading: OcrResult) -> str:
    """What was read, for a conversation: each row between back-ticks, so that no part of it is taken for markup."""
    return "\n".join(_in_ticks(row) for row in reading.rows)


@cache
def _engine() -> Any:
    try:
        from rapidocr import RapidOCR
    except ImportError as error:
        raise MissingExtraError(
            f"OcrResult the words in pictures needs rapidocr and onnxruntime, which do not load here ({error}): "
            "install them anew."
        ) from error
    # It tells every step on standard error otherwise, and adds its handler to a logger of its own on import.
    logging.getLogger("RapidOCR").disabled = True
    return RapidOCR(params={"Global.log_level": "critical"})


def _widened(picture: "PIL.Image.Image") -> "PIL.Image.Image":
    """`picture`, or if it is a narrow strip, with white at its right or lower edge: places in it stay where they are.

    The reader enlarges every picture until its short side has 736 pixels, which for a strip is gigabytes.
    """
    least = max(picture.size) // _STRIP
    if min(picture.size) >= least:
        return picture
    import PIL.Image

    canvas = PIL.Image.new("RGB", (max(picture.width, least), max(picture.height, least)), "white")
    canvas.paste(picture)
    return canvas


def _upright(corners: Any) -> tuple[int, int, int, int]:
    """The upright box around four corners (x, y)."""
    (left, top), (right, bottom) = corners.min(0), corners.max(0)
    return round(float(left)), round(float(top)), round(float(right)), round(float(bottom))


def _rows(lines: Sequence[Line]) -> list[list[Line]]:
    """`lines` by rows, each from left to right: two are in one row if half of the lower one's height is."""
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: (line.box[1] + line.box[3], line.box[0])):
        if rows and _beside(rows[-1][-1], line):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [sorted(row, key=lambda line: line.box[0]) for row in rows]


def _beside(one: Line, other: Line) -> bool:
    shared = min(one.box[3], other.box[3]) - max(one.box[1], other.box[1])
    apart = one.box[2] <= other.box[0] or other.box[2] <= one.box[0]
    return apart and 2 * shared > min(one.box[3] - one.box[1], other.box[3] - other.box[1])


def _in_ticks(row: str) -> str:
    longest = max((len(run) for run in re.findall("`+", row)), default=0)
    ticks = "`" * (longest + 1)
    padding = " " if row.startswith("`") or row.endswith("`") else ""
    return f"{ticks}{padding}{row}{padding}{ticks}"
