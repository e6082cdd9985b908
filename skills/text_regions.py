"""Places of lines of text, and how those that neighbouring pieces of an image show of one line become one."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels."""

_NEAR = 4
"""Pixels by which one place may stand out of another that contains it."""


@dataclass(frozen=True, eq=False)
class Region:
    """Place of a line of text, which may be slanted or upright.

    Attributes:
        corners: Top left, top right, bottom right and bottom left (4, 2), in pixels of the image.
        piece: Number of the piece of the image it was found in.
    """

    corners: Any
    piece: int

    @cached_property
    def box(self) -> Box:
        """The upright box around it."""
        (left, top), (right, bottom) = self.corners.min(0), self.corners.max(0)
        return float(left), float(top), float(right), float(bottom)

    @cached_property
    def _sides(self) -> tuple[float, float]:
        top_left, top_right, _, bottom_left = self.corners
        return float(np.linalg.norm(top_right - top_left)), float(np.linalg.norm(bottom_left - top_left))

    @property
    def height(self) -> float:
        """Height of the letters: the shorter side."""
        return min(self._sides)

    @property
    def length(self) -> float:
        """Length of the line: the longer side."""
        return max(self._sides)

    @property
    def runs_down(self) -> bool:
        """True if the line runs from top to bottom or from bottom to top."""
        left, top, right, bottom = self.box
        return bottom - top > right - left

    def frame(self) -> Any:
        """Return unit vectors (2, 2) along the upper and the left side."""
        upper = self.corners[1] - self.corners[0]
        upper = upper / max(float(np.linalg.norm(upper)), 1e-6) if upper.any() else np.array([1.0, 0.0])
        return np.stack([upper, np.array([-upper[1], upper[0]])])


def merge(regions: Iterable[Region]) -> list[Region]:
    """Return the regions, with those of the same line in different pieces made one."""
    merged: list[Region] = []
    for region in sorted(regions, key=lambda each: each.box[:2]):
        current = region
        for other in [each for each in merged if _is_same_line(each, current)]:
            merged.remove(other)
            current = _union(other, current)
        merged.append(current)
    return merged


def _is_same_line(one: Region, other: Region) -> bool:
    """Return True if the regions lie on each other, seen along the longer one, for at least half of their height."""
    if one.piece == other.piece or not boxes_touch(one.box, other.box):
        return False
    lower, upper = _extents(one, other)
    shared = upper.min(0) - lower.max(0)
    along = int(np.argmax((upper - lower).max(0)))
    height = (upper - lower).min(0)[1 - along]
    return bool(shared[along] > 0 and 2 * shared[1 - along] > max(height, 1))


def _union(one: Region, other: Region) -> Region:
    longer, shorter = (one, other) if one.length >= other.length else (other, one)
    lower, upper = _extents(longer, shorter)
    along = int(np.argmax((upper - lower).max(0)))
    if lower[1][along] >= lower[0][along] - _NEAR and upper[1][along] <= upper[0][along] + _NEAR:
        return longer
    (left, top), (right, bottom) = lower.min(0), upper.max(0)
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)]) @ longer.frame()
    return Region(corners.astype(np.float32), other.piece)


def _extents(one: Region, other: Region) -> tuple[Any, Any]:
    """Return the least and the greatest coordinates (2, 2) of both regions, measured along the sides of the longer."""
    axes = max(one, other, key=lambda each: each.length).frame().T
    seen = [each.corners @ axes for each in (one, other)]
    return np.stack([each.min(0) for each in seen]), np.stack([each.max(0) for each in seen])


def boxes_touch(one: Box, other: Box) -> bool:
    """Return True if the upright boxes share an area."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
