"""Training, dev and test have no image in common."""

from pathlib import Path

import pytest

from training.curriculum import Curriculum
from training.splits import split_images


@pytest.mark.parametrize("dataset", ["flickr8k", "caltech101", "daquar"])
def test_dev_images_are_those_that_training_holds_out(
    data: Path, names_in_order: dict[str, list[str]], curriculum: Curriculum, dataset: str
) -> None:
    dev = split_images(data, dataset, "dev")
    assert dev == sorted(names_in_order[dataset][row] for row in curriculum.dev[dataset])
    assert set(dev).isdisjoint(names_in_order[dataset][row] for row in curriculum.train[dataset])
    assert set(dev).isdisjoint(split_images(data, dataset, "test"))


def test_no_generated_image_is_in_training_and_dev(curriculum: Curriculum) -> None:
    for dataset in ("imagenet1000", "drawings", "blends"):
        assert curriculum.dev[dataset]
        assert set(curriculum.dev[dataset]).isdisjoint(curriculum.train[dataset])
