"""Text that was found in an image: what is kept of it, and whether it is what the image is about."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import PIL.Image

MAX_CHARACTERS = 1600
"""Characters of text in a description, some 400 tokens: a language model on two cores reads 60 tokens a second."""

CUT_MARK = "[…]"
"""Row that stands for those that were left out."""

# The end of a receipt or a letter says as much as its beginning: the total, the name.
_END_SHARE = 0.3
_PAGE_CHARACTERS = 60


@dataclass(frozen=True)
class TextInImage:
    """Rows of text in reading order, and the share of the image's area that they cover."""

    rows: tuple[str, ...] = ()
    share: float = 0.0


ReadText = Callable[[PIL.Image.Image, threading.Event], TextInImage]
"""Read an RGB image, less of it once the event is set. The engine is no part of this package."""


def is_page(text: TextInImage) -> bool:
    """Return True if the text is what the image is about."""
    return sum(map(len, text.rows)) > _PAGE_CHARACTERS


def kept_rows(rows: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """Return the rows that fit into `MAX_CHARACTERS`, the first and the last ones, and True if some are missing."""
    if sum(map(len, rows)) <= MAX_CHARACTERS:
        return tuple(rows), False
    end_limit = round(MAX_CHARACTERS * _END_SHARE)
    first = _fitting(rows, MAX_CHARACTERS - end_limit)
    last = _fitting(rows[::-1], end_limit)[::-1]
    return (*first, CUT_MARK, *last), True


def _fitting(rows: Sequence[str], limit: int) -> list[str]:
    """Return the leading rows that fit, at least the beginning of one."""
    kept: list[str] = []
    for row in rows:
        if len(row) > limit:
            return kept or [row[:limit]]
        kept.append(row)
        limit -= len(row)
    return kept
