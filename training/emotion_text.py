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
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from skills.emotions.labels import EMOTIONS, FINE_EMOTIONS, GROUPS
from skills.emotions.text import BUCKETS, WEIGHTS, TextHead, buckets, softmax
from skills.evaluation.calibration import expected_calibration_error
from training.emotion_states import read_comments, read_states
from training.recipe import SEED

FOLDER = Path(__file__).parents[1] / "skills" / "emotions" / "weights"
FINE = len(FINE_EMOTIONS)
HIDDEN = 256
MEMBERS = 1
EPOCHS = 9
BATCH = 256
RESAMPLES = 1000

Floats = NDArray[np.float32]


class Split(NamedTuple):
    """Comments as the head sees them, and what they are labelled: of 28 several, of the seven a share each."""

    states: Floats
    buckets: list[NDArray[np.int64]]
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
    return Split(
        states.reshape(count, -1),
        [buckets(text) for text in texts[:count]],
        fine[:count],
        grouped(fine[:count]),
        texts[:count],
    )


def grouped(fine: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of the seven a comment has, (comments, 7), by its fine labels (comments, 28)."""
    return np.stack([fine[:, [FINE_EMOTIONS.index(name) for name in GROUPS[group]]].any(1) for group in EMOTIONS], 1)


class Net(nn.Module):
    """One member of the head: a hidden layer on the states, and a weight for each word; logits (texts, 28 + 7)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, HIDDEN)
        self.output = nn.Linear(HIDDEN, FINE + len(EMOTIONS))
        self.words = nn.Embedding(BUCKETS, FINE + len(EMOTIONS))
        nn.init.zeros_(self.words.weight)

    def forward(self, states: Tensor, words: Tensor, offsets: Tensor) -> Tensor:
        """Logits of standardized `states` and of the hashed words from each of `offsets` on."""
        inner = F.dropout(F.relu(self.hidden(F.dropout(states, 0.2, self.training))), 0.5, self.training)
        counts = torch.diff(offsets, append=torch.tensor([len(words)])).clamp(min=1)
        told = F.embedding_bag(words, self.words.weight, offsets, mode="sum") / counts.sqrt()[:, None]
        result: Tensor = self.output(inner) + F.dropout(told, 0.2, self.training)
        return result


