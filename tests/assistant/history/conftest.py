"""Fixtures for tests of the history."""

from pathlib import Path

import pytest

from assistant.history.store import History


@pytest.fixture
def notices() -> list[str]:
    """Collect the notices of `history`."""
    return []


@pytest.fixture
def history(tmp_path: Path, notices: list[str]) -> History:
    return History(tmp_path / "data" / "history.sqlite3", notices.append)
