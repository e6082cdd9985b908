"""Fixtures for all tests: a machine without settings, and audio files."""

import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.audio import Floats, WriteWave, wave_bytes


def pytest_configure() -> None:
    """Let a closed terminal end the processes of tests, also where the tests run under `nohup`, which they inherit."""
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def unset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clear the settings in the environment, and use new folders for configuration, data and cache."""
    for variable in [name for name in os.environ if name.startswith("PARLEY_")]:
        monkeypatch.delenv(variable)
    for variable in ("CONFIG", "DATA", "CACHE"):
        monkeypatch.setenv(f"XDG_{variable}_HOME", str(tmp_path / variable.lower()))


@pytest.fixture
def nobodys_machine(unset: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `unset`, in an empty working folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def write_wave(tmp_path: Path) -> WriteWave:
    """Write a WAV file into `tmp_path` and return its path."""

    def write(name: str, samples: Floats, rate: int = 16_000, channels: int = 1) -> Path:
        path = tmp_path / name
        path.write_bytes(wave_bytes(samples, rate, channels))
        return path

    return write


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Name in one line what this machine lacks for the tests that were skipped."""
    skipped = terminalreporter.stats.get("skipped", ())
    reasons = Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in skipped)
    if reasons:
        listed = "; ".join(f"{reason} ({count})" for reason, count in sorted(reasons.items()))
        terminalreporter.write_line(f"Not run on this machine: {listed}")
