"""Read FER-2013: grey faces of 48 x 48 pixels, stored side by side on sheets."""

import csv
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from skills.emotions.face_network import FACE_SIDE
from skills.emotions.labels import EMOTIONS

# FER-2013's labels to `EMOTIONS`.
_EMOTIONS_OF_LABELS = {
    "angry": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "joy",
    "neutral": "neutral",
    "sad": "sadness",
    "surprise": "surprise",
}
_SPLITS = {"train": "train", "dev": "validation", "test": "test"}


@dataclass(frozen=True)
class Faces:
    """Grey faces (count, 48, 48) as uint8, and their labels (count,) as indices of `EMOTIONS`."""

    pixels: Tensor
    labels: Tensor


def read_faces(data: Path, split: str) -> Faces:
    """Read the faces of "train", "dev" or "test" by cropping them from the sheets in which they are stored."""
    folder = data / "fer2013"
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row["split"] == _SPLITS[split]]
    sheets: dict[str, Tensor] = {}
    pixels = torch.empty(len(rows), FACE_SIDE, FACE_SIDE, dtype=torch.uint8)
    for index, row in enumerate(rows):
        if row["sheet"] not in sheets:
            sheets[row["sheet"]] = _read_sheet(folder / f"sheet{int(row['sheet']):02d}.webp")
        left, top = int(row["x"]), int(row["y"])
        pixels[index] = sheets[row["sheet"]][top : top + FACE_SIDE, left : left + FACE_SIDE]
    return Faces(pixels, torch.tensor([EMOTIONS.index(_EMOTIONS_OF_LABELS[row["label"]]) for row in rows]))


def _read_sheet(path: Path) -> Tensor:
    """Return the grey pixels (height, width) of an image file as uint8."""
    with Image.open(path) as file:
        image = file.convert("L")
    return torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(image.height, image.width)
