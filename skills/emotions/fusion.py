"""Late fusion of text, face and voice: their evidence is added, and chooses among the emotions that they show.

    log p(emotion | modality) / prior(emotion) ─▶ weighed by reliability ─▶ sum ─▶ limited to what is shown ─▶ softmax

The sum is a weighted product of experts (Hinton 2002; logarithmic opinion pool, Heskes 1998) in which each expert may
be altogether wrong with a probability of its own. `training.fusion` fitted the numbers on dev splits in which half of
the inputs were degraded.

The division by the priors alone would name rare emotions that no modality shows: of words with anger at 51 % and a
voice with neutral at 95 % it made fear. `limit_to_shown` therefore guarantees, for any probabilities:

- The fused emotion is the likeliest one of at least one modality.
- Of two emotions that all modalities rank in the same order, the fusion ranks none the other way round.
"""

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Literal, cast

from skills.emotions.labels import EMOTIONS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Modality = Literal["text", "face", "voice"]

Reliability = Mapping[Modality, Mapping[str, object]]
"""Values fitted for each modality.

`weight`: Factor of the logarithm of its evidence.
`doubt`: Probability that it is altogether wrong; bounds its evidence. 0 if left out.
`tilt`: Correction of how strongly the priors count. 0 if left out.
`prior`: Share of each emotion in its training data, a list of 7.
"""

MIN_PROBABILITY = 1e-4
"""Floor of probabilities, so that no modality overrules all others. An emotion with a smaller prior was not learned."""

# Between two emotions that have to keep an order, as a logarithm: 1 %.
_MARGIN = 0.01


@cache
def reliability() -> Reliability:
    """Return what `training.fusion` fitted."""
    fitted: Reliability = json.loads(resources.files("skills.emotions").joinpath("fusion.json").read_text("utf-8"))
    return fitted


def influence(modality: Modality) -> float:
    """Return how much the evidence of a modality counts: the slope of its logarithm where it is undecided."""
    fitted = reliability()[modality]
    weight, doubt = cast("float", fitted["weight"]), cast("float", fitted.get("doubt", 0.0))
    return weight * (1 - doubt)


def fuse(parts: Mapping[Modality, Mapping[str, float]], weights: Reliability | None = None) -> dict[str, float]:
    """Combine the probabilities of several modalities. A single modality is returned as it is.

    Args:
        parts: Probability of each of `EMOTIONS` per modality.
        weights: What was fitted for them; None for what Parley ships.
    """
    import numpy as np

    if len(parts) == 1:
        return dict(next(iter(parts.values())))
    weights = weights or reliability()
    rows = np.array([[probabilities[name] for name in EMOTIONS] for probabilities in parts.values()], np.float64)
    evidence = [log_evidence(row, weights[modality]) for row, modality in zip(rows, parts, strict=True)]
    logs = limit_to_shown(np.sum(evidence, axis=0), rows)
    powers = np.exp(logs - logs.max())
    return dict(zip(EMOTIONS, map(float, powers / powers.sum()), strict=True))


def log_evidence(probabilities: "Floats", fitted: Mapping[str, object]) -> "Floats":
    """Return the evidence of one modality for each emotion (..., 7), as a logarithm.

    Args:
        probabilities: (..., 7).
        fitted: Entry of the modality in a `Reliability`.
    """
    import numpy as np

    prior = np.array(cast("list[float]", fitted["prior"]))
    weight, doubt, tilt = (cast("float", fitted.get(name, 0.0)) for name in ("weight", "doubt", "tilt"))
    ratios = likelihood_ratios(probabilities, prior)
    evidence: Floats = weight * np.log((1 - doubt) * ratios + doubt) - tilt * log_priors(prior)
    return evidence


def likelihood_ratios(probabilities: "Floats", prior: "Floats") -> "Floats":
    """Return probability / prior (..., 7).

    An emotion that the modality never learned gets its uncertainty, 1 when all learned emotions are equally likely.
    With a ratio of 1 instead, it would win wherever two modalities contradict each other.

    Args:
        probabilities: (..., 7).
        prior: Share of each emotion in the training data (7,).
    """
    import numpy as np

    learned = prior > MIN_PROBABILITY
    uncertainty = (1 - probabilities.max(-1)) / (1 - 1 / learned.sum())
    ratios: Floats = np.maximum(probabilities, MIN_PROBABILITY) / prior
    return np.where(learned, ratios, np.maximum(uncertainty, MIN_PROBABILITY)[..., None])


def log_priors(prior: "Floats") -> "Floats":
    """Return the logarithms of priors (7,). An emotion that was never learned gets the mean of the others."""
    import numpy as np

    learned = prior > MIN_PROBABILITY
    logs: Floats = np.log(np.maximum(prior, MIN_PROBABILITY))
    return np.where(learned, logs, logs[learned].mean())


def limit_to_shown(scores: "Floats", parts: "Floats") -> "Floats":
    """Lower scores until they contradict no order in which all parts agree, and an emotion wins that a part shows.

    Args:
        scores: Sum of the evidence (..., 7).
        parts: Probabilities by each modality (modalities, ..., 7).

    Returns:
        The scores (..., 7). That of the winner is unchanged: the likeliest emotion of a part with the highest score.
    """
    import numpy as np

    first, second = parts[..., :, None], parts[..., None, :]
    # (..., first, second): no part ranks the second above the first, and one ranks it below.
    outranks = np.logical_and.reduce(first >= second) & np.logical_or.reduce(first > second)
    likeliest = np.logical_or.reduce(parts == parts.max(-1, keepdims=True))
    shown = likeliest & ~np.logical_or.reduce(outranks, -2)
    winner = np.where(shown, scores, -np.inf).argmax(-1)[..., None]
    highest = np.take_along_axis(scores, winner, -1)
    is_winner = np.arange(scores.shape[-1]) == winner
    scores = np.where(is_winner, scores, np.minimum(scores, highest - _MARGIN))
    # A score that is lowered may lower that of the next in a chain, which is at most as long as there are emotions.
    for _ in range(scores.shape[-1] - 1):
        limits = np.where(outranks, scores[..., :, None] - _MARGIN, np.inf).min(-2)
        scores = np.minimum(scores, limits)
    return scores
