"""Late fusion of text, face and voice: each modality counts as much as it proved reliable.

    log p(emotion | modality) - log prior(emotion) ─▶ times the modality's weight ─▶ sum ─▶ softmax

A weighted product of experts (Hinton 2002; logarithmic opinion pool, Heskes 1998). `training.fusion` fitted the weights
on dev splits in which half of the inputs were degraded.
"""

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Literal

from skills.emotions.labels import EMOTIONS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Modality = Literal["text", "face", "voice"]

Reliability = Mapping[Modality, Mapping[str, object]]
"""Per modality, its `weight` (a float) and the `prior` of each emotion in its training data (a list of 7)."""

MIN_PROBABILITY = 1e-4
"""Floor of probabilities, so that no modality overrules all others. An emotion with a smaller prior was not learned."""


@cache
def reliability() -> Reliability:
    """Return the weights and priors that `training.fusion` found."""
    fitted: Reliability = json.loads(resources.files("skills.emotions").joinpath("fusion.json").read_text("utf-8"))
    return fitted


def fuse(parts: Mapping[Modality, Mapping[str, float]], weights: Reliability | None = None) -> dict[str, float]:
    """Combine the probabilities of several modalities. A single modality is returned as it is.

    Args:
        parts: Probability of each of `EMOTIONS` per modality.
        weights: Weights and priors; None for those that Parley ships.
    """
    import numpy as np

    if len(parts) == 1:
        return dict(next(iter(parts.values())))
    weights = weights or reliability()
    logs = np.zeros(len(EMOTIONS))
    for modality, probabilities in parts.items():
        row = np.array([probabilities[name] for name in EMOTIONS])
        logs += _weighted_log_evidence(row, weights[modality])
    powers = np.exp(logs - logs.max())
    return dict(zip(EMOTIONS, map(float, powers / powers.sum()), strict=True))


def log_likelihood_ratios(probabilities: "Floats", prior: "Floats") -> "Floats":
    """Return log(probability / prior) (..., 7).

    An emotion that the modality never learned gets the logarithm of its uncertainty, 1 when all learned emotions are
    equally likely. With a ratio of 1 instead, it would win wherever two modalities contradict each other.

    Args:
        probabilities: (..., 7).
        prior: Share of each emotion in the training data (7,).
    """
    import numpy as np

    learned = prior > MIN_PROBABILITY
    logs: Floats = np.log(np.maximum(probabilities, MIN_PROBABILITY)) - np.log(prior)
    uncertainty = (1 - probabilities.max(-1)) / (1 - 1 / learned.sum())
    return np.where(learned, logs, np.log(np.maximum(uncertainty, MIN_PROBABILITY))[..., None])


def _weighted_log_evidence(probabilities: "Floats", fitted: Mapping[str, object]) -> "Floats":
    import numpy as np

    prior, weight = fitted["prior"], fitted["weight"]
    assert isinstance(prior, list)
    assert isinstance(weight, float)
    return weight * log_likelihood_ratios(probabilities, np.array(prior))
