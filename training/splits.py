"""Split images into training, dev and test; Caltech-101 and DAQUAR have no dev split of their own."""

import random
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from training.data import image_names, read_annotations
from training.recipe import SEED

NUM_DEV_ROOMS = 80
"""DAQUAR's training images that are held out as dev."""


def hold_out_tenth(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Split `rows` into a fixed random tenth, held out as dev, and the rest."""
    order = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(SEED))]
    return order[: len(order) // 10], order[len(order) // 10 :]


def hold_out_rooms(rows: Sequence[int]) -> tuple[list[int], list[int]]:
    """Split DAQUAR's training `rows`, in archive order, into dev and training."""
    order = list(rows)
    random.Random(SEED).shuffle(order)
    return order[:NUM_DEV_ROOMS], order[NUM_DEV_ROOMS:]


def split_images(data: Path, dataset: str, split: str) -> list[str]:
    """Return the names of a split's images, sorted.

    Args:
        data: The data folder.
        dataset: "flickr8k", "caltech101" or "daquar".
        split: "test" or "dev"; in datasets without a dev split, "dev" is what training holds out.
    """
    rows = read_annotations(data, dataset)
    if split == "test" or dataset == "flickr8k":
        return sorted({row["image"] for row in rows if row["split"] == split})
    train = {row["image"] for row in rows if row["split"] == "train"}
    order = image_names(data, dataset)
    train_rows = [row for row, name in enumerate(order) if name in train]
    if dataset == "daquar":
        dev_rows, _ = hold_out_rooms(train_rows)
    else:
        dev_rows = hold_out_tenth(torch.tensor(train_rows))[0].tolist()
    return sorted(order[row] for row in dev_rows)
