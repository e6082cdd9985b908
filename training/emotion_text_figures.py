"""Evaluate the text head, beside two baselines: the commonest label, and logistic regression on n-grams."""

from pathlib import Path
from typing import Any

import numpy as np

from skills.emotions.labels import EMOTIONS, FINE_EMOTIONS
from skills.emotions.probabilities import softmax
from skills.emotions.text import TextHead
from skills.evaluation.calibration import expected_calibration_error
from training.goemotions import Floats, Split, group_labels, read_comments
from training.multilabel import best_thresholds, f1_per_label, macro_f1, macro_f1_interval


def fine_probabilities(head: TextHead, split: Split) -> Floats:
    """Return the probability of each fine label (comments, 28)."""
    logits = head.logits(split.states, split.hashes)[:, : len(FINE_EMOTIONS)]
    return (1 / (1 + np.exp(-logits))).astype(np.float32)


def basic_probabilities(head: TextHead, split: Split) -> Floats:
    """Return the probability of each of the seven labels (comments, 7); rows sum to 1."""
    return softmax(head.logits(split.states, split.hashes)[:, len(FINE_EMOTIONS) :])


def evaluate_head(head: TextHead, dev: Split, split: Split) -> dict[str, Any]:
    """Return the figures of `head` on `split`. The thresholds of the seven labels are chosen on `dev`."""
    fine = fine_probabilities(head, split) >= head.thresholds
    thresholds = best_thresholds(basic_probabilities(head, dev), dev.basic)
    probabilities = basic_probabilities(head, split)
    basic = probabilities >= thresholds
    confidences, likeliest = probabilities.max(1), probabilities.argmax(1)
    is_right = split.basic[np.arange(len(likeliest)), likeliest]
    basic_f1, fine_f1 = f1_per_label(basic, split.basic), f1_per_label(fine, split.fine)
    return {
        "comments": len(fine),
        "fine_macro_f1": round(macro_f1(fine, split.fine), 4),
        "fine_interval": [round(bound, 4) for bound in macro_f1_interval(fine, split.fine)],
        "basic_macro_f1": round(macro_f1(basic, split.basic), 4),
        "basic_interval": [round(bound, 4) for bound in macro_f1_interval(basic, split.basic)],
        "basic_f1": {name: round(score, 3) for name, score in zip(EMOTIONS, basic_f1, strict=True)},
        "likeliest_of_seven_right": round(float(is_right.mean()), 4),
        "likeliest_calibration_error": round(expected_calibration_error(confidences.tolist(), is_right.tolist()), 4),
        "fine_f1": {name: round(score, 3) for name, score in zip(FINE_EMOTIONS, fine_f1, strict=True)},
    }


def evaluate_baselines(data: Path, dev: Split, split: Split) -> dict[str, dict[str, float]]:
    """Return the macro-F1 on `split` of the commonest label ("majority") and of logistic regression ("words").

    Both are trained on the train split. Thresholds are chosen on `dev`, as for the head. Needs scikit-learn.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    texts, fine = read_comments(data, "train")
    basic = group_labels(fine)
    figures: dict[str, dict[str, float]] = {"majority": {}, "words": {}}
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=3, sublinear_tf=True)
    train_inputs = vectorizer.fit_transform(texts)
    dev_inputs, inputs = (vectorizer.transform(each.texts) for each in (dev, split))
    for name, train_labels, dev_labels, labels in (
        ("fine_macro_f1", fine, dev.fine, split.fine),
        ("basic_macro_f1", basic, dev.basic, split.basic),
    ):
        majority = np.zeros_like(labels)
        majority[:, train_labels.sum(0).argmax()] = True
        figures["majority"][name] = round(macro_f1(majority, labels), 4)
        model = OneVsRestClassifier(LogisticRegression(C=4, max_iter=200, solver="liblinear"))
        model.fit(train_inputs, train_labels)
        thresholds = best_thresholds(model.predict_proba(dev_inputs), dev_labels)
        figures["words"][name] = round(macro_f1(model.predict_proba(inputs) >= thresholds, labels), 4)
    return figures
