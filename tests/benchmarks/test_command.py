"""Running benchmarks by name."""

import subprocess
import sys
from importlib import import_module

import pytest

from benchmarks import soak
from benchmarks.__main__ import BENCHMARKS


@pytest.mark.parametrize("start", [["benchmarks", "large"], ["benchmarks.large"]])
def test_large_rejects_unknown_sizes_whichever_way_it_is_started(start: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *start, "70b"], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 2
    assert "there is no size 70b: choose from tiny, 2b, 8b" in done.stderr


@pytest.mark.parametrize("name", BENCHMARKS)
def test_each_name_has_a_benchmark(name: str) -> None:
    assert callable(import_module(BENCHMARKS[name]).measure)


def test_a_soak_prints_memory_time_threads_and_descriptors(capsys: pytest.CaptureFixture[str]) -> None:
    soak.main(["--turns", "8", "-m", "scripted"])
    printed = capsys.readouterr().out
    assert printed.startswith("scripted: 8 turns\nresident memory: ")
    assert "last quarter: " in printed
    assert "threads: " in printed
