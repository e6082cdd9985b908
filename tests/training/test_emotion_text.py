"""The text head learns from hidden states and n-grams, and is calibrated."""

import numpy as np
import pytest

from skills.emotions.labels import FINE_EMOTIONS
from skills.emotions.text import TextHead
from training.emotion_text import NgramClassifier, calibrate, combine, train_states
from training.emotion_text_figures import basic_probabilities, evaluate_head, fine_probabilities
from training.goemotions import Split, group_labels
from training.multilabel import macro_f1

WIDTH = 40


def made_up_split(count: int, seed: int) -> Split:
    """Return comments with one label each, in their noisy states and in the n-grams of every second one."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(FINE_EMOTIONS), count)
    states = np.eye(len(FINE_EMOTIONS), WIDTH, dtype=np.float32)[labels] * 8
    fine = np.eye(len(FINE_EMOTIONS), dtype=bool)[labels]
    noisy = states + rng.normal(0, 1, states.shape).astype(np.float32)
    hashes = np.where(rng.random(count) < 0.5, labels, len(FINE_EMOTIONS)).astype(np.uint32)
    return Split(noisy, list(hashes[:, None]), fine, group_labels(fine), [""] * count)


def known_ngrams() -> NgramClassifier:
    """Return an n-gram for each fine label, and one without information."""
    fine = np.eye(len(FINE_EMOTIONS), dtype=np.float32)
    weights = np.concatenate((fine, group_labels(fine > 0)), 1) * 2
    padded = np.pad(weights, ((0, 1), (0, 0))).astype(np.float32)
    return NgramClassifier(np.arange(len(padded), dtype=np.uint32), np.ones(len(padded), np.float32), padded)


@pytest.fixture(scope="module")
def dev() -> Split:
    return made_up_split(3000, 1)


@pytest.fixture(scope="module")
def head(dev: Split) -> TextHead:
    split = made_up_split(4000, 0)
    mean, deviation = split.states.mean(0), split.states.std(0)
    return calibrate(combine(train_states(split, mean, deviation, epochs=8), known_ngrams(), mean, deviation), dev)


def test_fine_labels_of_unseen_comments_are_recognized(head: TextHead) -> None:
    unseen = made_up_split(3000, 2)
    assert macro_f1(fine_probabilities(head, unseen) >= head.thresholds, unseen.fine) > 0.8


def test_probabilities_of_unseen_comments_are_calibrated(head: TextHead) -> None:
    unseen = made_up_split(3000, 2)
    probabilities = basic_probabilities(head, unseen)
    assert probabilities.sum(1) == pytest.approx(1, abs=1e-4)
    is_right = unseen.basic[np.arange(len(probabilities)), probabilities.argmax(1)]
    assert abs(probabilities.max(1).mean() - is_right.mean()) < 0.05


def test_the_figures_of_a_head_agree_with_its_predictions(head: TextHead, dev: Split) -> None:
    unseen = made_up_split(500, 2)
    figures = evaluate_head(head, dev, unseen)
    low, high = figures["fine_interval"]
    assert low < figures["fine_macro_f1"] < high
    assert figures["comments"] == 500
    assert figures["likeliest_calibration_error"] < 0.1
    assert np.mean(list(figures["fine_f1"].values())) == pytest.approx(figures["fine_macro_f1"], abs=1e-3)
