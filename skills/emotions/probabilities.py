"""Probability distributions over emotions."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]


def softmax(logits: "NDArray[np.floating[Any]]") -> "Floats":
    """Return probabilities (..., classes) of logits (..., classes)."""
    import numpy as np

    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True), np.float32)


def most_likely(probabilities: Mapping[str, float]) -> tuple[str, float]:
    """Return the label with the highest probability, and the probability."""
    label = max(probabilities, key=probabilities.__getitem__)
    return label, float(probabilities[label])


def round_probabilities(probabilities: Mapping[str, float]) -> dict[str, float]:
    """Round to four decimals, as results show them."""
    return {label: round(float(value), 4) for label, value in probabilities.items()}
