"""Faces as values: where they are, and what they seem to show."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import PIL.Image


class Box(NamedTuple):
    """Left, top, right and bottom of a face in pixels of the image, and the detection score.

    The score is the probability that it is a face, from 0.9 for MTCNN. For the Haar cascade it is a rough equivalent,
    about 0.5 for a doubtful face and 0.9 and more for a clear one.
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


class FaceDetector(Protocol):
    """Finds faces."""

    def find(self, image: "PIL.Image.Image") -> list[Box]:
        """Return the boxes of the faces in an upright image, largest first."""
        ...
