"""Fixtures for the command line and the Python API."""

from pathlib import Path

import PIL.Image
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def command_machine(nobodys_machine: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `nobodys_machine`, for `python -m parley` in processes that the test starts as well."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def scripted_machine(command_machine: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `command_machine`, with the scripted model as the default."""
    monkeypatch.setenv("PARLEY_MODEL", "scripted")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """An image of 40 x 30 pixels called dog.png."""
    path = tmp_path / "dog.png"
    PIL.Image.new("RGB", (40, 30), "red").save(path)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    """Three images in album/, one of them in a folder below, beside a text file."""
    names = ["album/a.png", "album/b.png", "album/more/c.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.new("RGB", (9, 9)).save(tmp_path / name)
    (tmp_path / "album" / "notes.txt").write_text("no picture")
    return names
