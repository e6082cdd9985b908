"""Read the text in an image within seconds, for a description of the image: most images have none.

The skill `read` finds every line and takes a minute for a scan with small print. This one looks first whether there is
any text at a quarter of the cost, looks at few pieces of a large image, and reads only the lines that a description has
room for: the first ones and the last ones, where a page has its title and its total.
"""

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from assistant.models.pocket.text_in_image import CUT_MARK, TextInImage
from assistant.text_cleaning import clean_line
from skills.reading_order import group_rows, whole_pixels
from skills.text_detection import FoundLine, find_regions, may_have_text, read_regions
from skills.text_engine import borrow
from skills.text_regions import Region
from skills.vision_model import Cancelled

if TYPE_CHECKING:
    import PIL.Image

MAX_PIECES = 4
"""Pieces of a large image that are looked at, each for about a second."""
_FIRST_LINES, _LAST_LINES = 50, 20
_MIN_SCORE = 0.7
"""Score from which a line is said. `read` reports from 0.5, and its reader sees the score."""
_MIN_WORD = 2
"""Letters and digits of a line that is said."""
_MAX_LINE = 400
"""Characters of a line that are kept."""


def glance(pixels: "PIL.Image.Image", stop: threading.Event | None = None) -> TextInImage:
    """Return the text that is soon found in an RGB image.

    Args:
        pixels: The image.
        stop: Setting it ends the work within about a second, without text.

    Raises:
        MissingExtraError: There is no engine.
    """
    try:
        with borrow(stop) as engine:
            if not may_have_text(engine.quick, pixels):
                return TextInImage()
            regions, scale = find_regions(engine, pixels, MAX_PIECES)
            first, last = _first_and_last(regions)
            parts = [read_regions(engine, pixels, part, scale) for part in (first, last)]
    except Cancelled:
        return TextInImage()
    rows, covered = zip(*(_in_rows([line for line in part if _is_worth_saying(line)]) for part in parts), strict=True)
    cut = (CUT_MARK,) if last else ()
    return TextInImage((*rows[0], *cut, *rows[1]), sum(covered) / (pixels.width * pixels.height))


def _first_and_last(regions: Sequence[Region]) -> tuple[list[Region], list[Region]]:
    """Return the regions that are read: all of them, or the first ones and the last ones of many."""
    order = [line for row in group_rows([whole_pixels(region.box) for region in regions]) for line in row]
    if len(order) <= _FIRST_LINES + _LAST_LINES:
        return [regions[line] for line in order], []
    return [regions[line] for line in order[:_FIRST_LINES]], [regions[line] for line in order[-_LAST_LINES:]]


def _is_worth_saying(line: FoundLine) -> bool:
    """Return True for words that were read, not guessed: a button or a leaf may look like a letter."""
    return line.score >= _MIN_SCORE and sum(map(str.isalnum, line.text)) >= _MIN_WORD


def _in_rows(lines: Sequence[FoundLine]) -> tuple[tuple[str, ...], int]:
    """Return the text of `lines` by rows in reading order, and the pixels that it covers."""
    boxes = [whole_pixels(line.box) for line in lines]
    rows = tuple("  ".join(clean_line(lines[each].text, _MAX_LINE) for each in row) for row in group_rows(boxes))
    return rows, sum((right - left) * (bottom - top) for left, top, right, bottom in boxes)
