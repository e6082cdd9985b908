"""The head that reads feelings off the decoder's hidden states, trained on GoEmotions (Demszky et al. 2020).

    python -m training.emotion_text --data DATA --work WORK [--test]

Needs what `training.emotion_states` has computed. Trains on the train split, fits calibration and thresholds on dev,
writes `skills/emotions/weights/text_head.safetensors` and prints its figures on dev beside two baselines: always the
commonest label, and logistic regression on words and pairs of words (scikit-learn). `--test` prints the same of the
test split, for the finished head; nothing is chosen by it.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from skills.emotions.labels import EMOTIONS, FINE_EMOTIONS, GROUPS
from skills.emotions.probabilities import softmax
from skills.emotions.text import WEIGHTS, TextHead, hash_ngrams, tfidf_weights
from skills.evaluation.calibration import expected_calibration_error
from training.emotion_states import read_comments, read_states
from training.recipe import SEED

FOLDER = Path(__file__).parents[1] / "skills" / "emotions" / "weights"
FINE = len(FINE_EMOTIONS)
HIDDEN = 256
EPOCHS = 6
# How many training comments share a word that is learned.
LEAST_SEEN = 4
BATCH = 256
RESAMPLES = 1000

Floats = NDArray[np.float32]


class Split(NamedTuple):
    """Comments as the head sees them, and which of the 28 and of the seven labels each has.

    There may be `states` of the first ones only.
    """

    states: Floats
    codes: list[NDArray[np.uint32]]
    fine: NDArray[np.bool_]
    basic: NDArray[np.bool_]
    texts: list[str]


def load(data: Path, work: Path, split: str) -> Split:
    """A split, as far as its hidden states have been computed."""
    texts, fine = read_comments(data, split)
    states = read_states(work, split).astype(np.float32)
    count = len(states)
    if count < len(texts):
        print(f"{split}: hidden states of {count:,} of {len(texts):,} comments")
    if split != "train":
        texts, fine = texts[:count], fine[:count]
    return Split(states.reshape(count, -1), [hash_ngrams(text) for text in texts], fine, grouped(fine), texts)


def grouped(fine: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of the seven a comment has, (comments, 7), by its fine labels (comments, 28)."""
    return np.stack([fine[:, [FINE_EMOTIONS.index(name) for name in GROUPS[group]]].any(1) for group in EMOTIONS], 1)


