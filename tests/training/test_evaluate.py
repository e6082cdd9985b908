"""Output of the evaluation command."""

import json
import sys
from pathlib import Path

import pytest

from training import evaluate
from training.evaluate import format_table
from training.evaluation_tasks import Figure


def test_the_table_marks_goals_that_are_met() -> None:
    text = format_table(
        [
            Figure("names", "named right", 10, 61.23, 60.0, 1.0, 2.0, {"the word head": 55.5}),
            Figure("captions", "larger control", 10, 40.0, 33.3, lower_is_better=True),
            Figure("captions", "ROUGE-L", 10, 30.0),
        ]
    )
    _, _, first, second, third = text.splitlines()
    assert first == "| names | named right | 10 | 61.2 | ≥ 60 | yes | 1.0 | 2.0 | the word head 55.5 |"
    assert "| ≤ 33 | no |" in second
    assert "| 30.0 |  |  |" in third


@pytest.mark.parametrize("engine", ["plain", "product"])
def test_the_command_evaluates_an_assembled_model(
    data: Path, pocket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    out = tmp_path / "results.json"
    options = ["--engine", engine, "--tasks", "rooms", "--limit", "2", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["evaluate", "--data", str(data), "--model", str(pocket), *options])
    evaluate.main()
    results = json.loads(out.read_text())
    assert results["engine"] == engine
    assert results["figures"][0].keys() == {
        "task", "name", "count", "value", "goal", "blank", "shuffled", "beside", "at_most", "met",
    }  # fmt: skip
    assert results["figures"][0]["count"] == 6
