"""Find faces in an image: with MTCNN's cascade of networks, or with OpenCV's Haar cascade where those cannot be had.

On 240 photos of people, MTCNN finds 90 % of the faces over 40 pixels, Haar 51 %; each finds something in about 1 % of
326 photos without faces. `benchmarks/faces.py` measures it.
"""

import math
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skills.emotions.face_boxes import Box

if TYPE_CHECKING:
    import PIL.Image

    from skills.emotions.face_cascade import FaceCascade

# Larger images are scaled down before the search: a face that matters is still large enough.
_MAX_SEARCH_PIXELS = 1024
# Smaller faces show no expression that could be told: FER-2013's faces have 48 pixels.
_MIN_FACE_PIXELS = 24

# Of OpenCV's cascades the one that takes the fewest other things for faces.
_HAAR = "haarcascade_frontalface_alt.xml"
_HAAR_NEIGHBOURS = 3
_HAAR_MIN_PIXELS = 32
# Threshold of the last stage of this cascade, from its file. Its scores are relative to it.
_HAAR_LAST_STAGE = 105.76
# Of two boxes that share this much of the smaller one, the one with the higher score is kept.
_MAX_OVERLAP = 0.3


class MtcnnDetector:
    """Finds upright faces from 24 pixels, also those turned to the side, with sunglasses or partly hidden."""

    def __init__(self, cascade: "FaceCascade") -> None:
        self._cascade = cascade

    def find(self, image: "PIL.Image.Image") -> list[Box]:
        import torch

        small, scale = _scaled_down(image.convert("RGB"))
        if min(small.size) < _MIN_FACE_PIXELS:
            return []
        pixels = torch.frombuffer(bytearray(small.tobytes()), dtype=torch.uint8).view(small.height, small.width, 3)
        found = self._cascade.find(pixels.permute(2, 0, 1), _MIN_FACE_PIXELS)
        boxes = [
            _box_in_image(image, [side * scale for side in sides], probability)
            for *sides, probability in found
            if max(sides[2] - sides[0], sides[3] - sides[1]) >= _MIN_FACE_PIXELS
        ]
        return sorted(filter(_area, boxes), key=_area, reverse=True)


class HaarDetector:
    """Finds upright, frontal faces from 32 pixels, tilted by no more than about 20 degrees."""

    def find(self, image: "PIL.Image.Image") -> list[Box]:
        import numpy as np

        grey, scale = _scaled_down(image.convert("L"))
        if min(grey.size) < _HAAR_MIN_PIXELS:
            return []
        found, _, scores = _haar_cascade().detectMultiScale3(
            np.asarray(grey),
            scaleFactor=1.1,
            minNeighbors=_HAAR_NEIGHBOURS,
            minSize=(_HAAR_MIN_PIXELS, _HAAR_MIN_PIXELS),
            outputRejectLevels=True,
        )
        boxes = [
            _box_in_image(
                image,
                [left * scale, top * scale, (left + width) * scale, (top + height) * scale],
                1 / (1 + math.exp(_HAAR_LAST_STAGE - float(score))),
            )
            for (left, top, width, height), score in zip(found, scores, strict=True)
        ]
        return sorted(_suppress_overlaps(boxes), key=_area, reverse=True)


def _scaled_down(image: "PIL.Image.Image") -> "tuple[PIL.Image.Image, float]":
    """Return the image, scaled down if it is large, and how much smaller it is."""
    scale = max(image.size) / _MAX_SEARCH_PIXELS
    if scale <= 1:
        return image, 1.0
    size = (max(1, round(image.width / scale)), max(1, round(image.height / scale)))
    return image.resize(size, reducing_gap=2.0), scale


def _box_in_image(image: "PIL.Image.Image", sides: list[float], score: float) -> Box:
    limits = (image.width, image.height, image.width, image.height)
    left, top, right, bottom = (min(limit, max(0, round(side))) for side, limit in zip(sides, limits, strict=True))
    return Box(left, top, right, bottom, round(score, 4))


def _suppress_overlaps(boxes: list[Box]) -> list[Box]:
    """Keep the box with the highest score of those that overlap (non-maximum suppression)."""
    kept: list[Box] = []
    for box in sorted(boxes, key=lambda box: -box.score):
        if all(_overlap(box, other) < _MAX_OVERLAP for other in kept):
            kept.append(box)
    return kept


def _area(box: Box) -> int:
    return (box.right - box.left) * (box.bottom - box.top)


def _overlap(one: Box, other: Box) -> float:
    """Return the share of the smaller box that lies inside the larger one."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    return max(0, width) * max(0, height) / min(_area(one), _area(other))


@cache
def _haar_cascade() -> Any:
    import cv2

    return cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / _HAAR))