class Net(nn.Module):
    """The part of the head that looks at states: one hidden layer, and logits (texts, 28 + 7)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, HIDDEN)
        self.output = nn.Linear(HIDDEN, FINE + len(EMOTIONS))

    def forward(self, states: Tensor) -> Tensor:
        """Logits of standardized `states`."""
        inner = F.dropout(F.relu(self.hidden(F.dropout(states, 0.2, self.training))), 0.5, self.training)
        result: Tensor = self.output(inner)
        return result


def train(split: Split, mean: Floats, deviation: Floats, epochs: int = EPOCHS) -> Net:
    """The part that looks at states."""
    torch.manual_seed(SEED)
    states = torch.from_numpy((split.states - mean) / deviation)
    fine = torch.from_numpy(split.fine[: len(states)]).float()
    basic = split.basic[: len(states)]
    shares = torch.from_numpy(basic / basic.sum(1, keepdims=True)).float()
    net = Net(states.shape[1])
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.1)
    steps = epochs * (len(states) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.5e-3, total_steps=steps + 1, pct_start=0.1)
    for epoch in range(epochs):
        order = torch.randperm(len(states))
        total = 0.0
        for start in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH]
            logits = net(states[chosen])
            loss = F.binary_cross_entropy_with_logits(logits[:, :FINE], fine[chosen]) * FINE
            loss = loss + F.cross_entropy(logits[:, FINE:], shares[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
        print(f"epoch {epoch + 1}: loss {total / (len(order) // BATCH):.3f}", flush=True)
    return net.eval()


class Words(NamedTuple):
    """The words and pairs that are known, by their codes, how rare they are, and their weights (words, 28 + 7)."""

    grams: NDArray[np.uint32]
    rarity: Floats
    weights: Floats


def learned_words(split: Split) -> Words:
    """Logistic regression of every label on the words that some training comments share, weighed by rarity (tf-idf)."""
    from scipy.sparse import csr_array
    from sklearn.linear_model import LogisticRegression

    grams, counts = np.unique(np.concatenate(split.codes), return_counts=True)
    grams, counts = grams[counts >= LEAST_SEEN], counts[counts >= LEAST_SEEN]
    rarity = (np.log((1 + len(split.codes)) / (1 + counts)) + 1).astype(np.float32)
    found = [tfidf_weights(each, grams, rarity) for each in split.codes]
    # liblinear counts in 32 bits.
    ends = np.cumsum([0, *(len(places) for places, _ in found)], dtype=np.int32)
    columns, values = (np.concatenate(each) for each in zip(*found, strict=True))
    matrix = csr_array((values, columns.astype(np.int32), ends), shape=(len(found), len(grams)))
    weights = np.zeros((len(grams), FINE + len(EMOTIONS)), np.float32)
    for number, labels in enumerate(np.concatenate((split.fine, split.basic), 1).T):
        model = LogisticRegression(C=4, solver="liblinear", max_iter=200).fit(matrix, labels)
        weights[:, number] = model.coef_[0]
    return Words(grams, rarity, weights)


def together(net: Net, words: Words, mean: Floats, deviation: Floats) -> TextHead:
    """Both parts as one head, not calibrated yet."""
    outputs = FINE + len(EMOTIONS)
    return TextHead(
        mean=mean,
        deviation=deviation,
        hidden=net.hidden.weight.detach().numpy(),
        hidden_bias=net.hidden.bias.detach().numpy(),
        output=net.output.weight.detach().numpy(),
        output_bias=net.output.bias.detach().numpy(),
        ngram_hashes=words.grams,
        idf=words.rarity,
        ngram_weights=words.weights,
        slope=np.ones(outputs, np.float32),
        offset=np.zeros(outputs, np.float32),
        thresholds=np.full(FINE, 0.5, np.float32),
    )


def calibrated(head: TextHead, dev: Split) -> TextHead:
    """`head` with slopes and offsets that make dev likeliest, and the thresholds that give the best F1 there.

    Each fine label has an offset of its own and a slope for each of the two parts (Platt 1999, in two variables); the
    seven share their slopes. The slopes of words go into their weights.
    """
    states = torch.from_numpy(head.state_logits(dev.states))
    told = torch.from_numpy(head.logits(dev.states, dev.codes)) - states
    fine, shares = torch.from_numpy(dev.fine).float(), torch.from_numpy(dev.basic / dev.basic.sum(1, keepdims=True))
    slopes = torch.full((2, FINE + 1), 0.5, requires_grad=True)
    offset = torch.zeros(states.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([slopes, offset], max_iter=100, line_search_fn="strong_wolfe")

    def wide() -> Tensor:
        return torch.cat((slopes[:, :FINE], slopes[:, FINE:].expand(-1, len(EMOTIONS))), 1)

    def closure() -> Tensor:
        optimizer.zero_grad()
        own, words = wide()
        logits = states * own + told * words + offset
        loss = F.binary_cross_entropy_with_logits(logits[:, :FINE], fine) * FINE
        loss = loss + F.cross_entropy(logits[:, FINE:], shares)
        # A trace of it, so that a label seen twice does not run away.
        loss = loss + 1e-3 * ((slopes - 0.5).square().sum() + offset.square().sum())
        loss.backward()
        return loss

    optimizer.step(closure)
    own, words = wide().detach().numpy()
    scaled = replace(head, slope=own, offset=offset.detach().numpy(), ngram_weights=head.ngram_weights * words)
    return replace(scaled, thresholds=best_thresholds(fine_chances(scaled, dev), dev.fine))


def best_thresholds(chances: Floats, truth: NDArray[np.bool_]) -> Floats:
    """For each label the probability above which naming it gives the best F1."""
    found = []
    for column in range(truth.shape[1]):
        tried = np.unique(np.quantile(chances[:, column], np.linspace(0.5, 0.9995, 200)))
        found.append(max(tried, key=lambda least, at=column: f1(chances[:, at] >= least, truth[:, at])))  # type: ignore[misc]
    return np.array(found, np.float32)


def fine_chances(head: TextHead, split: Split) -> Floats:
    """The probabilities (comments, 28)."""
    chances = 1 / (1 + np.exp(-head.logits(split.states, split.codes)[:, :FINE]))
    return chances.astype(np.float32)


def basic_chances(head: TextHead, split: Split) -> Floats:
    """The probabilities (comments, 7), together 1."""
    return softmax(head.logits(split.states, split.codes)[:, FINE:])


def f1(said: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """F1 of one label."""
    return 2 * float((said & truth).sum()) / max(1, int(said.sum() + truth.sum()))


def macro_f1(said: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """The mean F1 of all labels (columns)."""
    return float(np.mean([f1(said[:, column], truth[:, column]) for column in range(truth.shape[1])]))


def interval(said: NDArray[np.bool_], truth: NDArray[np.bool_]) -> tuple[float, float]:
    """The 95 % interval of the macro-F1 by the bootstrap (percentiles; Efron 1979)."""
    rng = np.random.default_rng(SEED)
    drawn = []
    for _ in range(RESAMPLES):
        chosen = rng.integers(0, len(said), len(said))
        hits = (said[chosen] & truth[chosen]).sum(0)
        drawn.append(float((2 * hits / np.maximum(1, said[chosen].sum(0) + truth[chosen].sum(0))).mean()))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def judge(head: TextHead, dev: Split, split: Split) -> dict[str, Any]:
    """The figures of `head` on `split`, its thresholds for the seven chosen on `dev`."""
    said = fine_chances(head, split) >= head.thresholds
    least = best_thresholds(basic_chances(head, dev), dev.basic)
    chances = basic_chances(head, split)
    groups = chances >= least
    sure, guess = chances.max(1), chances.argmax(1)
    right = split.basic[np.arange(len(guess)), guess]
    return {
        "comments": len(said),
        "fine_macro_f1": round(macro_f1(said, split.fine), 4),
        "fine_interval": [round(each, 4) for each in interval(said, split.fine)],
        "basic_macro_f1": round(macro_f1(groups, split.basic), 4),
        "basic_interval": [round(each, 4) for each in interval(groups, split.basic)],
        "basic_f1": {name: round(f1(groups[:, at], split.basic[:, at]), 3) for at, name in enumerate(EMOTIONS)},
        "likeliest_of_seven_right": round(float(right.mean()), 4),
        "likeliest_calibration_error": round(expected_calibration_error(sure.tolist(), right.tolist()), 4),
        "fine_f1": {name: round(f1(said[:, at], split.fine[:, at]), 3) for at, name in enumerate(FINE_EMOTIONS)},
    }


def baselines(data: Path, dev: Split, split: Split) -> dict[str, dict[str, float]]:
    """Always the commonest label; and logistic regression on counted words, its thresholds chosen on dev as well."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    texts, fine = read_comments(data, "train")
    basic = grouped(fine)
    figures: dict[str, dict[str, float]] = {"majority": {}, "words": {}}
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=3, sublinear_tf=True)
    counted = vectorizer.fit_transform(texts)
    seen = [vectorizer.transform(each.texts) for each in (dev, split)]
    for name, labels, wanted, truth in (
        ("fine_macro_f1", fine, dev.fine, split.fine),
        ("basic_macro_f1", basic, dev.basic, split.basic),
    ):
        commonest = np.zeros_like(truth)
        commonest[:, labels.sum(0).argmax()] = True
        figures["majority"][name] = round(macro_f1(commonest, truth), 4)
        model = OneVsRestClassifier(LogisticRegression(C=4, max_iter=200, solver="liblinear"))
        model.fit(counted, labels)
        on_dev, on_split = (model.predict_proba(each) for each in seen)
        figures["words"][name] = round(macro_f1(on_split >= best_thresholds(on_dev, wanted), truth), 4)
    return figures


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--test", action="store_true", help="judge the finished head on the test split, and stop")
    parser.add_argument("--no-baselines", action="store_true", help="leave the baselines out, which take minutes")
    arguments = parser.parse_args()
    dev = load(arguments.data, arguments.work, "dev")
    if arguments.test:
        test = load(arguments.data, arguments.work, "test")
        head = TextHead.load()
        print(json.dumps({"head": judge(head, dev, test)}, indent=2), flush=True)
        if not arguments.no_baselines:
            print(json.dumps(baselines(arguments.data, dev, test), indent=2))
        return
    started = time.monotonic()
    split = load(arguments.data, arguments.work, "train")
    mean = split.states.mean(0)
    deviation = split.states.std(0) + np.float32(1e-3)
    words = learned_words(split)
    print(f"{len(words.grams)} words and pairs, {time.monotonic() - started:.0f} s", flush=True)
    head = calibrated(together(train(split, mean, deviation), words, mean, deviation), dev)
    FOLDER.mkdir(exist_ok=True)
    told = f"GoEmotions train: words of {len(split.fine)} comments, states of {len(split.states)}"
    save_file(head.to_tensors(), FOLDER / WEIGHTS, {"trained on": told})
    print(f"{time.monotonic() - started:.0f} s, {(FOLDER / WEIGHTS).stat().st_size / 2**20:.2f} MB")
    print(json.dumps({"head": judge(TextHead.load(), dev, dev)}, indent=2), flush=True)
    if not arguments.no_baselines:
        print(json.dumps(baselines(arguments.data, dev, dev), indent=2))


if __name__ == "__main__":
    main()
