"""The fuzzing harness reports each kind of fault, and runs the inputs again that once found one."""

import random
import time
from pathlib import Path

import pytest

from assistant.errors import ModelError
from tests.fuzz import harness


def run(use: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUZZ_INPUTS", "3")
    harness.fuzz("trial", random.Random.random, use)  # type: ignore[arg-type]


def wait(_: float) -> None:
    time.sleep(0.05)


def use_memory(_: float) -> None:
    data = b"x" * 60_000_000
    time.sleep(0.2)
    assert data


def raise_error(error: Exception) -> None:
    raise error


def test_results_and_errors_of_ours_pass(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run(lambda _: raise_error(ModelError("It is not there.")), monkeypatch)
    assert "trial: 3 inputs, 0 faults (ModelError 3)" in capsys.readouterr().out


@pytest.mark.parametrize(
    "use",
    [
        lambda _: raise_error(ValueError("x")),
        lambda _: raise_error(ModelError("a\nb\nc\nd")),
        lambda _: raise_error(AssertionError("data is lost")),
        wait,
        use_memory,
    ],
    ids=["another error", "a long message", "lost data", "too slow", "too much memory"],
)
def test_everything_else_is_a_fault(use: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "MAX_SECS", 0.04)
    monkeypatch.setattr(harness, "WAITING_FACTOR", 1.0)
    monkeypatch.setattr(harness, "MAX_BYTES", 30_000_000)
    with pytest.raises(AssertionError, match="3 faults"):
        run(use, monkeypatch)


def test_the_same_number_makes_the_same_input_and_kept_numbers_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "trial.txt").write_text("77 a fault of earlier\n")
    monkeypatch.setattr(harness, "SEEDS", tmp_path)
    seen: list[float] = []
    run(seen.append, monkeypatch)
    assert seen == [random.Random(f"trial {number}").random() for number in (77, 0, 1, 2)]


def test_mutations_depend_on_nothing_but_the_seed() -> None:
    data = bytes(range(256))
    assert harness.mutate_bytes(random.Random(1), data) == harness.mutate_bytes(random.Random(1), data) != data
    assert harness.odd_text(random.Random(2)) == harness.odd_text(random.Random(2))
