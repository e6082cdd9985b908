"""Metrics as the papers define them, and their intervals."""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from skills.evaluation.calibration import confidence_bins, expected_calibration_error
from skills.evaluation.pairs import Pair
from skills.evaluation.scores import Bootstrap, Metric, Report, bleu, evaluate, normalize_answer

FEW_SAMPLES = Bootstrap(100)


def make_pairs(*texts: tuple[str, str]) -> list[Pair]:
    """Return pairs of a prediction and its only reference."""
    return [Pair(predicted, (reference,)) for predicted, reference in texts]


def find_metric(report: Report, name: str) -> Metric:
    return next(each for each in report.metrics if each.name == name)


def test_macro_f1_is_the_mean_over_the_labels_of_the_references() -> None:
    pairs = make_pairs(("joy", "joy"), ("joy", "anger"), ("anger", "anger"), ("fear", "joy"))
    report = evaluate("emotion", pairs, FEW_SAMPLES)
    assert find_metric(report, "accuracy").value == pytest.approx(50)
    assert find_metric(report, "macro-F1").value == pytest.approx(100 * (0.5 + 2 / 3) / 2)
    assert report.labels == ["anger", "joy", "fear"]
    assert report.confusion == [[1, 1, 0], [0, 1, 1]]


def test_a_missing_prediction_counts_as_wrong() -> None:
    report = evaluate("emotion", make_pairs(("", "joy"), ("joy", "joy")), FEW_SAMPLES)
    assert find_metric(report, "accuracy").value == pytest.approx(50)
    assert report.labels == ["joy", "(none)"]


def test_word_errors_are_divided_by_the_words_of_all_references() -> None:
    pairs = make_pairs(("the cat sat", "The cat sat."), ("dog", "a dog ran off"))
    report = evaluate("transcribe", pairs, FEW_SAMPLES)
    assert find_metric(report, "word error rate").value == pytest.approx(100 * 3 / 7)


def test_words_transcribed_from_silence_are_errors() -> None:
    pairs = make_pairs(("thank you", ""), ("hello there", "hello there"))
    report = evaluate("transcribe", pairs, FEW_SAMPLES)
    assert find_metric(report, "word error rate").value == pytest.approx(100)


@pytest.mark.parametrize(
    ("one", "other"),
    [("The red chairs, two.", "red chairs, 2"), ("garbage_bin", "A garbage bin."), ("Yes", "yes."), ("", "the")],
)
def test_spelling_variants_of_an_answer_are_equal(one: str, other: str) -> None:
    assert normalize_answer(one) == normalize_answer(other)


def test_an_answer_is_right_if_it_equals_any_reference() -> None:
    report = evaluate("vqa", [Pair("Two.", ("three", "2")), Pair("red", ("blue",))], FEW_SAMPLES)
    assert find_metric(report, "exact").value == pytest.approx(50)
    assert not report.calibration


def test_calibration_compares_confidence_with_accuracy() -> None:
    pairs = [Pair("a", ("a",), 0.75)] * 3 + [Pair("a", ("b",), 0.75)] + [Pair("a", ("b",), 0.25)] * 4
    report = evaluate("vqa", pairs, FEW_SAMPLES)
    assert find_metric(report, "calibration error").value == pytest.approx(12.5)
    brier_score = 100 * (3 * 0.25**2 + 0.75**2 + 4 * 0.25**2) / 8
    assert find_metric(report, "Brier score").value == pytest.approx(brier_score)
    assert [each.count for each in report.calibration] == [4, 4]
    assert [each.confidence for each in report.calibration] == pytest.approx([0.25, 0.75])
    assert [each.accuracy for each in report.calibration] == pytest.approx([0, 0.75])


