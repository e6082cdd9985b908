"""Fit the weights of late fusion, and compare fused text, face and voice with the best single modality.

    python -m training.fusion --data DATA --work WORK --decoder WORK/decoder

No data set here has text, face and voice of the same person. Triples are therefore random combinations of a GoEmotions
comment, a FER-2013 face and an EmoDB clip with the same label. One of the three is degraded: the text to its first
three words, the face to 8 x 8 pixels, or the voice by noise as loud as itself. EmoDB has no surprise, so that label is
left out. The numbers of `skills.emotions.fusion` are fitted on the dev splits, for every combination of modalities at
once, and the table shows the test splits; of EmoDB, five speakers are dev and five are test. Each voice is classified
by a head that was not trained on its speaker. Writes `skills/emotions/fusion.json`.

The control "blind" fuses parts that were drawn without regard to the label: as good as always the same emotion, 16.7 %.

Early fusion is a linear layer on the features of all three modalities, trained on the dev triples. Since triples are
random, it cannot learn how the modalities of one person depend on each other, which would be its advantage.
"""

import argparse
import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from skills.emotions.fusion import (
    MIN_PROBABILITY,
    Modality,
    Reliability,
    likelihood_ratios,
    limit_to_shown,
    log_evidence,
    log_priors,
)
from skills.emotions.labels import EMOTIONS
from training.calibration import minimize
from training.emotion_states import HiddenStates
from training.fer2013 import read_faces
from training.fusion_pools import LABELS, Floats, Pool, face_pool, text_pool, voice_pools
from training.goemotions import group_labels, read_comments
from training.recipe import SEED

OUT = Path(__file__).parents[1] / "skills" / "emotions" / "fusion.json"
MODALITIES: tuple[Modality, ...] = ("text", "face", "voice")
TRIPLES_PER_LABEL = 300
RESAMPLES = 2000
# Keeps the corrections of the priors small: only their sum is well determined by all three modalities.
_TILT_PENALTY = 0.003
# Share of the loss over all emotions, without which those that are never shown would have arbitrary scores.
_ALL_EMOTIONS_SHARE = 0.2
_NOT_SHOWN = -30.0

Labels = NDArray[np.int64]


class Triples(NamedTuple):
    """Random combinations of a text, a face and a voice.

    Attributes:
        probabilities: By each modality alone (modalities, triples, 7).
        features: Inputs of early fusion: per modality (triples, width).
        labels: Indices of `EMOTIONS` (triples,).
        degraded: Index of the degraded modality (triples,).
    """

    probabilities: Floats
    features: list[Floats]
    labels: Labels
    degraded: Labels


def make_triples(pools: Sequence[Pool], rng: np.random.Generator) -> Triples:
    """Combine `TRIPLES_PER_LABEL` random triples of each label, with a random modality degraded in each."""
    labels = np.repeat([EMOTIONS.index(name) for name in LABELS], TRIPLES_PER_LABEL)
    degraded = rng.integers(0, len(MODALITIES), len(labels))
    probabilities, features = [], []
    for modality, pool in enumerate(pools):
        examples = np.array([rng.choice(np.flatnonzero(pool.labels == label)) for label in labels])
        is_degraded = (degraded == modality)[:, None]
        probabilities.append(np.where(is_degraded, pool.degraded[examples], pool.clean[examples]))
        features.append(np.where(is_degraded, pool.degraded_features[examples], pool.clean_features[examples]))
    return Triples(np.stack(probabilities), features, labels, degraded)


def fit_reliability(dev: Triples, priors: Floats) -> dict[Modality, dict[str, Any]]:
    """Return the entries of a `skills.emotions.fusion.Reliability` that minimize the cross-entropy of fusion on `dev`.

    Every combination of two or three modalities counts the same. The loss is mostly that of the choice between the
    emotions that are the likeliest one of a modality, for this is what fusion has to choose from.

    Args:
        dev: Triples to fit on.
        priors: Share of each emotion in the training data (modalities, 7).
    """
    rows = dev.probabilities.astype(np.float64)
    ratios = torch.from_numpy(np.stack([likelihood_ratios(*pair) for pair in zip(rows, priors, strict=True)]))
    logs = torch.from_numpy(np.stack([log_priors(prior) for prior in priors.astype(np.float64)]))[:, None]
    shown = torch.from_numpy(rows == rows.max(-1, keepdims=True))
    labels = torch.from_numpy(dev.labels)
    log_weights, tilts = (torch.zeros(len(MODALITIES), 1, 1, dtype=torch.double, requires_grad=True) for _ in range(2))
    # Logits; they start at a doubt of 5 %.
    doubts = torch.full_like(log_weights, -3.0).requires_grad_()

    def loss() -> Tensor:
        doubt = doubts.sigmoid()
        evidence = log_weights.exp() * ((1 - doubt) * ratios + doubt).log() - tilts * logs
        losses = [_choice_loss(evidence[mask].sum(0), shown[mask].any(0), labels) for mask in _combinations()]
        return torch.stack(losses).sum() + _TILT_PENALTY * tilts.square().sum()

    minimize(loss, [log_weights, tilts, doubts], max_iterations=300)
    values = {"weight": log_weights.exp(), "doubt": doubts.sigmoid(), "tilt": tilts}
    fitted = {key: value.detach().flatten().tolist() for key, value in values.items()}
    return {
        name: {key: round(each[index], 4) for key, each in fitted.items()}
        | {"prior": [round(float(each), 4) for each in priors[index]]}
        for index, name in enumerate(MODALITIES)
    }


def _combinations() -> list[list[int]]:
    """Return the indices of every two modalities, and of all three."""
    return [list(each) for size in (2, 3) for each in combinations(range(len(MODALITIES)), size)]


