"""Read the text in an image within seconds, for a description of the image: most images have none.

The skill `read` finds every line and takes a minute for a scan with small print. This one looks first whether there is
any text at a quarter of the cost, looks at few pieces of a large image, and reads only the lines that a description has
room for: the first ones and the last ones, where a page has its title and its total.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from assistant.models.pocket.text_in_image import CUT_MARK, TextInImage
from assistant.text_cleaning import clean_line
from skills.ocr import ENGINE_LOCK, quick_text_engine, text_engine
from skills.reading_order import group_rows
from skills.text_detection import FoundLine, find_regions, may_have_text, read_regions
from skills.text_regions import Region

if TYPE_CHECKING:
    import PIL.Image

MAX_PIECES = 4
_FIRST_LINES, _LAST_LINES = 50, 20
_MIN_SCORE = 0.7
_MIN_WORD = 2
_MAX_LINE = 400


def glance(pixels: "PIL.Image.Image") -> TextInImage:
    """Return the text that is soon found in an RGB image. Raises `MissingExtraError` without an engine."""
    engine, quick_engine = text_engine(), quick_text_engine()
    with ENGINE_LOCK:
        if not may_have_text(quick_engine, pixels):
            return TextInImage()
        regions, scale = find_regions(engine, pixels, MAX_PIECES)
        first, last = _first_and_last(regions)
        parts = [read_regions(engine, pixels, part, scale) for part in (first, last)]
    rows, covered = zip(*(_in_rows([line for line in part if _is_worth_saying(line)]) for part in parts), strict=True)
    cut = (CUT_MARK,) if last else ()
    return TextInImage((*rows[0], *cut, *rows[1]), sum(covered) / (pixels.width * pixels.height))


def _first_and_last(regions: Sequence[Region]) -> tuple[list[Region], list[Region]]:
    """Return the regions that are read: all of them, or the first ones and the last ones of many."""
    order = [line for row in group_rows([_rounded(region.box) for region in regions]) for line in row]
    if len(order) <= _FIRST_LINES + _LAST_LINES:
        return [regions[line] for line in order], []
    return [regions[line] for line in order[:_FIRST_LINES]], [regions[line] for line in order[-_LAST_LINES:]]


def _is_worth_saying(line: FoundLine) -> bool:
    """Return True for words that were read, not guessed: a button or a leaf may look like a letter."""
    return line.score >= _MIN_SCORE and sum(map(str.isalnum, line.text)) >= _MIN_WORD


def _in_rows(lines: Sequence[FoundLine]) -> tuple[tuple[str, ...], int]:
    """Return the text of `lines` by rows in reading order, and the pixels that it covers."""
    boxes = [_rounded(line.box) for line in lines]
    rows = tuple("  ".join(clean_line(lines[each].text, _MAX_LINE) for each in row) for row in group_rows(boxes))
    return rows, sum((right - left) * (bottom - top) for left, top, right, bottom in boxes)


def _rounded(box: tuple[float, float, float, float]) -> tuple[int, int, int, int]:
    left, top, right, bottom = box
    return round(left), round(top), round(right), round(bottom)
