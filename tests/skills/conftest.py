"""Fixtures for tests of skills: an image, a scripted model, and packages that provide skills."""

from pathlib import Path

import pytest

from assistant.messages import Image
from assistant.models.scripted import ScriptedModel
from skills import VisionClient
from tests.fakes.skills import InstallSkill, make_image, skill_installer


@pytest.fixture
def photo() -> Image:
    return make_image()


@pytest.fixture
def scripted() -> ScriptedModel:
    """The model behind `model`: enqueue its replies here."""
    return ScriptedModel()


@pytest.fixture
def model(scripted: ScriptedModel) -> VisionClient:
    return VisionClient(scripted)


@pytest.fixture
def install_skill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InstallSkill:
    """Install a package that provides a skill."""
    return skill_installer(tmp_path / "site", monkeypatch)
