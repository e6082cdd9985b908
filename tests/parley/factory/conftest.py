"""Settings for factory tests."""

from pathlib import Path

import pytest

from assistant.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with the scripted model and new folders."""
    return Settings(model="scripted", data_dir=tmp_path / "data", cache_dir=tmp_path / "cache")
