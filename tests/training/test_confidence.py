"""Calibration of answers whose probabilities are exaggerated."""

import json
import math
import random

import pytest

from skills.evaluation.calibration import expected_calibration_error
from training.confidence import GradedAnswer, calibrate, cross_fit, fit


def overconfident_answers(count: int, *, slope: float, offset: float) -> list[GradedAnswer]:
    """Return answers about 50 images that are right with probability sigmoid(slope * log_odds + offset)."""
    rng = random.Random(5)
    answers = []
    for number in range(count):
        odds = rng.uniform(-4, 4)
        is_right = rng.random() < 1 / (1 + math.exp(-(slope * odds + offset)))
        log_probability = math.log(1 / (1 + math.exp(-odds)))
        answers.append(GradedAnswer("open", f"image {number % 50}", "?", "!", log_probability, -9.0, is_right))
    return answers


def test_slope_and_offset_are_fitted() -> None:
    fitted = fit(overconfident_answers(20_000, slope=0.5, offset=-1.0))
    assert fitted["slope"] == pytest.approx(0.5, abs=0.04)
    assert fitted["offset"] == pytest.approx(-1.0, abs=0.06)


def test_cross_fitted_confidences_are_calibrated() -> None:
    answers = overconfident_answers(3_000, slope=0.4, offset=-0.5)
    is_right = [answer.is_right for answer in answers]
    before = expected_calibration_error([math.exp(answer.log_probability) for answer in answers], is_right)
    after = expected_calibration_error(cross_fit(answers), is_right)
    assert before > 0.15
    assert after < 0.04


def test_the_fit_to_perfect_answers_is_finite() -> None:
    answers = [
        GradedAnswer("open", str(number), "?", "!", -0.1 if number % 2 else -3.0, -9.0, bool(number % 2))
        for number in range(40)
    ]
    assert all(math.isfinite(value) for value in fit(answers).values())


def test_figures_report_calibration_before_and_after() -> None:
    figures = calibrate(overconfident_answers(3_000, slope=0.4, offset=-0.5), "made up")
    assert figures["ece_cross_fitted"] < figures["ece_uncalibrated"]
    assert figures["brier_cross_fitted"] < figures["brier_constant"]
    assert (figures["questions"], figures["photos"], figures["data"]) == (3_000, 50, "made up")


def test_answers_are_read_from_files_of_earlier_runs() -> None:
    values = {
        "kind": "open",
        "photo": "a.png",
        "question": "?",
        "answer": "!",
        "log_probability": -0.5,
        "cannot_tell": -3.0,
        "right": True,
    }
    answer = GradedAnswer.from_json(json.dumps(values))
    assert answer == GradedAnswer("open", "a.png", "?", "!", -0.5, -3.0, is_right=True)
    assert json.loads(answer.to_json()) == values
