"""Whether confidence means what it says: of the answers that are 70 % sure, about 70 % should be right."""

from collections.abc import Sequence
from dataclasses import dataclass

BINS = 10


@dataclass(frozen=True)
class Bin:
    """Answers with a like confidence: how many, how sure they are on average, and what share of them is right."""

    count: int
    confidence: float
    accuracy: float


def bins(confidences: Sequence[float], right: Sequence[bool], count: int = BINS) -> list[Bin]:
    """The answers in `count` equally wide bins of confidence, empty ones left out."""
    groups: list[list[tuple[float, bool]]] = [[] for _ in range(count)]
    for confidence, is_right in zip(confidences, right, strict=True):
        groups[min(int(confidence * count), count - 1)].append((confidence, is_right))
    return [
        Bin(len(group), sum(each for each, _ in group) / len(group), sum(hit for _, hit in group) / len(group))
        for group in groups
        if group
    ]


def expected_calibration_error(confidences: Sequence[float], right: Sequence[bool], count: int = BINS) -> float:
    """How far confidence is from accuracy, on average over answers (Naeini et al. 2015); 0 is perfect, 1 the most."""
    found = bins(confidences, right, count)
    total = sum(each.count for each in found)
    return sum(each.count * abs(each.confidence - each.accuracy) for each in found) / total if total else 0.0
