"""The promise of the README: from a clone to an answer with one command, on a machine that has only Python and make."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = [
    pytest.mark.slow,
    # Gigabytes to fetch on an ordinary line.
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs a git repository"),
]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fresh") / "a clone"
    subprocess.run(["git", "clone", "--quiet", "--no-local", str(ROOT), str(folder)], check=True)
    return folder


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment of a new account: no virtual environment, no settings, nothing cached."""
    home = tmp_path_factory.mktemp("home")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PARLEY_", "ARGS", "MAKE", "MFLAGS", "COV_", "PYTEST_", "VIRTUAL_ENV", "PYTHON"))
    }
    folders = {f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA", "STATE")}
    return kept | folders


def make(
    *arguments: str, clone: Path, environment: dict[str, str], said: str = ""
) -> "subprocess.CompletedProcess[str]":
    finished = subprocess.run(
        ["make", *arguments], cwd=clone, env=environment, input=said, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    return finished


def test_from_a_clone_to_answers(clone: Path, environment: dict[str, str]) -> None:
    setup = make("setup", clone=clone, environment=environment, said="not for you\n")
    assert setup.stdout == ""
    assert "installing" in setup.stderr

    chat = make("chat", clone=clone, environment=environment, said="What is the capital of France?\n")
    assert "Paris" in chat.stdout
    assert "parley:" not in chat.stdout, "what is not an answer belongs on standard error"

    again = make("chat", clone=clone, environment=environment, said="Say hello.\nSay goodbye.\n")
    assert len(again.stdout.split()) > 1
    assert "installing" not in again.stderr, "what is set up is not set up again"

    status = subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True)
    assert status.stdout == "", "all that is made is ignored by git"
