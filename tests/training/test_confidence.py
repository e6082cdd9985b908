"""Calibration finds out by how much a model exaggerates."""

import math
import random

import pytest

from skills.evaluation.calibration import expected_calibration_error
from training.confidence import Asked, cross_fitted, fit


def exaggerated(count: int, *, slope: float, offset: float) -> list[Asked]:
    """Answers whose log-odds have to be stretched by `slope` and moved by `offset` to be true."""
    rng = random.Random(5)
    asked = []
    for number in range(count):
        odds = rng.uniform(-4, 4)
        right = rng.random() < 1 / (1 + math.exp(-(slope * odds + offset)))
        said = math.log(1 / (1 + math.exp(-odds)))
        asked.append(Asked("open", f"photo {number % 50}", "?", "!", said, -9.0, right))
    return asked


def test_slope_and_offset_are_found() -> None:
    fitted = fit(exaggerated(20_000, slope=0.5, offset=-1.0))
    assert fitted["slope"] == pytest.approx(0.5, abs=0.04)
    assert fitted["offset"] == pytest.approx(-1.0, abs=0.06)


def test_photos_are_judged_by_others_and_come_out_calibrated() -> None:
    asked = exaggerated(3_000, slope=0.4, offset=-0.5)
    right = [each.right for each in asked]
    before = expected_calibration_error([math.exp(each.log_probability) for each in asked], right)
    after = expected_calibration_error(cross_fitted(asked), right)
    assert before > 0.15
    assert after < 0.04


def test_perfect_answers_have_a_finite_calibration() -> None:
    asked = [
        Asked("open", str(number), "?", "!", -0.1 if number % 2 else -3.0, -9.0, bool(number % 2))
        for number in range(40)
    ]
    assert all(math.isfinite(value) for value in fit(asked).values())
