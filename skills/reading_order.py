"""The order in which people read the lines of a page: columns one after the other, and all else row by row."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from statistics import median

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels."""

_MIN_LINES = 3
"""Lines of a column. Fewer that stand below each other are a caption or the cells of a table."""
_COLUMN_WIDTH = 8
"""Width over height of the lines of a column of text. The cells of tables, receipts and menus are narrower."""
_MAX_CROSSING = 0.25
"""Share of lines, such as headings, that may run across the gap between two columns."""
_MAX_GAPS = 5
"""Gaps that are tried, the likeliest first: a page of a hundred lines may have a hundred."""
_BESIDE = 0.5
"""Share of the lines of a column that have a line beside them. Speech bubbles of a chat have none."""


def group_rows(boxes: Sequence[Box]) -> list[list[int]]:
    """Return the positions in `boxes` by rows, in reading order, each row from left to right."""
    return _order(boxes, range(len(boxes)))


def _order(boxes: Sequence[Box], lines: Sequence[int]) -> list[list[int]]:
    gap = _column_gap([boxes[line] for line in lines])
    if gap is None:
        return _rows(boxes, lines)
    crossing = [line for line in lines if boxes[line][0] < gap < boxes[line][2]]
    crossing.sort(key=lambda line: _middle(boxes[line]))
    middles = [_middle(boxes[line]) for line in crossing]
    rows: list[list[int]] = []
    # Each heading ends the columns above it.
    for number in range(len(crossing) + 1):
        band = [line for line in lines if bisect_right(middles, _middle(boxes[line])) == number]
        rows += _order(boxes, [line for line in band if boxes[line][2] <= gap])
        rows += _order(boxes, [line for line in band if boxes[line][0] >= gap])
        rows += [[line] for line in crossing[number : number + 1]]
    return rows


def _column_gap(boxes: Sequence[Box]) -> float | None:
    """Return where the gap between two columns of text is, or None if there are no columns."""
    lefts, rights = sorted(box[0] for box in boxes), sorted(box[2] for box in boxes)
    gaps: dict[tuple[int, int], float] = {}
    for right in rights:
        after = bisect_left(lefts, right)
        if after == len(boxes):
            break
        gap = (right + lefts[after]) / 2
        before = bisect_right(rights, gap)
        gaps[before, len(boxes) - after] = gap
    # The gap that leaves the most lines on both sides, and the fewest across it.
    best = sorted(gaps, key=lambda counts: min(counts) + sum(counts), reverse=True)[:_MAX_GAPS]
    for before, after in best:
        gap = gaps[before, after]
        if len(boxes) - before - after > _MAX_CROSSING * len(boxes):
            continue
        if _are_columns([box for box in boxes if box[2] <= gap], [box for box in boxes if box[0] >= gap]):
            return gap
    return None


def _are_columns(left: Sequence[Box], right: Sequence[Box]) -> bool:
    fewer, more = sorted((left, right), key=len)
    if len(fewer) < _MIN_LINES or not all(map(_is_text_column, (left, right))):
        return False
    beside = sum(any(line[1] < other[3] and other[1] < line[3] for other in more) for line in fewer)
    return beside >= _BESIDE * len(fewer)


def _is_text_column(lines: Sequence[Box]) -> bool:
    width, height = median(line[2] - line[0] for line in lines), median(line[3] - line[1] for line in lines)
    return width >= _COLUMN_WIDTH * height


def _rows(boxes: Sequence[Box], lines: Sequence[int]) -> list[list[int]]:
    """Group lines by rows. Lines that overlap by half their height are in one row."""
    rows: list[list[int]] = []
    for line in sorted(lines, key=lambda line: (_middle(boxes[line]), boxes[line][0])):
        if rows and _is_same_row(boxes[rows[-1][-1]], boxes[line]):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [sorted(row, key=lambda line: boxes[line][0]) for row in rows]


def _is_same_row(one: Box, other: Box) -> bool:
    overlap = min(one[3], other[3]) - max(one[1], other[1])
    side_by_side = one[2] <= other[0] or other[2] <= one[0]
    return side_by_side and 2 * overlap > min(one[3] - one[1], other[3] - other[1])


def _middle(box: Box) -> float:
    return (box[1] + box[3]) / 2


def whole_pixels(box: tuple[float, float, float, float]) -> Box:
    """Return a box with its sides rounded."""
    left, top, right, bottom = box
    return round(left), round(top), round(right), round(bottom)
