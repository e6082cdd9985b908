"""Pictures, models that say what they are told, and packages that bring skills along."""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import PIL.Image
import PIL.ImageDraw
import pytest

from assistant.messages import Image
from assistant.models.scripted import ScriptedModel
from skills import ChatVision


def make_photo(width: int = 60, height: int = 40, colour: str = "red", name: str = "photo.png") -> Image:
    data = io.BytesIO()
    PIL.Image.new("RGB", (width, height), colour).save(data, "PNG")
    return Image(data.getvalue(), "image/png", width, height, name)


@pytest.fixture
def photo() -> Image:
    return make_photo()


@pytest.fixture
def scripted() -> ScriptedModel:
    """What is behind `model`, to be told what to say."""
    return ScriptedModel()


@pytest.fixture
def model(scripted: ScriptedModel) -> ChatVision:
    return ChatVision(scripted)


Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a package on the path that declares a skill, as pip would have installed it."""

    def install(name: str, code: str, *, skill: str | None = None, package: str | None = None) -> None:
        site = tmp_path / "site"
        info = site / f"{package or name}_pack-1.0.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package or name}-pack\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[parley.skills]\n{name} = {name}_module:{skill or name}\n")
        (site / f"{name}_module.py").write_text(code)
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.delitem(sys.modules, f"{name}_module", raising=False)

    return install