def _choice_loss(scores: Tensor, shown: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of the choice among the emotions `shown`, and in a small part that among all."""
    possible = shown[torch.arange(len(labels)), labels]
    among_shown = torch.where(shown, scores, scores.new_tensor(_NOT_SHOWN))[possible]
    choice = F.cross_entropy(among_shown, labels[possible])
    return (1 - _ALL_EMOTIONS_SHARE) * choice + _ALL_EMOTIONS_SHARE * F.cross_entropy(scores, labels)


def predict_early(dev: Triples, test: Triples) -> Labels:
    """Train early fusion on `dev`, and return its predictions for `test` (triples,)."""
    dev_features, test_features = (np.concatenate(triples.features, 1) for triples in (dev, test))
    mean, deviation = dev_features.mean(0), dev_features.std(0) + 1e-3
    x, test_x = (torch.from_numpy((each - mean) / deviation).float() for each in (dev_features, test_features))
    weight = torch.zeros(x.shape[1], len(EMOTIONS), requires_grad=True)
    labels = torch.from_numpy(dev.labels)

    def loss() -> Tensor:
        return F.cross_entropy(x @ weight, labels) + 1e-2 * weight.square().sum()

    minimize(loss, [weight], max_iterations=40)
    return (test_x @ weight).argmax(1).numpy()


def fuse_all(probabilities: Floats, fitted: Reliability) -> Labels:
    """Return the fused emotion of each triple (triples,), given the probabilities (modalities, triples, 7)."""
    rows = probabilities.astype(np.float64)
    evidence = [log_evidence(row, fitted[name]) for row, name in zip(rows, MODALITIES, strict=True)]
    labels: Labels = limit_to_shown(np.sum(evidence, axis=0), rows).argmax(1)
    return labels


def predict(dev: Triples, test: Triples, fitted: Reliability, rng: np.random.Generator) -> dict[str, Labels]:
    """Return predictions for `test` by each modality, by late fusion ("fused"), by early fusion and by a control.

    The control, "blind", fuses parts that were drawn without regard to the label.
    """
    predictions: dict[str, Labels] = {}
    for row, name in zip(test.probabilities.astype(np.float64), MODALITIES, strict=True):
        predictions[name] = likelihood_ratios(row, np.array(fitted[name]["prior"])).argmax(1)
    predictions["fused"] = fuse_all(test.probabilities, fitted)
    predictions["early"] = predict_early(dev, test)
    predictions["blind"] = fuse_all(np.stack([rng.permutation(row) for row in test.probabilities]), fitted)
    return predictions


def print_table(predictions: dict[str, Labels], test: Triples, rng: np.random.Generator) -> dict[str, Any]:
    """Print and return the accuracy of each prediction by degraded modality, and the lead of "fused" over the best one.

    The lead has a 95 % interval by the bootstrap.
    """
    hits = {name: predicted == test.labels for name, predicted in predictions.items()}
    subsets = {"everything": np.ones(len(test.labels), bool)}
    subsets |= {f"{name} degraded": test.degraded == index for index, name in enumerate(MODALITIES)}
    figures: dict[str, Any] = {}
    print(f"{'accuracy, %':16}" + "".join(f"{name:>10}" for name in hits) + "   lead of fused over the best modality")
    for subset, mask in subsets.items():
        accuracies = {name: 100 * float(hit[mask].mean()) for name, hit in hits.items()}
        best = max(MODALITIES, key=accuracies.__getitem__)
        leads = (hits["fused"][mask].astype(float) - hits[best][mask]) * 100
        resampled = [leads[rng.integers(0, len(leads), len(leads))].mean() for _ in range(RESAMPLES)]
        low, high = np.percentile(resampled, [2.5, 97.5])
        columns = "".join(f"{accuracy:10.1f}" for accuracy in accuracies.values())
        print(f"{subset:16}{columns}   {leads.mean():+.1f} ({low:+.1f} to {high:+.1f}, {best})", flush=True)
        figures[subset] = {
            **{name: round(accuracy, 1) for name, accuracy in accuracies.items()},
            "ahead": [round(float(value), 1) for value in (leads.mean(), low, high)],
        }
    return figures


def training_priors(data: Path, voices: dict[str, Pool]) -> Floats:
    """Return the share of each emotion in the training data of each modality (modalities, 7)."""
    basic = group_labels(read_comments(data, "train")[1])
    faces = np.bincount(read_faces(data, "train").labels.numpy(), minlength=len(EMOTIONS))
    clips = np.bincount(np.concatenate([pool.labels for pool in voices.values()]), minlength=len(EMOTIONS))
    shares = [(basic / basic.sum(1, keepdims=True)).mean(0), faces / faces.sum(), clips / clips.sum()]
    priors: Floats = np.maximum(np.stack(shares), MIN_PROBABILITY).astype(np.float32)
    return priors


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--decoder", type=Path, required=True, help="the folder of the dequantized decoder")
    arguments = parser.parse_args()
    rng = np.random.default_rng(SEED)
    voices = voice_pools(arguments.data, arguments.work)
    hidden_states = HiddenStates(arguments.decoder)
    triples = {}
    for split in ("dev", "test"):
        pools = [
            text_pool(arguments.data, split, hidden_states, rng),
            face_pool(arguments.data, split, rng),
            voices[split],
        ]
        triples[split] = make_triples(pools, rng)
    priors = training_priors(arguments.data, voices)
    fitted = fit_reliability(triples["dev"], priors)
    figures = print_table(predict(triples["dev"], triples["test"], fitted, rng), triples["test"], rng)
    OUT.write_text(json.dumps({**fitted, "test": figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
