"""Metrics and thresholds of classifiers whose examples may have several labels."""

import numpy as np
from numpy.typing import NDArray

from training.recipe import SEED

RESAMPLES = 1000

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


def f1(predicted: Mask, actual: Mask) -> float:
    """Return the F1 of one label (examples,)."""
    return 2 * float((predicted & actual).sum()) / max(1, int(predicted.sum() + actual.sum()))


def f1_per_label(predicted: Mask, actual: Mask) -> list[float]:
    """Return the F1 of each label of (examples, labels)."""
    return [f1(predicted[:, label], actual[:, label]) for label in range(actual.shape[1])]


def macro_f1(predicted: Mask, actual: Mask) -> float:
    """Return the mean F1 over the labels of (examples, labels)."""
    return float(np.mean(f1_per_label(predicted, actual)))


def macro_f1_interval(predicted: Mask, actual: Mask) -> tuple[float, float]:
    """Return the bounds of the 95 % interval of the macro-F1 by the bootstrap (percentiles; Efron 1979)."""
    rng = np.random.default_rng(SEED)
    resampled = []
    for _ in range(RESAMPLES):
        sample = rng.integers(0, len(predicted), len(predicted))
        hits = (predicted[sample] & actual[sample]).sum(0)
        scores = 2 * hits / np.maximum(1, predicted[sample].sum(0) + actual[sample].sum(0))
        resampled.append(float(scores.mean()))
    low, high = np.percentile(resampled, [2.5, 97.5])
    return float(low), float(high)


def best_thresholds(probabilities: Floats, actual: Mask) -> Floats:
    """Return, for each label (labels,), the probability threshold with the best F1.

    Args:
        probabilities: (examples, labels).
        actual: (examples, labels).
    """
    thresholds = []
    for label in range(actual.shape[1]):
        column, truth = probabilities[:, label], actual[:, label]
        candidates = np.unique(np.quantile(column, np.linspace(0.5, 0.9995, 200)))
        scores = [f1(column >= candidate, truth) for candidate in candidates]
        thresholds.append(candidates[np.argmax(scores)])
    return np.array(thresholds, np.float32)
