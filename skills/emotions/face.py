"""Emotion from faces in a picture: found by OpenCV's Haar cascade, told apart by a small network trained on FER-2013.

picture ─▶ grey ─▶ cascade, with how sure it is ─▶ each face as 48 pixels square ─▶ network ─▶ probabilities
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

# Of 60 photos said to show a smile or a face this cascade finds one in 27, and in 60 of animals alone none; the better
# known "default", with five neighbours, in 25 and in 2.
_CASCADE = "haarcascade_frontalface_alt.xml"
_NEIGHBOURS = 3
# What its last stage asks for, as its file has it.
_LAST_STAGE = 105.76
# Of two boxes that share so much of the smaller one, the one with the higher score is the face.
_OVERLAP = 0.3
# Pictures are looked through at no more than that many pixels a side: a face of interest is then still large enough.
_LONGEST = 1024
_SMALLEST_FACE = 32


class Box(NamedTuple):
    """Where a face is: left, top, right and bottom in pixels of the picture, and the detector's score.

    The score is by how much the last stage of the cascade was passed: near 0 for a doubtful face, 2 and more for a
    clear one.
    """

    left: int
    top: int
    right: int
    bottom: int
    score: float


@dataclass(frozen=True)
class Face:
    """A face and what it looks like: `probabilities` over `EMOTIONS`, which sum to 1."""

    box: Box
    probabilities: Mapping[str, float]


class FaceEmotionClassifier:
    """Finds faces and tells what they look like. From `FaceEmotionClassifier.load()`."""

    def __init__(self, network: "FaceNetwork", temperature: float) -> None:
        self.network = network
        self.temperature = temperature

    @classmethod
    def load(cls) -> "FaceEmotionClassifier":
        """With the weights that come along; takes milliseconds once torch is there."""
        from safetensors import safe_open

        from skills.emotions.face_network import FaceNetwork

        network = FaceNetwork()
        with safe_open(WEIGHTS, "pt") as file:
            network.load_state_dict({name: file.get_tensor(name).float() for name in file.keys()})  # noqa: SIM118
            temperature = float(json.loads(file.metadata()["figures"])["temperature"])
        return cls(network.eval(), temperature)

    def classify(self, picture: "PIL.Image.Image") -> list[Face]:
        """Every face that is found in an upright `picture`, the largest first; nothing, if none is."""
        import torch

        from skills.emotions.face_network import FACE_SIDE, face_logits

        boxes = find_faces(picture)
        if not boxes:
            return []
        grey = picture.convert("L")
        seen = [grey.resize((FACE_SIDE, FACE_SIDE), box=box[:4], reducing_gap=2.0) for box in boxes]
        pixels = torch.stack(
            [torch.frombuffer(bytearray(face.tobytes()), dtype=torch.uint8).view(FACE_SIDE, FACE_SIDE) for face in seen]
        )
        shares = (face_logits(self.network, pixels) / self.temperature).softmax(1).tolist()
        return [Face(box, dict(zip(EMOTIONS, row, strict=True))) for box, row in zip(boxes, shares, strict=True)]


def find_faces(picture: "PIL.Image.Image") -> list[Box]:
    """Where upright faces that look at the camera are in a `picture`, the largest first.

    Faces from the side, tilted by more than about 20 degrees, or narrower than 32 pixels are missed; now and then
    something else is taken for one, mostly with a low score.
    """
    import numpy as np

    grey = picture.convert("L")
    scale = max(1.0, max(grey.size) / _LONGEST)
    if scale > 1:
        grey = grey.resize((max(1, round(grey.width / scale)), max(1, round(grey.height / scale))), reducing_gap=2.0)
    if min(grey.size) < _SMALLEST_FACE:
        return []
    found, _, scores = _cascade().detectMultiScale3(
        np.asarray(grey),
        scaleFactor=1.1,
        minNeighbors=_NEIGHBOURS,
        minSize=(_SMALLEST_FACE, _SMALLEST_FACE),
        outputRejectLevels=True,
    )
    boxes = [
        Box(
            round(left * scale),
            round(top * scale),
            min(picture.width, round((left + width) * scale)),
            min(picture.height, round((top + height) * scale)),
            round(float(score) - _LAST_STAGE, 2),
        )
        for (left, top, width, height), score in zip(found, scores, strict=True)
    ]
    kept: list[Box] = []
    for box in sorted(boxes, key=lambda box: -box.score):
        if all(_shared(box, other) < _OVERLAP for other in kept):
            kept.append(box)
    return sorted(kept, key=_area, reverse=True)


def _area(box: Box) -> int:
    return (box.right - box.left) * (box.bottom - box.top)


def _shared(one: Box, other: Box) -> float:
    """How much of the smaller box lies in the larger."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    return max(0, width) * max(0, height) / min(_area(one), _area(other))


@cache
def _cascade() -> Any:
    import cv2

    return cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / _CASCADE))
