"""`scripts/setup` without its downloads: what it says while packages are installed, and where it says it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# As pip writes it into the log. It waits for seconds of a clock that each `sleep` of the script moves on.
PIP = """#!/bin/sh
case "$*" in *--version*) exit ;; esac
case "$*" in *requirements.lock*) ;; *) exit ;; esac
after() { until [ "$(wc -l <seconds)" -ge "$1" ]; do /bin/sleep 0.01; done; }
echo "Collecting torch==2.13.0 (from -c requirements.lock (line 9))"
echo "  Downloading torch-2.13.0-cp311-cp311-linux_x86_64.whl (915.0 MB)"
after 66
echo "Installing collected packages: mpmath, torch"
after 95
"""
SLEEP = """#!/bin/sh
echo >>seconds
exec /bin/sleep 0.02
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout with a pip that only says that it does something, and a clock that runs faster."""
    for name, text in {
        "scripts/setup": (ROOT / "scripts" / "setup").read_text(),
        "pyproject.toml": "",
        "requirements.lock": "torch==2.13.0\n",
        ".venv/bin/python": PIP,
        "fast/sleep": SLEEP,
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return tmp_path


def setup(folder: Path) -> "subprocess.CompletedProcess[str]":
    path = {"PATH": f"{folder / 'fast'}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(
        [folder / "scripts" / "setup"], env=os.environ | path, capture_output=True, text=True, check=False, timeout=60
    )


def test_without_a_terminal_a_line_now_and_then_says_what_is_installed(folder: Path) -> None:
    done = setup(folder)
    assert (done.returncode, done.stdout) == (0, "")
    first, *lines = done.stderr.splitlines()
    assert "installing pinned packages into .venv" in first
    assert all(line.startswith("parley: after ") for line in lines)
    torch = "Downloading torch-2.13.0-cp311-cp311-linux_x86_64.whl (915.0 MB)"
    # After 15 s, and again after a minute because it lasts; after 75 s there is news, and after 90 s none.
    assert [line.partition(" s: ")[2] for line in lines] == [
        torch,
        torch,
        "Installing collected packages: mpmath, torch",
    ]


def test_what_is_set_up_already_says_nothing(folder: Path) -> None:
    setup(folder)
    done = setup(folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_failure_is_told_with_what_pip_said(folder: Path) -> None:
    (folder / ".venv" / "bin" / "python").write_text(
        '#!/bin/sh\ncase "$*" in *--version*) exit ;; esac\necho "ERROR: No matching distribution found"\nexit 1\n'
    )
    done = setup(folder)
    assert done.returncode == 1
    assert "ERROR: No matching distribution found" in done.stderr
    assert "parley: setup failed: the packages could not be installed." in done.stderr
