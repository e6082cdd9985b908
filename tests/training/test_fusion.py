"""Weights of late fusion, and triples of degraded modalities."""

import numpy as np
import pytest
from numpy.typing import NDArray

from skills.emotions.labels import EMOTIONS
from skills.emotions.probabilities import softmax
from training.fusion import MODALITIES, Triples, fit_reliability, fuse_all, make_triples, predict, print_table
from training.fusion_pools import LABELS, Pool

PRIORS = np.full((3, len(EMOTIONS)), 1 / len(EMOTIONS), np.float32)


def noisy_triples(seed: int) -> Triples:
    """Return triples whose text is reliable, and whose voice is hardly better than chance."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([EMOTIONS.index(name) for name in LABELS], 200)

    def probabilities(noise: float) -> NDArray[np.float32]:
        return softmax(2 * np.eye(len(EMOTIONS))[labels] + rng.normal(0, noise, (len(labels), len(EMOTIONS))))

    each = np.stack([probabilities(noise) for noise in (0.5, 1.0, 3.0)])
    return Triples(each, list(each), labels, rng.integers(0, 3, len(labels)))


def test_noisier_modalities_count_less() -> None:
    fitted = fit_reliability(noisy_triples(0), PRIORS)
    text, face, voice = (fitted[name]["weight"] * (1 - fitted[name]["doubt"]) for name in MODALITIES)
    assert text > face > voice > 0


def test_fusion_is_more_accurate_than_each_modality() -> None:
    triples = noisy_triples(0)
    fused = fuse_all(triples.probabilities, fit_reliability(triples, PRIORS))
    best = max((row.argmax(1) == triples.labels).mean() for row in triples.probabilities)
    assert (fused == triples.labels).mean() > best


def test_the_table_compares_fusion_with_the_best_modality_and_a_control(capsys: pytest.CaptureFixture[str]) -> None:
    dev, test = noisy_triples(0), noisy_triples(1)
    rng = np.random.default_rng(0)
    figures = print_table(predict(dev, test, fit_reliability(dev, PRIORS), rng), test, rng)
    assert list(figures) == ["everything", *(f"{name} degraded" for name in MODALITIES)]
    everything = figures["everything"]
    assert everything["ahead"][0] == pytest.approx(everything["fused"] - everything["text"], abs=0.11)
    assert everything["ahead"][1] <= everything["ahead"][0] <= everything["ahead"][2]
    assert everything["blind"] < everything["fused"] / 2
    assert "lead of fused" in capsys.readouterr().out


def test_one_modality_of_each_triple_is_degraded() -> None:
    labels = np.array([EMOTIONS.index(name) for name in LABELS])
    clean, degraded = (
        np.ones((len(labels), len(EMOTIONS)), np.float32),
        np.zeros((len(labels), len(EMOTIONS)), np.float32),
    )
    triples = make_triples([Pool(labels, clean, degraded, clean, degraded)] * 3, np.random.default_rng(0))
    assert (triples.probabilities[:, :, 0].sum(0) == 2).all()
    assert (triples.probabilities[:, :, 0].argmin(0) == triples.degraded).all()
    assert set(triples.degraded) == {0, 1, 2}
