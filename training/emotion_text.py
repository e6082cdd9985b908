"""Train the text head of the emotion skill on GoEmotions (Demszky et al. 2020), and write its weights.

    python -m training.emotion_text --data DATA --work WORK [--test]

Needs the hidden states of `training.emotion_states`, and scikit-learn. Trains on the train split, fits calibration and
thresholds on dev, writes `skills/emotions/weights/text_head.safetensors`, and prints figures on dev beside those of two
baselines. `--test` prints the figures of the finished head on the test split, on which nothing is chosen.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from skills.emotions.labels import EMOTIONS, FINE_EMOTIONS
from skills.emotions.text import WEIGHTS, TextHead, tfidf_weights
from training.calibration import minimize
from training.emotion_text_figures import evaluate_baselines, evaluate_head, fine_probabilities
from training.goemotions import Floats, Split, load_split
from training.multilabel import best_thresholds
from training.recipe import SEED

WEIGHTS_DIR = Path(__file__).parents[1] / "skills" / "emotions" / "weights"
NUM_FINE = len(FINE_EMOTIONS)
NUM_OUTPUTS = NUM_FINE + len(EMOTIONS)
HIDDEN_UNITS = 256
EPOCHS = 6
# N-grams of fewer training comments are ignored.
MIN_DOCUMENTS = 4
BATCH_SIZE = 256


class StateNetwork(nn.Module):
    """The part of the head that uses hidden states: an MLP with one hidden layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, HIDDEN_UNITS)
        self.output = nn.Linear(HIDDEN_UNITS, NUM_OUTPUTS)

    def forward(self, states: Tensor) -> Tensor:
        """Return logits (comments, 28 + 7) of standardized states (comments, width)."""
        activations = F.dropout(F.relu(self.hidden(F.dropout(states, 0.2, self.training))), 0.5, self.training)
        logits: Tensor = self.output(activations)
        return logits


class NgramClassifier(NamedTuple):
    """The part of the head that uses n-grams.

    Attributes:
        hashes: Sorted hashes of the known n-grams (n-grams,).
        idf: Inverse document frequency of each (n-grams,).
        weights: (n-grams, 28 + 7).
    """

    hashes: NDArray[np.uint32]
    idf: Floats
    weights: Floats


