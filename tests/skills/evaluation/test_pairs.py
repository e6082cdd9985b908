"""Matching of predictions with references, and files that do not fit together."""

from pathlib import Path

import pytest

from assistant.errors import SkillError
from skills.evaluation.pairs import Pair, read_pairs
from tests.fakes.skills import write_jsonl


def test_lines_are_matched_by_image_in_any_order(tmp_path: Path) -> None:
    predictions = write_jsonl(
        tmp_path / "predictions", {"photo": "b", "answer": "two"}, {"photo": "a", "answer": "one"}
    )
    references = write_jsonl(
        tmp_path / "references", {"photo": "a", "answer": "1"}, {"photo": "b", "answers": ["2", "3"]}
    )
    found = read_pairs("vqa", predictions, references)
    assert found.pairs == [Pair("one", ("1",)), Pair("two", ("2", "3"))]
    assert (found.unanswered, found.unasked) == (0, 0)


def test_questions_about_the_same_image_are_told_apart(tmp_path: Path) -> None:
    predictions = write_jsonl(
        tmp_path / "predictions",
        *[{"photo": "a", "question": q, "answer": q.upper(), "confidence": 0.5} for q in "xy"],
    )
    references = write_jsonl(tmp_path / "references", *[{"photo": "a", "question": q, "answer": q} for q in "yx"])
    assert [pair.predicted for pair in read_pairs("vqa", predictions, references).pairs] == ["Y", "X"]
    without_question = write_jsonl(tmp_path / "without", {"photo": "a", "answer": "x"})
    with pytest.raises(SkillError, match="predictions has several questions about one picture"):
        read_pairs("vqa", predictions, without_question)


@pytest.mark.parametrize(("task", "field", "answers"), [("vqa", "answer", "answer"), ("caption", "text", "captions")])
def test_swapped_files_are_an_error(tmp_path: Path, task: str, field: str, answers: str) -> None:
    predictions = write_jsonl(
        tmp_path / "p", {"photo": "a", field: "x", "model": "pocket"}, {"photo": "b", "error": "no"}
    )
    references = write_jsonl(tmp_path / "r", {"photo": "a", answers: "x"}, {"photo": "b", answers: "x"})
    with pytest.raises(SkillError, match="name the predictions first"):
        read_pairs(task, references, predictions)
    assert read_pairs(task, predictions, references).pairs


def test_file_names_are_compared_if_no_path_is_equal(tmp_path: Path) -> None:
    predictions = write_jsonl(
        tmp_path / "p", {"photo": "/a/b/1.png", "text": "x"}, {"photo": "/a/b/2.png", "text": "y"}
    )
    references = write_jsonl(
        tmp_path / "r", {"image": "2.png", "captions": ["z"]}, {"image": "3.png", "captions": ["w"]}
    )
    found = read_pairs("caption", predictions, references)
    assert found.pairs == [Pair("y", ("z",)), Pair("", ("w",))]
    assert (found.unanswered, found.unasked) == (1, 1)


@pytest.mark.parametrize(
    ("predictions", "references", "message"),
    [
        ("", '{"photo": "a", "answer": "x"}', "predictions is empty"),
        ("nonsense", '{"photo": "a", "answer": "x"}', "Line 1 of .*predictions is no JSON"),
        ("3", '{"photo": "a", "answer": "x"}', "Line 1 of .*predictions does not say what it is about"),
        ('{"photo": "a"}\n{"photo": "a"}', '{"photo": "a", "answer": "x"}', "Line 2 of .*predictions is about a, like"),
        ('{"photo": "b"}', '{"photo": "a", "answer": "x"}', "Nothing in .*predictions is about what"),
        (
            '{"photo": "a"}',
            '{"photo": "a", "text": "x"}',
            "references says nothing to compare with about a: give its ans",
        ),
    ],
)
def test_the_message_names_the_faulty_file_and_line(
    tmp_path: Path, predictions: str, references: str, message: str
) -> None:
    (tmp_path / "predictions").write_text(predictions)
    (tmp_path / "references").write_text(references)
    with pytest.raises(SkillError, match=message):
        read_pairs("vqa", tmp_path / "predictions", tmp_path / "references")
