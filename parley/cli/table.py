"""Aligned columns of text for `parley history` and `parley models`.

Rich measures the width of characters (`rich.cells`, 3 ms to import). Its tables are not used: importing them takes
28 ms, and they fold long rows into several lines where programs expect one.
"""

from collections.abc import Sequence

from assistant.text_cleaning import clean_line

_MAX_CELL = 1000


def format_table(rows: Sequence[Sequence[str]], max_width: int | None = None) -> list[str]:
    """Return a line for each row, with columns aligned to the left and two spaces between them.

    Args:
        rows: Cells; every row has the same number.
        max_width: Width to which the last column is truncated, but to no less than 20 columns.
    """
    from rich.cells import cell_len

    # Whatever is removed later would leave the columns crooked, and a newline would end the row.
    rows = [[clean_line(cell, _MAX_CELL) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(*(row[:-1] for row in rows), strict=True)]
    if max_width is not None:
        last_width = max(max_width - sum(widths) - 2 * len(widths), 20)
        rows = [[*row[:-1], truncate(row[-1], last_width)] for row in rows]
    return [_join(row, widths) for row in rows]


def truncate(text: str, width: int) -> str:
    """Return `text` in one line of at most `width` terminal columns."""
    from rich.cells import cell_len, set_cell_size

    line = clean_line(text, _MAX_CELL)
    return line if cell_len(line) <= width else f"{set_cell_size(line, width - 1).rstrip()}…"


def _join(cells: Sequence[str], widths: Sequence[int]) -> str:
    from rich.cells import set_cell_size

    padded = [set_cell_size(cell, width) for cell, width in zip(cells[:-1], widths, strict=True)]
    return "  ".join([*padded, cells[-1]]).rstrip()
