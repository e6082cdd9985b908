"""Run Python programs as a user of the API would."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run_script(program: str) -> str:
    """Run a program that prints nothing on standard error, and return its output."""
    done = subprocess.run(
        # Not -X dev: asyncio would report whatever a busy machine takes longer than 100 ms for.
        [sys.executable, "-W", "error", "-c", program],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PARLEY_MODEL": "scripted"},
        timeout=120,
    )
    assert done.stderr == ""
    return done.stdout
