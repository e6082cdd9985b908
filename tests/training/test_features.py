"""Feature maps of a dataset, on disk."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from assistant.models.pocket.efficientnet import EfficientNetLite
from training.data import image_names, read_images
from training.features import load_tower, preprocess, write_features

SIDE = 64


@pytest.fixture(scope="module")
def tower(tower_file: Path) -> EfficientNetLite:
    return load_tower(tower_file, "lite0", "cpu")


def test_features_are_those_of_the_tower_in_archive_order(data: Path, tower: EfficientNetLite, tmp_path: Path) -> None:
    (tmp_path / "features").mkdir()
    write_features("caltech101", data, tmp_path, tower, SIDE, "cpu")
    assert json.loads((tmp_path / "features" / "caltech101.json").read_text()) == image_names(data, "caltech101")
    maps = np.load(tmp_path / "features" / "caltech101.npy")
    assert maps.shape == (60, 2, tower.neck_width, 2, 2)
    images = [image for _, image in read_images(data, "caltech101")]
    with torch.inference_mode():
        expected = tower.neck(preprocess(images[7], SIDE)[None].bfloat16()).float()
    assert torch.allclose(torch.from_numpy(maps[7, :1]).float(), expected, rtol=0.1, atol=0.1)


def test_finished_features_are_kept(
    data: Path, tower: EfficientNetLite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "caltech101.npy").touch()
    write_features("caltech101", data, tmp_path, tower, SIDE, "cpu")
    assert "already there" in capsys.readouterr().out
    assert (tmp_path / "features" / "caltech101.npy").stat().st_size == 0


def test_an_incomplete_archive_is_refused(data: Path, tower: EfficientNetLite, tmp_path: Path) -> None:
    (tmp_path / "features").mkdir()
    with pytest.raises(SystemExit, match="imagenet1000: 1000 images annotated, 3 in the archive"):
        write_features("imagenet1000", data, tmp_path, tower, SIDE, "cpu")
