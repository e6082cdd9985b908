"""Emotion from faces in an image: found by a detector, classified by a small network trained on FER-2013.

image ─▶ FaceDetector ─▶ boxes ─▶ each face as a grey square of 48 x 48 pixels ─▶ FaceNetwork ─▶ probabilities
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from skills.emotions.face_boxes import Box, Face, FaceDetector
from skills.emotions.face_detectors import HaarDetector
from skills.emotions.labels import EMOTIONS

if TYPE_CHECKING:
    import PIL.Image

    from skills.emotions.face_network import FaceNetwork

WEIGHTS = Path(__file__).parent / "weights" / "face.safetensors"

# The side of the square that is classified, as a multiple of the mean side of a face's box. FER-2013's faces were cut
# out with the squares of OpenCV's cascades, and on photos those are this large.
_SQUARE_SCALE = 1.02


class FaceEmotionClassifier:
    """Find faces and classify their expressions. Create it with `FaceEmotionClassifier.load()`."""

    def __init__(self, network: "FaceNetwork", temperature: float, detector: FaceDetector) -> None:
        """Create a classifier whose logits are divided by `temperature`, which calibrates them."""
        self.network = network
        self.temperature = temperature
        self._detector = detector

    @classmethod
    def load(cls, detector: FaceDetector | None = None) -> "FaceEmotionClassifier":
        """Load the weights that Parley ships. Takes milliseconds once torch is imported.

        Args:
            detector: Finds the faces, by default with OpenCV's Haar cascade.
        """
        from safetensors import safe_open

        from skills.emotions.face_network import FaceNetwork

        network = FaceNetwork()
        with safe_open(WEIGHTS, "pt") as file:
            network.load_state_dict({name: file.get_tensor(name).float() for name in file.keys()})  # noqa: SIM118
            temperature = float(json.loads(file.metadata()["figures"])["temperature"])
        return cls(network.eval(), temperature, detector or HaarDetector())

    def classify(self, image: "PIL.Image.Image") -> list[Face]:
        """Return the faces in an upright image, largest first."""
        import torch

        from skills.emotions.face_network import FACE_SIDE, face_logits

        boxes = self._detector.find(image)
        if not boxes:
            return []
        grey = image.convert("L")
        crops = [
            grey.resize((FACE_SIDE, FACE_SIDE), box=square_around(box, image.size), reducing_gap=2.0) for box in boxes
        ]
        pixels = torch.stack(
            [torch.frombuffer(bytearray(crop.tobytes()), dtype=torch.uint8).view(FACE_SIDE, -1) for crop in crops]
        )
        rows = (face_logits(self.network, pixels) / self.temperature).softmax(1).tolist()
        return [Face(box, dict(zip(EMOTIONS, row, strict=True))) for box, row in zip(boxes, rows, strict=True)]


def square_around(box: Box, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return the square around a face that is classified, as far as it lies in an image of `size`."""
    half = _SQUARE_SCALE * (box.right - box.left + box.bottom - box.top) / 4
    x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
    width, height = size
    return max(0.0, x - half), max(0.0, y - half), min(float(width), x + half), min(float(height), y + half)
