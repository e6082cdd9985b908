"""Metrics of classifiers with several labels per example."""

import numpy as np
import pytest

from training.multilabel import best_thresholds, f1, macro_f1, macro_f1_interval


def test_thresholds_maximize_f1() -> None:
    probabilities = np.linspace(0, 1, 1000, dtype=np.float32)[:, None]
    actual = probabilities > 0.8
    [threshold] = best_thresholds(probabilities, actual)
    assert threshold == pytest.approx(0.8, abs=0.01)
    assert f1(probabilities[:, 0] >= threshold, actual[:, 0]) > 0.98


def test_macro_f1_lies_in_its_interval() -> None:
    rng = np.random.default_rng(0)
    actual = rng.random((500, 3)) < 0.5
    predicted = actual ^ (rng.random((500, 3)) < 0.2)
    low, high = macro_f1_interval(predicted, actual)
    assert 0.7 < low < macro_f1(predicted, actual) < high < 0.9
