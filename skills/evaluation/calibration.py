"""Calibration of confidences: of answers with a confidence of 70 %, about 70 % should be right."""

from collections.abc import Sequence
from dataclasses import dataclass

BINS = 10


@dataclass(frozen=True)
class ConfidenceBin:
    """Answers with similar confidence: their number, mean confidence, and share that is right."""

    count: int
    confidence: float
    accuracy: float


def confidence_bins(confidences: Sequence[float], right: Sequence[bool], count: int = BINS) -> list[ConfidenceBin]:
    """Group answers into `count` bins of equal width, without the empty ones."""
    groups: list[list[tuple[float, bool]]] = [[] for _ in range(count)]
    for confidence, is_right in zip(confidences, right, strict=True):
        groups[min(int(confidence * count), count - 1)].append((confidence, is_right))
    return [
        ConfidenceBin(
            count=len(group),
            confidence=sum(confidence for confidence, _ in group) / len(group),
            accuracy=sum(is_right for _, is_right in group) / len(group),
        )
        for group in groups
        if group
    ]


def expected_calibration_error(confidences: Sequence[float], right: Sequence[bool], count: int = BINS) -> float:
    """Return the mean distance of confidence from accuracy (Naeini et al. 2015): 0 is perfect, 1 the worst."""
    bins = confidence_bins(confidences, right, count)
    total = sum(each.count for each in bins)
    return sum(each.count * abs(each.confidence - each.accuracy) for each in bins) / total if total else 0.0