def train_states(split: Split, mean: Floats, deviation: Floats, epochs: int = EPOCHS) -> StateNetwork:
    """Train the network on the comments that have hidden states.

    Args:
        split: Training data.
        mean: Mean of the states (width,).
        deviation: Standard deviation of the states (width,).
        epochs: Passes over the data.
    """
    torch.manual_seed(SEED)
    states = torch.from_numpy((split.states - mean) / deviation)
    fine = torch.from_numpy(split.fine[: len(states)]).float()
    basic = label_distribution(split)[: len(states)].float()
    network = StateNetwork(states.shape[1])
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.1)
    steps = epochs * (len(states) // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.5e-3, total_steps=steps + 1, pct_start=0.1)
    for epoch in range(epochs):
        order = torch.randperm(len(states))
        total = 0.0
        for start in range(0, len(order) - BATCH_SIZE + 1, BATCH_SIZE):
            batch = order[start : start + BATCH_SIZE]
            loss = head_loss(network(states[batch]), fine[batch], basic[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
        print(f"epoch {epoch + 1}: loss {total / (len(order) // BATCH_SIZE):.3f}", flush=True)
    return network.eval()


def label_distribution(split: Split) -> Tensor:
    """Return targets for the seven labels (comments, 7): the labels of a comment share a probability of 1."""
    return torch.from_numpy(split.basic / split.basic.sum(1, keepdims=True))


def head_loss(logits: Tensor, fine: Tensor, basic: Tensor) -> Tensor:
    """Return the summed binary cross-entropy of the fine labels plus the cross-entropy of the seven.

    Args:
        logits: (comments, 28 + 7).
        fine: Targets in {0, 1} (comments, 28).
        basic: Target distributions (comments, 7).
    """
    binary = F.binary_cross_entropy_with_logits(logits[:, :NUM_FINE], fine) * NUM_FINE
    return binary + F.cross_entropy(logits[:, NUM_FINE:], basic)


def train_ngrams(split: Split) -> NgramClassifier:
    """Fit a logistic regression of every label on the tf-idf weights of n-grams."""
    from scipy.sparse import csr_array
    from sklearn.linear_model import LogisticRegression

    hashes, counts = np.unique(np.concatenate(split.hashes), return_counts=True)
    hashes, counts = hashes[counts >= MIN_DOCUMENTS], counts[counts >= MIN_DOCUMENTS]
    idf = (np.log((1 + len(split.hashes)) / (1 + counts)) + 1).astype(np.float32)
    rows = [tfidf_weights(each, hashes, idf) for each in split.hashes]
    # liblinear needs 32-bit indices.
    ends = np.cumsum([0, *(len(indices) for indices, _ in rows)], dtype=np.int32)
    columns, values = (np.concatenate(each) for each in zip(*rows, strict=True))
    matrix = csr_array((values, columns.astype(np.int32), ends), shape=(len(rows), len(hashes)))
    weights = np.zeros((len(hashes), NUM_OUTPUTS), np.float32)
    for output, labels in enumerate(np.concatenate((split.fine, split.basic), 1).T):
        model = LogisticRegression(C=4, solver="liblinear", max_iter=200).fit(matrix, labels)
        weights[:, output] = model.coef_[0]
    return NgramClassifier(hashes, idf, weights)


def combine(network: StateNetwork, ngrams: NgramClassifier, mean: Floats, deviation: Floats) -> TextHead:
    """Return both parts as one head, not yet calibrated."""
    return TextHead(
        mean=mean,
        deviation=deviation,
        hidden=network.hidden.weight.detach().numpy(),
        hidden_bias=network.hidden.bias.detach().numpy(),
        output=network.output.weight.detach().numpy(),
        output_bias=network.output.bias.detach().numpy(),
        ngram_hashes=ngrams.hashes,
        idf=ngrams.idf,
        ngram_weights=ngrams.weights,
        slope=np.ones(NUM_OUTPUTS, np.float32),
        offset=np.zeros(NUM_OUTPUTS, np.float32),
        thresholds=np.full(NUM_FINE, 0.5, np.float32),
    )


def calibrate(head: TextHead, dev: Split) -> TextHead:
    """Fit slopes, offsets and thresholds on `dev`.

    Platt scaling (Platt 1999) in two variables: each fine label has an offset, a slope for states and a slope for
    n-grams. The seven labels have an offset each and share their slopes. The slopes of n-grams are multiplied into
    their weights. Thresholds are those with the best F1.
    """
    state_logits = torch.from_numpy(head.state_logits(dev.states))
    ngram_logits = torch.from_numpy(head.logits(dev.states, dev.hashes)) - state_logits
    fine, basic = torch.from_numpy(dev.fine).float(), label_distribution(dev)
    slopes = torch.full((2, NUM_FINE + 1), 0.5, requires_grad=True)
    offset = torch.zeros(NUM_OUTPUTS, requires_grad=True)

    def expanded_slopes() -> Tensor:
        return torch.cat((slopes[:, :NUM_FINE], slopes[:, NUM_FINE:].expand(-1, len(EMOTIONS))), 1)

    def loss() -> Tensor:
        state_slope, ngram_slope = expanded_slopes()
        logits = state_logits * state_slope + ngram_logits * ngram_slope + offset
        # The small penalty keeps the parameters of labels with two examples finite.
        penalty = (slopes - 0.5).square().sum() + offset.square().sum()
        return head_loss(logits, fine, basic) + 1e-3 * penalty

    minimize(loss, [slopes, offset], max_iterations=100)
    slope, ngram_slope = expanded_slopes().detach().numpy()
    scaled = replace(head, slope=slope, offset=offset.detach().numpy(), ngram_weights=head.ngram_weights * ngram_slope)
    return replace(scaled, thresholds=best_thresholds(fine_probabilities(scaled, dev), dev.fine))


def train_and_write(split: Split, dev: Split) -> None:
    """Train the head on `split`, calibrate it on `dev`, and write its weights."""
    started = time.monotonic()
    mean = split.states.mean(0)
    deviation = split.states.std(0) + np.float32(1e-3)
    ngrams = train_ngrams(split)
    print(f"{len(ngrams.hashes)} n-grams, {time.monotonic() - started:.0f} s", flush=True)
    head = calibrate(combine(train_states(split, mean, deviation), ngrams, mean, deviation), dev)
    WEIGHTS_DIR.mkdir(exist_ok=True)
    path = WEIGHTS_DIR / WEIGHTS
    description = f"GoEmotions train: words of {len(split.fine)} comments, states of {len(split.states)}"
    save_file(head.to_tensors(), path, {"trained on": description})
    print(f"{time.monotonic() - started:.0f} s, {path.stat().st_size / 2**20:.2f} MB")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--test", action="store_true", help="evaluate the finished head on the test split, and stop")
    parser.add_argument("--no-baselines", action="store_true", help="skip the baselines, which take minutes")
    arguments = parser.parse_args()
    dev = load_split(arguments.data, arguments.work, "dev")
    if arguments.test:
        evaluated = load_split(arguments.data, arguments.work, "test")
    else:
        train_and_write(load_split(arguments.data, arguments.work, "train"), dev)
        evaluated = dev
    print(json.dumps({"head": evaluate_head(TextHead.load(), dev, evaluated)}, indent=2), flush=True)
    if not arguments.no_baselines:
        print(json.dumps(evaluate_baselines(arguments.data, dev, evaluated), indent=2))


if __name__ == "__main__":
    main()
