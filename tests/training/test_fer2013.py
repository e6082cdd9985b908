"""Reading FER-2013 from its sheets."""

import csv
from pathlib import Path

import numpy as np
import PIL.Image

from skills.emotions.labels import EMOTIONS
from training.fer2013 import read_faces


def test_faces_are_cropped_from_their_sheet(tmp_path: Path) -> None:
    folder = tmp_path / "fer2013"
    folder.mkdir()
    sheet = np.zeros((96, 96), np.uint8)
    sheet[48:, :48] = 200
    PIL.Image.fromarray(sheet).save(folder / "sheet00.webp", lossless=True)
    with (folder / "labels.csv").open("w", newline="") as file:
        rows = [
            ("sheet", "x", "y", "split", "label"),
            (0, 0, 0, "train", "angry"),
            (0, 0, 48, "validation", "happy"),
            (0, 48, 48, "test", "sad"),
        ]
        csv.writer(file).writerows(rows)
    dev = read_faces(tmp_path, "dev")
    assert dev.pixels.tolist() == np.full((1, 48, 48), 200).tolist()
    assert [EMOTIONS[label] for label in dev.labels] == ["joy"]
    assert [EMOTIONS[label] for label in read_faces(tmp_path, "test").labels] == ["sadness"]
