"""Aligned columns of text for `parley history` and `parley models`.

`rich.table` would add 26 ms to the start and would fold lines for pipes to 80 columns.
"""

import unicodedata
from collections.abc import Iterable, Sequence


def format_table(rows: Sequence[Sequence[str]], max_width: int | None = None) -> list[str]:
    """Return a line for each row, with columns aligned to the left and two spaces between them.

    Args:
        rows: Cells; every row has the same number.
        max_width: Width to which the last column is truncated, but to no less than 20 columns.
    """
    widths = [max(map(display_width, column)) for column in zip(*(row[:-1] for row in rows), strict=True)]
    if max_width is not None:
        last_width = max(max_width - sum(widths) - 2 * len(widths), 20)
        rows = [(*row[:-1], truncate(row[-1], last_width)) for row in rows]
    return [_join(row, widths) for row in rows]


def display_width(text: str) -> int:
    """Return the number of terminal columns of `text`: wide characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(character) else 1 + (unicodedata.east_asian_width(character) in "WF")
        for character in text
    )


def truncate(text: str, width: int) -> str:
    """Return `text` in one line of at most `width` terminal columns."""
    line = " ".join(text.split())
    if display_width(line) <= width:
        return line
    while line and display_width(line) >= width:
        line = line[:-1]
    return f"{line}…"


def _join(cells: Sequence[str], widths: Iterable[int]) -> str:
    padded = [cell + " " * (width - display_width(cell)) for cell, width in zip(cells[:-1], widths, strict=True)]
    return "  ".join([*padded, cells[-1]]).rstrip()
