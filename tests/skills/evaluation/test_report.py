"""`parley evaluate`: the report as a table, as JSON, and as a plot."""

import json
import sys
from pathlib import Path

import PIL.Image
import pytest
from click.testing import Result

from tests.fakes.command_line import run
from tests.fakes.skills import write_jsonl

Files = tuple[Path, Path]


def evaluate(*arguments: object) -> Result:
    return run("evaluate", *map(str, arguments))


@pytest.fixture
def emotion_files(tmp_path: Path) -> Files:
    """Predictions with one error and one superfluous line, and their references."""
    labels = ["joy", "anger", "joy", "fear", "joy", "anger"]
    references = [{"id": number, "label": label} for number, label in enumerate(labels)]
    predictions = [
        {"id": 5, "error": "no face"},
        {"id": 9, "label": "joy"},
        *({**each, "label": "joy"} for each in references[:5]),
    ]
    return (
        write_jsonl(tmp_path / "predictions.jsonl", *predictions),
        write_jsonl(tmp_path / "references.jsonl", *references),
    )


@pytest.fixture
def answer_files(tmp_path: Path) -> Files:
    return (
        write_jsonl(tmp_path / "p", *[{"id": n, "answer": "a", "confidence": n / 9} for n in range(9)]),
        write_jsonl(tmp_path / "r", *[{"id": n, "answer": "ab"[n < 5]} for n in range(9)]),
    )


@pytest.fixture
def transcript_files(tmp_path: Path) -> Files:
    return (
        write_jsonl(tmp_path / "p", {"id": 1, "text": "a b c"}, {"id": 2, "text": "a"}),
        write_jsonl(tmp_path / "r", {"id": 1, "text": "a b d"}, {"id": 2, "text": "a"}),
    )


def test_the_table_shows_metrics_and_the_confusion_matrix(emotion_files: Files) -> None:
    result = evaluate("emotion", *emotion_files, "--samples", 50)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["n", "=", "6", "95", "%", "interval"]
    assert lines[1].split()[:2] == ["accuracy", "50.0"]
    assert [line.split() for line in lines[-4:]] == [
        ["is", "\\", "said", "anger", "fear", "joy", "(none)"],
        ["anger", "0", "0", "1", "1"],
        ["fear", "0", "0", "1", "0"],
        ["joy", "0", "0", "3", "0"],
    ]
    assert "1 of 6 references have no prediction" in result.stderr
    assert "1 predictions have no reference" in result.stderr


def test_json_contains_metrics_counts_and_labels(emotion_files: Files) -> None:
    printed = json.loads(evaluate("emotion", *emotion_files, "--json", "--samples", 50).stdout)
    assert printed["figures"]["accuracy"]["value"] == pytest.approx(50)
    assert (printed["count"], printed["unanswered"], printed["unasked"]) == (6, 1, 1)
    assert printed["labels"] == ["anger", "fear", "joy", "(none)"]


@pytest.mark.parametrize(
    ("task", "fixture"), [("emotion", "emotion_files"), ("vqa", "answer_files"), ("transcribe", "transcript_files")]
)
def test_every_task_has_a_plot(task: str, fixture: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    result = evaluate(task, *request.getfixturevalue(fixture), "--samples", 20, "--picture", tmp_path / "p.png")
    assert result.exit_code == 0, result.stderr
    with PIL.Image.open(tmp_path / "p.png") as plot:
        colours = plot.convert("RGB").getcolors(1_000_000)
    assert colours is not None
    assert len(colours) > 20


@pytest.mark.parametrize("name", ["no/p.png", "p.nonsense"])
def test_a_plot_that_cannot_be_written_is_an_error(emotion_files: Files, tmp_path: Path, name: str) -> None:
    result = evaluate("emotion", *emotion_files, "--samples", 20, "--picture", tmp_path / name)
    assert result.exit_code == 1
    assert f"{tmp_path / name} cannot be written" in result.stderr


def test_a_missing_scorer_is_named_with_the_command_that_installs_it(
    transcript_files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jiwer", None)
    result = evaluate("transcribe", *transcript_files)
    assert result.exit_code == 1
    sentence = "Scoring transcripts needs jiwer: install it with `pip install 'parley-assistant[evaluate]'`."
    assert sentence in result.stderr
