"""Assistants with the scripted model."""

from collections.abc import Iterator
from pathlib import Path

import PIL.Image
import pytest

from parley import Assistant


@pytest.fixture
def photo(tmp_path: Path) -> str:
    PIL.Image.new("RGB", (40, 30), "red").save(tmp_path / "dog.png")
    return "dog.png"


@pytest.fixture
def assistant() -> Iterator[Assistant]:
    with Assistant(model="scripted") as assistant:
        yield assistant


@pytest.fixture
def slow() -> Iterator[Assistant]:
    """Reply with one word each 50 ms."""
    with Assistant(model="scripted:0.05") as assistant:
        yield assistant
