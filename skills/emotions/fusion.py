"""Words, face and voice together: late fusion, in which each counts as much as it has proven reliable.

    probabilities of each ─▶ over how common each emotion was where it learned ─▶ to the power of its weight ─▶ product

A weighted product of experts (Hinton 2002; the logarithmic opinion pool of Heskes 1998). The weights were fitted on
dev splits, with what each is told degraded half of the time: see `training.fusion`.
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

MIN_PROBABILITY = 1e-4
"""Nobody is so sure that the others no longer count. An emotion no commoner than this was never learned."""


@cache
def reliability() -> Mapping[Modality, Mapping[str, object]]:
    """What `training.fusion` found of each: its `weight` and the `prior` of each emotion where it learned."""
    found: Mapping[Modality, Mapping[str, object]] = json.loads(
        resources.files("skills.emotions").joinpath("fusion.json").read_text("utf-8")
    )
    return found


def fuse(
    parts: Mapping[Modality, Mapping[str, float]],
    known: Mapping[Modality, Mapping[str, object]] | None = None,
) -> dict[str, float]:
    """The probability of each of `EMOTIONS` given those of all `parts`; of one part alone those are its own."""
    import numpy as np

    if len(parts) == 1:
        return dict(next(iter(parts.values())))
    logs = np.zeros(len(EMOTIONS))
    for modality, probabilities in parts.items():
        logs += weighted_log_evidence(
            modality, np.array([probabilities[name] for name in EMOTIONS]), known or reliability()
        )
    shares = np.exp(logs - logs.max())
    return dict(zip(EMOTIONS, map(float, shares / shares.sum()), strict=True))


def weighted_log_evidence(
    modality: Modality, probabilities: "Floats", known: Mapping[Modality, Mapping[str, object]]
) -> "Floats":
    """What `modality` adds to the logarithms, by its `probabilities` (…, 7)."""
    import numpy as np

    own = known[modality]
    prior = own["prior"]
    weight = own["weight"]
    assert isinstance(prior, list)
    assert isinstance(weight, float)
    return weight * log_likelihood_ratios(probabilities, np.array(prior))


def log_likelihood_ratios(probabilities: "Floats", prior: "Floats") -> "Floats":
    """Logarithms (…, 7) of `probabilities` over how common each emotion was, `prior` (7,).

    What was never learned is the likelier the less sure the others are: where all of them are alike, it is as good.
    Were it left out of account, it would win wherever two parts contradict each other in what they know.
    """
    import numpy as np

    learned = prior > MIN_PROBABILITY
    logs: Floats = np.log(np.maximum(probabilities, MIN_PROBABILITY)) - np.log(prior)
    unsure = (1 - probabilities.max(-1)) / (1 - 1 / learned.sum())
    return np.where(learned, logs, np.log(np.maximum(unsure, MIN_PROBABILITY))[..., None])