def train(split: Split, mean: Floats, deviation: Floats, seed: int, epochs: int = EPOCHS) -> Net:
    """One member, from its seed."""
    torch.manual_seed(seed)
    states = torch.from_numpy((split.states - mean) / deviation)
    fine = torch.from_numpy(split.fine).float()
    shares = torch.from_numpy(split.basic / split.basic.sum(1, keepdims=True)).float()
    net = Net(states.shape[1])
    decays = [net.hidden.weight, net.output.weight]
    rest = [net.hidden.bias, net.output.bias, net.words.weight]
    optimizer = torch.optim.AdamW(
        [{"params": decays, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}], lr=1e-3
    )
    steps = epochs * (len(states) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.5e-3, total_steps=steps + 1, pct_start=0.1)
    for epoch in range(epochs):
        order = torch.randperm(len(states))
        total = 0.0
        for start in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH]
            logits = net(states[chosen], *_bag([split.buckets[index] for index in chosen]))
            loss = F.binary_cross_entropy_with_logits(logits[:, :FINE], fine[chosen]) * FINE
            loss = loss + F.cross_entropy(logits[:, FINE:], shares[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
        print(f"member {seed}, epoch {epoch + 1}: loss {total / (len(order) // BATCH):.3f}", flush=True)
    return net.eval()


def _bag(rows: Sequence[NDArray[np.int64]]) -> tuple[Tensor, Tensor]:
    lengths = np.array([len(row) for row in rows])
    return torch.from_numpy(np.concatenate(rows)), torch.from_numpy(np.concatenate(([0], lengths.cumsum()[:-1])))


def together(nets: Sequence[Net], mean: Floats, deviation: Floats) -> TextHead:
    """The members as one head whose logits are the mean of theirs, not calibrated yet."""

    def joined(tensors: Sequence[Tensor], axis: int) -> Floats:
        return torch.cat([each.detach() for each in tensors], axis).numpy()

    outputs = FINE + len(EMOTIONS)
    return TextHead(
        mean=mean,
        deviation=deviation,
        hidden=joined([net.hidden.weight for net in nets], 0),
        hidden_bias=joined([net.hidden.bias for net in nets], 0),
        output=joined([net.output.weight / len(nets) for net in nets], 1),
        output_bias=np.mean([net.output.bias.detach().numpy() for net in nets], 0),
        words=np.mean([net.words.weight.detach().numpy() for net in nets], 0),
        slope=np.ones(outputs, np.float32),
        offset=np.zeros(outputs, np.float32),
        thresholds=np.full(FINE, 0.5, np.float32),
    )


def calibrated(head: TextHead, dev: Split) -> TextHead:
    """`head` with slopes and offsets that make dev likeliest, and the thresholds that give the best F1 there.

    Each fine label has a slope and an offset of its own (Platt 1999); the seven share a slope.
    """
    logits = torch.from_numpy(head.logits(dev.states, dev.buckets))
    fine, shares = torch.from_numpy(dev.fine).float(), torch.from_numpy(dev.basic / dev.basic.sum(1, keepdims=True))
    slope = torch.ones(FINE + 1, requires_grad=True)
    offset = torch.zeros(logits.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([slope, offset], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(logits[:, :FINE] * slope[:FINE] + offset[:FINE], fine) * FINE
        loss = loss + F.cross_entropy(logits[:, FINE:] * slope[FINE] + offset[FINE:], shares)
        # A trace of it, so that a label seen twice does not run away.
        loss = loss + 1e-3 * ((slope - 1).square().sum() + offset.square().sum())
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    scaled = head.__class__(
        **{
            **vars(head),
            "slope": torch.cat((slope[:FINE], slope[FINE:].expand(len(EMOTIONS)))).detach().numpy(),
            "offset": offset.detach().numpy(),
        }
    )
    chances = fine_chances(scaled, dev)
    thresholds = best_thresholds(chances, dev.fine)
    return head.__class__(**{**vars(scaled), "thresholds": thresholds})


def best_thresholds(chances: Floats, truth: NDArray[np.bool_]) -> Floats:
    """For each label the probability above which naming it gives the best F1."""
    found = []
    for column in range(truth.shape[1]):
        tried = np.unique(np.quantile(chances[:, column], np.linspace(0.5, 0.9995, 200)))
        found.append(max(tried, key=lambda least, at=column: f1(chances[:, at] >= least, truth[:, at])))  # type: ignore[misc]
    return np.array(found, np.float32)


def fine_chances(head: TextHead, split: Split) -> Floats:
    """The probabilities (comments, 28)."""
    chances: Floats = 1 / (1 + np.exp(-head.logits(split.states, split.buckets)[:, :FINE]))
    return chances


def basic_chances(head: TextHead, split: Split) -> Floats:
    """The probabilities (comments, 7), together 1."""
    return softmax(head.logits(split.states, split.buckets)[:, FINE:])


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
    nets = [train(split, mean, deviation, seed) for seed in range(MEMBERS)]
    head = calibrated(together(nets, mean, deviation), dev)
    FOLDER.mkdir(exist_ok=True)
    halves = {name: value.astype(np.float16) for name, value in vars(head).items()}
    save_file(halves, FOLDER / WEIGHTS, {"trained on": f"GoEmotions, {len(split.fine)} comments of train"})
    print(f"{time.monotonic() - started:.0f} s, {(FOLDER / WEIGHTS).stat().st_size / 2**20:.2f} MB")
    print(json.dumps({"head": judge(TextHead.load(), dev, dev)}, indent=2), flush=True)
    if not arguments.no_baselines:
        print(json.dumps(baselines(arguments.data, dev, dev), indent=2))


if __name__ == "__main__":
    main()
