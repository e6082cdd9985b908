"""Fixtures: a tiny bundled model in all its stages, and a data folder of image datasets."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import PIL.Image
import pytest
import torch

from assistant.models.pocket import assemble
from assistant.models.pocket.efficientnet import EfficientNetLite
from tests.fakes.image_datasets import noise_image, write_datasets
from tests.fakes.pocket_parts import (
    ALPHA,
    CONFIG,
    RANK,
    published_tower_weights,
    write_tiny_decoder,
    write_tiny_weights,
)
from training import prepare
from training.blends import NUM_BLENDS
from training.curriculum import Curriculum
from training.data import DATASETS, image_names
from training.recipe import Recipe


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Compute with one thread: tensors here are so small that a second thread only waits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with all datasets; see `write_datasets`."""
    folder = tmp_path_factory.mktemp("data")
    write_datasets(folder)
    return folder


@pytest.fixture
def names_in_order(data: Path) -> dict[str, list[str]]:
    """Image names of each dataset, in archive order; of imagenet1000 those that are annotated."""
    return {
        **{name: image_names(data, name) for name in DATASETS},
        "imagenet1000": [f"{number:04}.png" for number in range(1000)],
    }


@pytest.fixture
def curriculum(data: Path, names_in_order: dict[str, list[str]], tmp_path: Path) -> Curriculum:
    """The training mix over `data`, with random class probabilities."""
    (tmp_path / "chatter.jsonl").write_text(json.dumps({"question": "Hi", "answer": "Hello", "cut": False}) + "\n")
    store: Any = SimpleNamespace(names=names_in_order)
    generator = torch.Generator().manual_seed(0)
    counts = {"imagenet1000": 1000, "blends": NUM_BLENDS}
    probabilities = {name: torch.rand(count, 2, 1000, generator=generator) for name, count in counts.items()}
    return Curriculum(data, tmp_path, store, probabilities, Recipe())


@pytest.fixture(scope="session")
def decoder_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The GGUF file of a decoder."""
    path = tmp_path_factory.mktemp("decoder asset") / "decoder.gguf"
    write_tiny_decoder(path)
    return path


@pytest.fixture(scope="session")
def tower_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published state dict of a tower."""
    path = tmp_path_factory.mktemp("tower asset") / "tower.pth"
    torch.manual_seed(0)
    torch.save(published_tower_weights(EfficientNetLite(CONFIG.variant)), path)
    return path


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of trained weights, as `training.export` writes it."""
    folder = tmp_path_factory.mktemp("weights")
    write_tiny_weights(folder)
    return folder


@pytest.fixture(scope="session")
def pocket(decoder_file: Path, tower_file: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which decoder, tower and weights are assembled."""
    target = tmp_path_factory.mktemp("pocket")
    assemble.assemble(decoder_file, tower_file, weights, target)
    return target


@pytest.fixture(scope="session")
def decoder_folder(decoder_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The decoder alone, as a transformers folder: the input of training."""
    target = tmp_path_factory.mktemp("decoder")
    prepare.write_decoder(decoder_file, target)
    return target


@pytest.fixture
def adapter_shape() -> tuple[int, float]:
    """Rank and alpha of the image adapter."""
    return RANK, ALPHA


@pytest.fixture
def images() -> list[PIL.Image.Image]:
    """Three images of noise, neither square nor of the size of the tower's input."""
    return [noise_image(seed) for seed in range(3)]


@pytest.fixture
def image(images: list[PIL.Image.Image]) -> PIL.Image.Image:
    """One of `images`."""
    return images[0]
