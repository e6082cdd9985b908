"""The figures of each task, with intervals by the bootstrap: the same figure over items drawn anew, many times over.

    caption      CIDEr-D, BLEU-4, BLEU-1, ROUGE-L   (pycocoevalcap 1.2, on lower-case words without punctuation)
    vqa          exact answers; with confidences, how far these are from the truth
    emotion      accuracy, macro-F1, F1 of each label, confusion matrix
    transcribe   word error rate   (jiwer)

All are times 100. An interval holds the figure of 95 of 100 samples of the same size (percentiles; Efron 1979).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from assistant.errors import MissingExtraError
from skills.evaluation.calibration import Bin, bins
from skills.evaluation.pairs import Pair

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NOTHING = "(none)"
"""The label of what has no prediction."""

_NUMBERS = {
    word: str(number)
    for number, word in enumerate("zero one two three four five six seven eight nine ten eleven twelve".split())
}
_LEVEL = 95


@dataclass(frozen=True)
class Figure:
    """One figure and the interval in which it may as well have come out."""

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Report:
    """All that is known of how good predictions are. `confusion` counts predictions (columns) by label (rows)."""

    task: str
    count: int
    figures: Sequence[Figure]
    labels: Sequence[str] = ()
    confusion: Sequence[Sequence[int]] = ()
    calibration: Sequence[Bin] = field(default=())


@dataclass(frozen=True)
class Resampling:
    """How often items are drawn anew, and from which seed."""

    times: int = 1000
    seed: int = 0

    def figure(self, name: str, count: int, of: "Callable[[NDArray[np.intp]], float]") -> Figure:
        """`of` takes the indices of the items to look at, and is asked about all of them first."""
        import numpy as np

        rng = np.random.default_rng(self.seed)
        drawn = [of(rng.integers(0, count, count)) for _ in range(self.times)]
        edge = (100 - _LEVEL) / 2
        low, high = np.percentile(drawn, [edge, 100 - edge]) if drawn else (np.nan, np.nan)
        return Figure(name, of(np.arange(count)), float(low), float(high))


def evaluate(task: str, pairs: Sequence[Pair], resampling: Resampling | None = None) -> Report:
    """The figures of `pairs` for a `task`. Raises `MissingExtraError` where a scorer is not installed."""
    scorers = {"caption": captions, "vqa": answers, "emotion": labels, "transcribe": transcripts}
    return scorers[task](pairs, resampling or Resampling())


def captions(pairs: Sequence[Pair], resampling: Resampling) -> Report:
    """CIDEr-D (Vedantam et al. 2015), BLEU (Papineni et al. 2002) and ROUGE-L (Lin 2004).

    CIDEr-D weighs words by how few of the items have them; the weights are those of all items in every sample.
    """
    import numpy as np

    try:
        from pycocoevalcap.bleu.bleu_scorer import BleuScorer
        from pycocoevalcap.cider.cider import Cider
        from pycocoevalcap.rouge.rouge import Rouge
    except ImportError as error:
        raise _missing("Scoring captions", "pycocoevalcap") from error
    said = {number: [caption_words(pair.predicted)] for number, pair in enumerate(pairs)}
    written = {number: [caption_words(text) for text in pair.references] for number, pair in enumerate(pairs)}
    cider = np.asarray(Cider().compute_score(written, said)[1])
    rouge = np.asarray(Rouge().compute_score(written, said)[1])
    counts = BleuScorer(n=4)
    for number in said:
        counts += (said[number][0], written[number])
    parts = [
        (each["testlen"], _closest(each["reflen"], each["testlen"]), *each["guess"], *each["correct"])
        for each in counts.ctest
    ]
    sums = np.asarray(parts, dtype=float)
    count = len(pairs)
    figures = [
        resampling.figure("CIDEr-D", count, lambda chosen: 100 * float(cider[chosen].mean())),
        resampling.figure("BLEU-4", count, lambda chosen: 100 * _bleu(sums[chosen].sum(0), 4)),
        resampling.figure("BLEU-1", count, lambda chosen: 100 * _bleu(sums[chosen].sum(0), 1)),
        resampling.figure("ROUGE-L", count, lambda chosen: 100 * float(rouge[chosen].mean())),
    ]
    return Report("caption", count, figures)


def answers(pairs: Sequence[Pair], resampling: Resampling) -> Report:
    """Answers that are one of the right ones, apart from case, punctuation, articles and how numbers are written."""
    import numpy as np

    right = np.array([answer_key(pair.predicted) in {answer_key(text) for text in pair.references} for pair in pairs])
    figures = [resampling.figure("exact", len(pairs), lambda chosen: 100 * float(right[chosen].mean()))]
    sure = [(pair.confidence, bool(hit)) for pair, hit in zip(pairs, right, strict=True) if pair.confidence is not None]
    if not sure:
        return Report("vqa", len(pairs), figures)
    confidences = np.array([confidence for confidence, _ in sure])
    hits = np.array([hit for _, hit in sure])

    def error(chosen: "NDArray[np.intp]") -> float:
        found = bins(confidences[chosen].tolist(), hits[chosen].tolist())
        return 100 * sum(each.count * abs(each.confidence - each.accuracy) for each in found) / len(chosen)

    figures += [
        resampling.figure("calibration error", len(sure), error),
        resampling.figure(
            "Brier score", len(sure), lambda chosen: 100 * float(((confidences[chosen] - hits[chosen]) ** 2).mean())
        ),
    ]
    return Report("vqa", len(pairs), figures, calibration=bins(confidences.tolist(), hits.tolist()))


def labels(pairs: Sequence[Pair], resampling: Resampling) -> Report:
    """Labels against labels. Macro-F1 is the mean F1 of the labels that occur among the references."""
    import numpy as np

    wanted = sorted({pair.references[0] for pair in pairs})
    names = [*wanted, *sorted({pair.predicted or NOTHING for pair in pairs} - set(wanted))]
    index = {name: number for number, name in enumerate(names)}
    rows = np.array([index[pair.references[0]] for pair in pairs])
    columns = np.array([index[pair.predicted or NOTHING] for pair in pairs])

    def table(chosen: "NDArray[np.intp]") -> "NDArray[np.int64]":
        counted = np.zeros((len(names), len(names)), dtype=np.int64)
        np.add.at(counted, (rows[chosen], columns[chosen]), 1)
        return counted

    count = len(pairs)
    figures = [
        resampling.figure("accuracy", count, lambda chosen: 100 * float((rows[chosen] == columns[chosen]).mean())),
        resampling.figure("macro-F1", count, lambda chosen: 100 * float(_f1(table(chosen))[: len(wanted)].mean())),
    ]
    figures += [
        resampling.figure(f"F1 of {name}", count, lambda chosen, place=place: 100 * float(_f1(table(chosen))[place]))  # type: ignore[misc]
        for place, name in enumerate(wanted)
    ]
    confusion = table(np.arange(count))[: len(wanted)].tolist()
    return Report("emotion", count, figures, names, confusion)


def transcripts(pairs: Sequence[Pair], resampling: Resampling) -> Report:
    """The word error rate: words put in, left out or changed, in percent of those that were said; lower is better."""
    import numpy as np

    try:
        import jiwer
    except ImportError as error:
        raise _missing("Scoring transcripts", "jiwer") from error
    wrong, spoken = [], []
    for pair in pairs:
        reference = caption_words(pair.references[0])
        found = jiwer.process_words(reference, caption_words(pair.predicted)) if reference else None
        words = len(reference.split())
        spoken.append(words)
        wrong.append(
            found.substitutions + found.deletions + found.insertions
            if found
            else len(caption_words(pair.predicted).split())
        )
    errors, totals = np.array(wrong), np.array(spoken)
    figure = resampling.figure(
        "word error rate", len(pairs), lambda chosen: 100 * float(errors[chosen].sum() / max(1, totals[chosen].sum()))
    )
    return Report("transcribe", len(pairs), [figure])


def caption_words(text: str) -> str:
    """The words of a text as scorers see them: "A dog 's T-shirt ." becomes "a dog s t-shirt"."""
    return " ".join(re.findall(r"\w+(?:-\w+)*", text.lower()))


def answer_key(text: str) -> str:
    """What is compared of an answer: "The red chairs, two." and "red chairs, 2" are the same."""
    words = re.findall(r"\w+", text.lower().replace("_", " "))
    return " ".join(_NUMBERS.get(word, word) for word in words if word not in {"a", "an", "the"})


def _f1(table: "NDArray[np.int64]") -> Any:
    import numpy as np

    hits = np.diag(table)
    return 2 * hits / np.maximum(1, table.sum(0) + table.sum(1))


def _bleu(sums: "NDArray[np.float64]", order: int) -> float:
    """BLEU from how long candidates and references are and, for each n, how many n-grams there are and are right."""
    import numpy as np

    length, reference = sums[0], sums[1]
    guesses, right = sums[2:6][:order], sums[6:10][:order]
    # As pycocoevalcap does: nothing is divided by zero, and nothing is the logarithm of it.
    precision = np.exp(np.log((right + 1e-15) / (guesses + 1e-9)).mean())
    ratio = (length + 1e-15) / (reference + 1e-9)
    return float(precision * (np.exp(1 - 1 / ratio) if ratio < 1 else 1.0))


def _closest(lengths: Sequence[int], length: int) -> int:
    return min(lengths, key=lambda each: (abs(each - length), each))


def _missing(what: str, package: str) -> MissingExtraError:
    return MissingExtraError(f"{what} needs {package}: install it with `pip install 'parley-assistant[evaluate]'`.")
