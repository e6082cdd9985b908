"""Voices for the tests of speech synthesis."""

from pathlib import Path

import pytest

from tests.fakes.coqui_voices import random_xtts


@pytest.fixture(scope="session")
def xtts_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small untrained XTTS voice."""
    return random_xtts(tmp_path_factory.mktemp("xtts"))
