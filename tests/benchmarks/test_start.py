"""The timed starts are real ones. Their duration is not tested."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")


def test_app_paints_before_its_model_is_loaded() -> None:
    from benchmarks.start import measure_app

    painted, answering = measure_app(1, "scripted")
    assert 0 < painted.median < answering.median


def test_failing_command_raises() -> None:
    from benchmarks.start import time_command

    with pytest.raises(subprocess.CalledProcessError):
        time_command([sys.executable, "-c", "raise SystemExit(3)"])


def test_app_that_does_not_start_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import start

    monkeypatch.setattr(start, "PARLEY", sys.executable)
    with pytest.raises(RuntimeError, match="talk about your pictures"):
        start.time_app("scripted")


def test_peak_memory_outlasts_the_allocation_and_excludes_the_parent() -> None:
    program = (
        "from benchmarks.one_turn import peak_memory_mb\n"
        "held = bytearray(b'x') * 400_000_000\n"
        "del held\n"
        "print(peak_memory_mb())\n"
    )
    larger_parent = bytearray(b"x") * 1_200_000_000
    peak = float(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout)
    del larger_parent
    # Python and its libraries take less than the rest, on any machine; the parent would add 1,200.
    assert 400 < peak < 1000