def test_the_calibration_error_is_0_for_right_and_1_for_wrong_certainty() -> None:
    assert expected_calibration_error([1.0, 0.0], [True, False]) == pytest.approx(0)
    assert expected_calibration_error([1.0, 0.0], [False, True]) == pytest.approx(1)
    assert expected_calibration_error([], []) == 0
    assert [each.count for each in confidence_bins([0.05, 0.1, 1.0], [True] * 3)] == [1, 1, 1]


def test_an_interval_contains_the_metric_and_narrows_with_more_items() -> None:
    rng = random.Random(1)

    def exact(count: int) -> Metric:
        pairs = make_pairs(*[("a", rng.choice("aab")) for _ in range(count)])
        return find_metric(evaluate("vqa", pairs, Bootstrap(300)), "exact")

    few, many = exact(50), exact(5000)
    for each in (few, many):
        assert each.low < each.value < each.high
        assert each.low < 100 * 2 / 3 < each.high
    assert many.high - many.low < (few.high - few.low) / 5


def test_the_same_seed_gives_the_same_interval() -> None:
    pairs = make_pairs(*[("a", letter) for letter in "abaababb"])
    assert evaluate("vqa", pairs, Bootstrap(50, 7)).metrics == evaluate("vqa", pairs, Bootstrap(50, 7)).metrics


class TestCaptions:
    PREDICTED = ("A dog runs over the grass.", "Two men sit on a bench.", "A red car.", "")
    REFERENCES = (
        ("A dog is running over green grass .", "The dog runs over the grass"),
        ("two old men sit on a bench", "Two men on a bench in the park."),
        ("A bus drives by", "A red bus on a street"),
        ("Children play",),
    )

    def test_metrics_equal_those_of_pycocoevalcap(self) -> None:
        from pycocoevalcap.bleu.bleu import Bleu

        from training.metrics import caption_scores, caption_words

        pairs = [Pair(*each) for each in zip(self.PREDICTED, self.REFERENCES, strict=True)]
        report = evaluate("caption", pairs, FEW_SAMPLES)
        expected = caption_scores(self.PREDICTED, self.REFERENCES)
        assert find_metric(report, "CIDEr-D").value == pytest.approx(expected.cider_d)
        assert find_metric(report, "ROUGE-L").value == pytest.approx(expected.rouge_l)
        assert find_metric(report, "BLEU-4").value == pytest.approx(expected.bleu_4)
        assert find_metric(report, "BLEU-1").value == pytest.approx(expected.bleu_1)
        predicted, reference = caption_words(self.PREDICTED[0]), caption_words(self.REFERENCES[0][0])
        (_, bleu_2, _, _), _ = Bleu(4).compute_score({0: [reference]}, {0: [predicted]}, verbose=0)
        assert bleu_2 == pytest.approx(bleu(count_ngrams(predicted.split(), reference.split()), 2))

    def test_captions_equal_to_their_references_get_the_full_score(self) -> None:
        texts = [
            ("a dog runs over the grass today",),
            ("two men sit on a long bench",),
            ("snow lies on every roof here",),
        ]
        report = evaluate("caption", [Pair(text[0], text) for text in texts], FEW_SAMPLES)
        assert find_metric(report, "BLEU-4").value == pytest.approx(100)
        assert find_metric(report, "ROUGE-L").value == pytest.approx(100)
        assert find_metric(report, "CIDEr-D").value == pytest.approx(1000)


def count_ngrams(predicted: Sequence[str], reference: Sequence[str]) -> Any:
    """Return the counts that `bleu` takes, for n-grams up to 2."""

    def ngrams(words: Sequence[str], order: int) -> list[tuple[str, ...]]:
        return [tuple(words[start : start + order]) for start in range(len(words) - order + 1)]

    matches = [
        sum(
            min(ngrams(predicted, order).count(each), ngrams(reference, order).count(each))
            for each in set(ngrams(predicted, order))
        )
        for order in (1, 2)
    ]
    totals = [len(predicted), len(reference), len(predicted), len(predicted) - 1, 0, 0]
    return np.array([*totals, *matches, 0, 0], dtype=float)
