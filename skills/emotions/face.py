"""Emotion from faces in an image: found by OpenCV's Haar cascade, classified by a small network trained on FER-2013.

image ─▶ grey ─▶ cascade with scores ─▶ each face as 48 x 48 pixels ─▶ FaceNetwork ─▶ probabilities
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from skills.emotions.labels import EMOTIONS

if TYPE_CHECKING:
    import PIL.Image

    from skills.emotions.face_network import FaceNetwork

WEIGHTS = Path(__file__).parent / "weights" / "face.safetensors"

# Finds a face in 27 of 60 photos captioned with a smile or a face, and in none of 60 photos of animals. The better
# known "default" cascade with five neighbours: in 25 and in 2.
_CASCADE = "haarcascade_frontalface_alt.xml"
_MIN_NEIGHBOURS = 3
# Threshold of the cascade's last stage, from its file. Scores are relative to it.
_LAST_STAGE_THRESHOLD = 105.76
# Of two boxes that share this much of the smaller one, the one with the higher score is kept.
_MAX_OVERLAP = 0.3
# Larger images are scaled down before the search: a face that matters is still large enough.
_MAX_SEARCH_PIXELS = 1024
_MIN_FACE_PIXELS = 32


class Box(NamedTuple):
    """Left, top, right and bottom of a face in pixels of the image, and the detection score.

    The score is the margin by which the face passed the cascade's last stage: about 0 for a doubtful face, 2 and more
    for a clear one.
    """

    left: int
    top: int
    right: int
    bottom: int
    score: float


@dataclass(frozen=True)
class Face:
    """A face, and the probability of each of `EMOTIONS`; they sum to 1."""

    box: Box
    probabilities: Mapping[str, float]


class FaceEmotionClassifier:
    """Find faces and classify their expressions. Create it with `FaceEmotionClassifier.load()`."""

    def __init__(self, network: "FaceNetwork", temperature: float) -> None:
        """Create a classifier whose logits are divided by `temperature`, which calibrates them."""
        self.network = network
        self.temperature = temperature

    @classmethod
    def load(cls) -> "FaceEmotionClassifier":
        """Load the weights that Parley ships. Takes milliseconds once torch is imported."""
        from safetensors import safe_open

        from skills.emotions.face_network import FaceNetwork

        network = FaceNetwork()
        with safe_open(WEIGHTS, "pt") as file:
            network.load_state_dict({name: file.get_tensor(name).float() for name in file.keys()})  # noqa: SIM118
            temperature = float(json.loads(file.metadata()["figures"])["temperature"])
        return cls(network.eval(), temperature)

    def classify(self, image: "PIL.Image.Image") -> list[Face]:
        """Return the faces in an upright image, largest first."""
        import torch

        from skills.emotions.face_network import FACE_SIDE, face_logits

        boxes = find_faces(image)
        if not boxes:
            return []
        grey = image.convert("L")
        crops = [grey.resize((FACE_SIDE, FACE_SIDE), box=box[:4], reducing_gap=2.0) for box in boxes]
        pixels = torch.stack(
            [torch.frombuffer(bytearray(crop.tobytes()), dtype=torch.uint8).view(FACE_SIDE, -1) for crop in crops]
        )
        rows = (face_logits(self.network, pixels) / self.temperature).softmax(1).tolist()
        return [Face(box, dict(zip(EMOTIONS, row, strict=True))) for box, row in zip(boxes, rows, strict=True)]


def find_faces(image: "PIL.Image.Image") -> list[Box]:
    """Return the boxes of upright, frontal faces in an image, largest first.

    Misses faces in profile, tilted by more than about 20 degrees, or narrower than 32 pixels. Now and then something
    else is taken for a face, mostly with a low score.
    """
    import numpy as np

    grey = image.convert("L")
    scale = max(1.0, max(grey.size) / _MAX_SEARCH_PIXELS)
    if scale > 1:
        grey = grey.resize((max(1, round(grey.width / scale)), max(1, round(grey.height / scale))), reducing_gap=2.0)
    if min(grey.size) < _MIN_FACE_PIXELS:
        return []
    found, _, scores = _cascade().detectMultiScale3(
        np.asarray(grey),
        scaleFactor=1.1,
        minNeighbors=_MIN_NEIGHBOURS,
        minSize=(_MIN_FACE_PIXELS, _MIN_FACE_PIXELS),
        outputRejectLevels=True,
    )
    boxes = [
        Box(
            round(left * scale),
            round(top * scale),
            min(image.width, round((left + width) * scale)),
            min(image.height, round((top + height) * scale)),
            round(float(score) - _LAST_STAGE_THRESHOLD, 2),
        )
        for (left, top, width, height), score in zip(found, scores, strict=True)
    ]
    return sorted(_suppress_overlaps(boxes), key=_area, reverse=True)


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
def _cascade() -> Any:
    import cv2

    return cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / _CASCADE))
