"""Training, dev and test have no image in common."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from training.curriculum import Curriculum
from training.data import DATASETS, image_names
from training.recipe import Recipe
from training.splits import split_images


@pytest.fixture
def names(data: Path) -> dict[str, list[str]]:
    """Image names of each dataset, in archive order; of imagenet1000 those that are annotated."""
    return {
        **{name: image_names(data, name) for name in DATASETS},
        "imagenet1000": [f"{number:04}.png" for number in range(1000)],
    }


@pytest.fixture
def curriculum(data: Path, names: dict[str, list[str]], tmp_path: Path) -> Curriculum:
    (tmp_path / "chatter.jsonl").write_text(json.dumps({"question": "Hi", "answer": "Hello", "cut": False}) + "\n")
    store: Any = SimpleNamespace(names=names)
    return Curriculum(data, tmp_path, store, {"imagenet1000": torch.rand(1000, 2, 1000)}, Recipe())


@pytest.mark.parametrize("dataset", ["flickr8k", "caltech101", "daquar"])
def test_dev_images_are_those_that_training_holds_out(
    data: Path, names: dict[str, list[str]], curriculum: Curriculum, dataset: str
) -> None:
    dev = split_images(data, dataset, "dev")
    assert dev == sorted(names[dataset][row] for row in curriculum.dev[dataset])
    assert set(dev).isdisjoint(names[dataset][row] for row in curriculum.train[dataset])
    assert set(dev).isdisjoint(split_images(data, dataset, "test"))


def test_no_generated_image_is_in_training_and_dev(curriculum: Curriculum) -> None:
    for dataset in ("imagenet1000", "drawings", "blends"):
        assert curriculum.dev[dataset]
        assert set(curriculum.dev[dataset]).isdisjoint(curriculum.train[dataset])
