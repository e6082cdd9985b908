"""Turn the log-probability of an answer into a calibrated confidence, by Platt scaling (Platt 1999)."""

import json
import math
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any


@cache
def calibration() -> Mapping[str, Any]:
    """Return the fit of `training.confidence` for the small vision model: slope, offset, figures per kind of question.

    Kinds are "open", "yes_no", "colour" and "count". A missing kind has no calibration.
    """
    fitted: Mapping[str, Any] = json.loads(
        resources.files("assistant.models.pocket").joinpath("confidence.json").read_text("utf-8")
    )
    return fitted


def calibrated_confidence(log_probability: float, fitted: Mapping[str, Any]) -> float:
    """Return the probability that an answer is right: `sigmoid(slope * log_odds + offset)`.

    Args:
        log_probability: Natural logarithm of the answer's probability under the model.
        fitted: `slope` and `offset` of one kind of question.
    """
    return _sigmoid(fitted["slope"] * log_odds(log_probability) + fitted["offset"])


def log_odds(log_probability: float) -> float:
    """Return ln(p / (1 - p)) of p = exp(`log_probability`), clipped to [1e-9, 1 - 1e-9] so that it is finite."""
    p = min(max(math.exp(log_probability), 1e-9), 1 - 1e-9)
    return math.log(p) - math.log1p(-p)


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
