"""The text head learns what its states say and means what it says; fusion trusts what is reliable."""

import numpy as np
import pytest
from numpy.typing import NDArray

from skills.emotions.labels import EMOTIONS, FINE_EMOTIONS
from training.emotion_text import (
    Split,
    Words,
    basic_chances,
    best_thresholds,
    calibrated,
    f1,
    fine_chances,
    grouped,
    macro_f1,
    together,
    train,
)
from training.fusion import LABELS, Triples, evidences, fitted_weights

WIDTH = 40


def made_up(count: int, seed: int) -> Split:
    """Comments of one label each, whose states tell which, under noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(FINE_EMOTIONS), count)
    states = np.eye(len(FINE_EMOTIONS), WIDTH, dtype=np.float32)[labels] * 8
    fine = np.eye(len(FINE_EMOTIONS), dtype=bool)[labels]
    noisy = states + rng.normal(0, 1, states.shape).astype(np.float32)
    # One word in two says it, too.
    words = np.where(rng.random(count) < 0.5, labels, len(FINE_EMOTIONS)).astype(np.uint32)
    return Split(noisy, list(words[:, None]), fine, grouped(fine), [""] * count)


def known_words() -> Words:
    """A word for each fine label, and one that says nothing."""
    fine = np.eye(len(FINE_EMOTIONS), dtype=np.float32)
    weights = np.concatenate((fine, grouped(fine > 0)), 1) * 2
    padded = np.pad(weights, ((0, 1), (0, 0))).astype(np.float32)
    return Words(np.arange(len(padded), dtype=np.uint32), np.ones(len(padded), np.float32), padded)


def test_a_comment_has_the_groups_of_its_labels() -> None:
    fine = np.zeros((2, len(FINE_EMOTIONS)), bool)
    fine[0, [FINE_EMOTIONS.index("grief"), FINE_EMOTIONS.index("remorse"), FINE_EMOTIONS.index("love")]] = True
    fine[1, FINE_EMOTIONS.index("neutral")] = True
    assert [[EMOTIONS[place] for place in np.flatnonzero(row)] for row in grouped(fine)] == [
        ["joy", "sadness"],
        ["neutral"],
    ]


def test_it_learns_what_the_states_say_and_is_calibrated_where_it_did_not_train() -> None:
    split, dev, other = made_up(4000, 0), made_up(3000, 1), made_up(3000, 2)
    mean, deviation = split.states.mean(0), split.states.std(0)
    head = calibrated(together(train(split, mean, deviation, epochs=8), known_words(), mean, deviation), dev)
    assert macro_f1(fine_chances(head, other) >= head.thresholds, other.fine) > 0.8
    chances = basic_chances(head, other)
    assert chances.sum(1) == pytest.approx(1, abs=1e-4)
    right = other.basic[np.arange(len(chances)), chances.argmax(1)]
    assert abs(chances.max(1).mean() - right.mean()) < 0.05


def test_thresholds_are_those_of_the_best_f1() -> None:
    chances = np.linspace(0, 1, 1000, dtype=np.float32)[:, None]
    truth = chances > 0.8
    [threshold] = best_thresholds(chances, truth)
    assert threshold == pytest.approx(0.8, abs=0.01)
    assert f1(chances[:, 0] >= threshold, truth[:, 0]) > 0.98


def test_what_is_noisier_weighs_less() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([EMOTIONS.index(name) for name in LABELS], 200)

    def told(noise: float) -> NDArray[np.float32]:
        logits = 2 * np.eye(len(EMOTIONS))[labels] + rng.normal(0, noise, (len(labels), len(EMOTIONS)))
        powers = np.exp(logits)
        shares: NDArray[np.float32] = (powers / powers.sum(1, keepdims=True)).astype(np.float32)
        return shares

    priors = np.full((3, len(EMOTIONS)), 1 / len(EMOTIONS), np.float32)
    triples = Triples(np.stack([told(0.5), told(1.0), told(3.0)]), [], labels, np.zeros(len(labels), np.int64))
    weights = fitted_weights(triples, priors)
    assert weights[0] > weights[1] > weights[2] > 0
    logs = evidences(triples, priors)
    fused = ((weights[:, None, None] * logs).sum(0).argmax(1) == labels).mean()
    assert fused > max((row.argmax(1) == labels).mean() for row in logs)
