"""Figures and controls tell a model that uses the image from one that does not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.image_datasets import OracleEngine, category_of, scene_of
from training.evaluation_tasks import (
    EvalContext,
    Figure,
    TaskResult,
    evaluate_captions,
    evaluate_names,
    evaluate_presence,
    evaluate_rooms,
    shuffled_pairs,
)
from training.names import ACCEPTED_NAMES
from training.questions import room_answer


def figure(result: TaskResult, name: str) -> Figure:
    return next(figure for figure in result.figures if figure.name == name)


def context(data: Path, answer_for: Callable[[int, str], str], folder: Path = Path(), **options: Any) -> EvalContext:
    return EvalContext(OracleEngine(answer_for), data, folder, **{"split": "test", **options})


def test_every_image_is_paired_with_another() -> None:
    for count in (2, 3, 50):
        others = shuffled_pairs(count)
        assert sorted(others) == list(range(count))
        assert all(other != index for index, other in enumerate(others))


class TestCaptions:
    def test_a_model_that_sees_beats_its_controls(self, data: Path) -> None:
        result = evaluate_captions(context(data, lambda number, _: scene_of(number)))
        cider = figure(result, "CIDEr-D")
        assert cider.count == 8
        assert cider.met
        assert cider.blank == 0
        assert cider.shuffled is not None
        assert cider.shuffled < cider.value

    def test_a_blind_model_scores_like_its_control(self, data: Path) -> None:
        result = evaluate_captions(context(data, lambda *_: scene_of(0)))
        assert figure(result, "CIDEr-D").shuffled == pytest.approx(figure(result, "CIDEr-D").value)
        assert figure(result, "larger control in % of CIDEr-D").met is False

    def test_a_limit_selects_some_images(self, data: Path) -> None:
        result = evaluate_captions(context(data, lambda number, _: scene_of(number), limit=5))
        assert figure(result, "BLEU-4").count == len(result.answers) == 5
        assert all(record.answer in record.references[1] for record in result.answers)


def test_names_are_compared_with_the_vision_heads(data: Path, pocket: Path) -> None:
    def answer_for(number: int, question: str) -> str:
        assert question == "What is this?"
        return f"It is a {ACCEPTED_NAMES[category_of(number)][-1]}."

    right = figure(evaluate_names(context(data, answer_for, pocket, limit=10)), "named right")
    assert (right.count, right.met) == (10, True)
    assert right.value == pytest.approx(100)
    assert right.blank == pytest.approx(0)
    assert right.shuffled is not None
    assert right.shuffled < 60
    # The tiny tower's classes are called by number; its word head always gives the name of some category.
    assert right.baselines["the tower's own classifier"] == pytest.approx(0)
    assert 0 <= right.baselines["the word head"] <= 100


def test_room_answers_are_right_only_if_complete(data: Path) -> None:
    def answer_for(number: int, question: str) -> str:
        if question.startswith("How many"):
            return room_answer(str(number % 5))
        return "White." if "colour" in question else f"Garbage bin, lamp {number}"

    result = evaluate_rooms(context(data, answer_for))
    exact = figure(result, "exact")
    assert exact.count == 30
    assert exact.value == pytest.approx(100)
    assert exact.blank == pytest.approx(0)
    assert exact.shuffled is not None
    assert exact.shuffled < 70
    assert figure(result, "of these, what colour").shuffled == pytest.approx(100)
    assert figure(result, "of these, anything else").shuffled == pytest.approx(0)
    assert exact.baselines["the usual answer to such questions"] < 70


def test_always_yes_is_right_half_of_the_time(data: Path) -> None:
    result = evaluate_presence(context(data, lambda *_: "Yes."))
    right, yes = result.figures
    assert right.count > 0
    assert right.count % 2 == 0
    assert (right.value, right.shuffled, right.blank) == pytest.approx((50, 50, 0))
    assert right.met is False
    assert right.baselines == pytest.approx({"always yes": 50})
    assert yes.value == pytest.approx(100)
