"""Fixtures for the tests of GGUF models: tiny files that the real llama.cpp runs."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from assistant.models.gguf.model import GgufModel
from tests.fakes.tiny_gguf import make_gguf

LoadModel = Callable[..., GgufModel]


@pytest.fixture
def load_model(tmp_path: Path) -> Iterator[LoadModel]:
    """Write a tiny model with the given properties, and load it."""
    models: list[GgufModel] = []

    def load(**properties: object) -> GgufModel:
        file = make_gguf(tmp_path / f"tiny-{len(models)}.gguf", **properties)  # type: ignore[arg-type]
        models.append(GgufModel.load(file, threads=1))
        return models[-1]

    yield load
    for model in models:
        model.close()


@pytest.fixture
def write_gguf(tmp_path: Path) -> Callable[..., Path]:
    """Write a tiny model with the given properties, and return its path."""
    return partial(make_gguf, tmp_path / "tiny.gguf")
