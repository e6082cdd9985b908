"""Metrics of each task, with bootstrap intervals.

    caption      CIDEr-D, BLEU-4, BLEU-1, ROUGE-L   (pycocoevalcap 1.2, on lower-case words without punctuation)
    vqa          exact answers; with confidences, calibration error and Brier score
    emotion      accuracy, macro-F1, F1 of each label, confusion matrix
    transcribe   word error rate   (jiwer)

All are in percent (times 100). An interval contains the metric of 95 of 100 resamples (percentiles; Efron 1979).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from assistant.errors import MissingExtraError
from skills.evaluation.calibration import ConfidenceBin, confidence_bins, expected_calibration_error
from skills.evaluation.pairs import Pair

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NO_PREDICTION = "(none)"
"""Label of an item without a prediction."""

_NUMBERS = {
    word: str(number)
    for number, word in enumerate("zero one two three four five six seven eight nine ten eleven twelve".split())
}
_LEVEL = 95


@dataclass(frozen=True)
class Metric:
    """A metric with the bounds of its interval."""

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Report:
    """Evaluation of a task.

    Attributes:
        task: Name of the task.
        count: Number of items.
        metrics: Metrics with intervals.
        labels: Labels of the confusion matrix.
        confusion: Number of predictions (columns) per label (rows).
        calibration: Accuracy by confidence.
    """

    task: str
    count: int
    metrics: Sequence[Metric]
    labels: Sequence[str] = ()
    confusion: Sequence[Sequence[int]] = ()
    calibration: Sequence[ConfidenceBin] = field(default=())


@dataclass(frozen=True)
class Bootstrap:
    """Number of resamples, and the random seed."""

    samples: int = 1000
    seed: int = 0

    def metric(self, name: str, count: int, function: "Callable[[NDArray[np.intp]], float]") -> Metric:
        """Return a metric with its interval.

        Args:
            name: Name of the metric.
            count: Number of items.
            function: Return the metric of the items with these indices.
        """
        import numpy as np

        rng = np.random.default_rng(self.seed)
        values = [function(rng.integers(0, count, count)) for _ in range(self.samples)]
        tail = (100 - _LEVEL) / 2
        low, high = np.percentile(values, [tail, 100 - tail]) if values else (np.nan, np.nan)
        return Metric(name, function(np.arange(count)), float(low), float(high))


def evaluate(task: str, pairs: Sequence[Pair], bootstrap: Bootstrap | None = None) -> Report:
    """Score `pairs` for a task. Raises `MissingExtraError` if the package with its scorer is not installed."""
    scorers = {
        "caption": score_captions,
        "vqa": score_answers,
        "emotion": score_labels,
        "transcribe": score_transcripts,
    }
    return scorers[task](pairs, bootstrap or Bootstrap())


def score_captions(pairs: Sequence[Pair], bootstrap: Bootstrap) -> Report:
    """Compute CIDEr-D (Vedantam et al. 2015), BLEU (Papineni et al. 2002) and ROUGE-L (Lin 2004).

    CIDEr-D weights words by their inverse document frequency, that of all items in every resample.
    """
    import numpy as np

    try:
        from pycocoevalcap.bleu.bleu_scorer import BleuScorer
        from pycocoevalcap.cider.cider import Cider
        from pycocoevalcap.rouge.rouge import Rouge
    except ImportError as error:
        raise _missing("Scoring captions", "pycocoevalcap") from error
    predicted = {index: [normalize_text(pair.predicted)] for index, pair in enumerate(pairs)}
    references = {index: [normalize_text(text) for text in pair.references] for index, pair in enumerate(pairs)}
    # The package fails where no reference has a word.
    has_reference = any(text.strip() for texts in references.values() for text in texts)
    cider = np.asarray(Cider().compute_score(references, predicted)[1]) if has_reference else np.zeros(len(pairs))
    rouge = np.asarray(Rouge().compute_score(references, predicted)[1])
    scorer = BleuScorer(n=4)
    for index in predicted:
        scorer += (predicted[index][0], references[index])
    counts = np.asarray(
        [
            (each["testlen"], _closest(each["reflen"], each["testlen"]), *each["guess"], *each["correct"])
            for each in scorer.ctest
        ],
        dtype=float,
    )
    total = len(pairs)
    metrics = [
        bootstrap.metric("CIDEr-D", total, lambda chosen: 100 * float(cider[chosen].mean())),
        bootstrap.metric("BLEU-4", total, lambda chosen: 100 * bleu(counts[chosen].sum(0), 4)),
        bootstrap.metric("BLEU-1", total, lambda chosen: 100 * bleu(counts[chosen].sum(0), 1)),
        bootstrap.metric("ROUGE-L", total, lambda chosen: 100 * float(rouge[chosen].mean())),
    ]
    return Report("caption", total, metrics)


def score_answers(pairs: Sequence[Pair], bootstrap: Bootstrap) -> Report:
    """Compute the share of answers that equal a reference after `normalize_answer`, and their calibration."""
    import numpy as np

    right = np.array(
        [normalize_answer(pair.predicted) in {normalize_answer(text) for text in pair.references} for pair in pairs]
    )
    metrics = [bootstrap.metric("exact", len(pairs), lambda chosen: 100 * float(right[chosen].mean()))]
    known = [
        (pair.confidence, bool(hit)) for pair, hit in zip(pairs, right, strict=True) if pair.confidence is not None
    ]
    if not known:
        return Report("vqa", len(pairs), metrics)
    confidences = np.array([confidence for confidence, _ in known])
    hits = np.array([hit for _, hit in known])

    def calibration_error(chosen: "NDArray[np.intp]") -> float:
        return 100 * expected_calibration_error(confidences[chosen].tolist(), hits[chosen].tolist())

    def brier_score(chosen: "NDArray[np.intp]") -> float:
        return 100 * float(((confidences[chosen] - hits[chosen]) ** 2).mean())

    metrics += [
        bootstrap.metric("calibration error", len(known), calibration_error),
        bootstrap.metric("Brier score", len(known), brier_score),
    ]
    calibration = confidence_bins(confidences.tolist(), hits.tolist())
    return Report("vqa", len(pairs), metrics, calibration=calibration)


def score_labels(pairs: Sequence[Pair], bootstrap: Bootstrap) -> Report:
    """Compute accuracy, F1 and the confusion matrix. Macro-F1 is the mean F1 of the labels among the references."""
    import numpy as np

    expected = sorted({pair.references[0] for pair in pairs})
    names = [*expected, *sorted({pair.predicted or NO_PREDICTION for pair in pairs} - set(expected))]
    index = {name: number for number, name in enumerate(names)}
    rows = np.array([index[pair.references[0]] for pair in pairs])
    columns = np.array([index[pair.predicted or NO_PREDICTION] for pair in pairs])

    def confusion(chosen: "NDArray[np.intp]") -> "NDArray[np.int64]":
        matrix = np.zeros((len(names), len(names)), dtype=np.int64)
        np.add.at(matrix, (rows[chosen], columns[chosen]), 1)
        return matrix

    def f1(label: int) -> "Callable[[NDArray[np.intp]], float]":
        return lambda chosen: 100 * float(_f1(confusion(chosen))[label])

    count = len(pairs)
    metrics = [
        bootstrap.metric("accuracy", count, lambda chosen: 100 * float((rows[chosen] == columns[chosen]).mean())),
        bootstrap.metric("macro-F1", count, lambda chosen: 100 * float(_f1(confusion(chosen))[: len(expected)].mean())),
        *(bootstrap.metric(f"F1 of {name}", count, f1(label)) for label, name in enumerate(expected)),
    ]
    return Report("emotion", count, metrics, names, confusion(np.arange(count))[: len(expected)].tolist())


def score_transcripts(pairs: Sequence[Pair], bootstrap: Bootstrap) -> Report:
    """Compute the word error rate: inserted, deleted and substituted words in percent of those spoken."""
    import numpy as np

    try:
        import jiwer
    except ImportError as error:
        raise _missing("Scoring transcripts", "jiwer") from error
    wrong, spoken = [], []
    for pair in pairs:
        reference, predicted = normalize_text(pair.references[0]), normalize_text(pair.predicted)
        spoken.append(len(reference.split()))
        if reference:
            alignment = jiwer.process_words(reference, predicted)
            wrong.append(alignment.substitutions + alignment.deletions + alignment.insertions)
        else:
            wrong.append(len(predicted.split()))
    errors, totals = np.array(wrong), np.array(spoken)
    metric = bootstrap.metric(
        "word error rate", len(pairs), lambda chosen: 100 * float(errors[chosen].sum() / max(1, totals[chosen].sum()))
    )
    return Report("transcribe", len(pairs), [metric])


def normalize_text(text: str) -> str:
    """Return lower-case words without punctuation: "A dog 's T-shirt ." becomes "a dog s t-shirt"."""
    return " ".join(re.findall(r"\w+(?:-\w+)*", text.lower()))


def normalize_answer(text: str) -> str:
    """Remove case, punctuation and articles, and write numbers as digits: "The red chairs, two." is "red chairs 2"."""
    words = re.findall(r"\w+", text.lower().replace("_", " "))
    return " ".join(_NUMBERS.get(word, word) for word in words if word not in {"a", "an", "the"})


def bleu(counts: "NDArray[np.float64]", order: int) -> float:
    """Return BLEU as pycocoevalcap computes it, from summed counts.

    Args:
        counts: Length of the candidates, length of the references, number of n-grams for n = 1 to 4, and number of
            those that match (10,).
        order: Longest n-grams that count.
    """
    import numpy as np

    length, reference = counts[0], counts[1]
    guesses, right = counts[2:6][:order], counts[6:10][:order]
    # The small terms avoid division by zero and the logarithm of zero.
    precision = np.exp(np.log((right + 1e-15) / (guesses + 1e-9)).mean())
    ratio = (length + 1e-15) / (reference + 1e-9)
    return float(precision * (np.exp(1 - 1 / ratio) if ratio < 1 else 1.0))


def _f1(confusion: "NDArray[np.int64]") -> Any:
    import numpy as np

    hits = np.diag(confusion)
    return 2 * hits / np.maximum(1, confusion.sum(0) + confusion.sum(1))


def _closest(lengths: Sequence[int], length: int) -> int:
    return min(lengths, key=lambda each: (abs(each - length), each))


def _missing(purpose: str, package: str) -> MissingExtraError:
    return MissingExtraError(f"{purpose} needs {package}: install it with `pip install 'parley-assistant[evaluate]'`.")
