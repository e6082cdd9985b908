"""A machine on which nobody has set anything, for tests of the command line."""

import os
from pathlib import Path

import pytest


@pytest.fixture
def unset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings in the environment, and folders of their own for the configuration, the data and the cache."""
    for variable in [name for name in os.environ if name.startswith("PARLEY_")]:
        monkeypatch.delenv(variable)
    for variable in ("CONFIG", "DATA", "CACHE"):
        monkeypatch.setenv(f"XDG_{variable}_HOME", str(tmp_path / variable.lower()))
