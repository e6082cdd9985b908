"""The starts that are timed are real ones. How long they take is no test's business."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")


def test_the_app_paints_before_its_model_is_there() -> None:
    from benchmarks.start import app_figures

    painted, answering = app_figures(1, "scripted")
    assert 0 < painted.median < answering.median


def test_help_is_compared_with_the_interpreter_it_runs_on() -> None:
    from benchmarks.start import help_figures

    bare, shown, over = help_figures(3)
    assert over.values == tuple(one - other for one, other in zip(shown.values, bare.values, strict=True))


def test_a_command_that_fails_is_no_measurement() -> None:
    from benchmarks.start import seconds_of

    with pytest.raises(subprocess.CalledProcessError):
        seconds_of([sys.executable, "-c", "raise SystemExit(3)"])


def test_an_app_that_does_not_start_is_no_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import start

    monkeypatch.setattr(start, "PARLEY", sys.executable)
    with pytest.raises(RuntimeError, match="talk about your pictures"):
        start.app_seconds("scripted")


def test_the_peak_of_memory_outlasts_it_and_is_the_process_s_own() -> None:
    program = (
        "from benchmarks.one_turn import peak_memory\n"
        "held = bytearray(b'x') * 400_000_000\n"
        "del held\n"
        "print(peak_memory())\n"
    )
    larger_parent = bytearray(b"x") * 800_000_000
    peak = float(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout)
    del larger_parent
    assert 400 < peak < 600
