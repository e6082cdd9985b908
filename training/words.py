"""Stage 2: train the word head, which predicts the words that a caption of the image would use.

    python -m training.words --data DATA --work WORK --tower TOWER.pth

A decoder this small learns captions far sooner from words than from feature maps. The words are those of the training
captions, the Caltech-101 categories and the answers about rooms; the thousand ImageNet names come from the tower's own
classifier and need no training. Predictions for the training images are made by heads that did not see them
(cross-fitting), so that the next stage gets words as uncertain as they will be on new images.

Writes `WORK/words/`: `vocabulary.json`, `head.safetensors` (the head trained on all training images) and
`probabilities.safetensors`, float16 (images, 2, words) for each dataset.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from assistant.models.pocket.vision_encoder import WordHead
from training.data import DATASETS, read_annotations
from training.features import FeatureStore, TowerHead, load_tower
from training.names import ACCEPTED_NAMES
from training.recipe import SEED, WORD_HIDDEN
from training.splits import hold_out_tenth
from training.word_targets import TargetBuilder, Targets, build_vocabulary

FOLDS = 3
BATCH = 64
DROPOUT = 0.3
PRIOR = 0.01
"""Probability that an untrained head gives each word."""


class WordData:
    """Features, targets and splits of every dataset."""

    def __init__(self, data: Path, store: FeatureStore) -> None:
        annotations = {name: read_annotations(data, name) for name in DATASETS}
        self.store = store
        self.vocabulary = build_vocabulary(annotations["flickr8k"], annotations["daquar"])
        builder = TargetBuilder(self.vocabulary)
        self.targets: dict[str, Targets] = {}
        self.splits: dict[str, list[str]] = {}
        for name, rows in annotations.items():
            split_of = {row["image"]: row.get("split", "train") for row in rows}
            self.splits[name] = [split_of[image] for image in store.names[name]]
            self.targets[name] = builder.build(name, store.names[name], rows)

    def rows(self, name: str, split: str) -> Tensor:
        """Return the rows of a dataset that belong to `split`."""
        return torch.tensor([row for row, value in enumerate(self.splits[name]) if value == split], dtype=torch.long)

    def rows_outside(self, name: str, split: str) -> Tensor:
        """Return the rows of a dataset that do not belong to `split`."""
        return torch.tensor([row for row, value in enumerate(self.splits[name]) if value != split], dtype=torch.long)


def batches(
    data: WordData, rows: dict[str, Tensor], size: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield shuffled batches (features, probability, weight), each of one dataset, mirrored at random."""
    plan = [
        (name, chunk)
        for name, members in rows.items()
        for chunk in members[torch.randperm(len(members), generator=generator)].split(size)
    ]
    for position in torch.randperm(len(plan), generator=generator).tolist():
        name, chunk = plan[position]
        chunk = chunk.sort().values
        mirrored = torch.rand(len(chunk), generator=generator) < 0.5
        targets = data.targets[name]
        yield data.store.features(name, chunk, mirrored), targets.probability[chunk], targets.weight[chunk]


def fit(data: WordData, rows: dict[str, Tensor], epochs: int, seed: int) -> WordHead:
    """Train a head on `rows` of each dataset."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    head = WordHead(len(data.vocabulary.words), WORD_HIDDEN, DROPOUT)
    nn.init.normal_(head.places.weight, std=0.005)
    nn.init.constant_(head.whole.bias, float(np.log(PRIOR / (1 - PRIOR))))
    steps = epochs * sum(-(-len(members) // BATCH) for members in rows.values())
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.5e-3, total_steps=steps, pct_start=0.1)
    for _ in range(epochs):
        for features, probability, weight in batches(data, rows, BATCH, generator):
            with torch.autocast("cpu", torch.bfloat16):
                logits = head(features)
            losses = F.binary_cross_entropy_with_logits(logits.float(), probability, reduction="none")
            loss = (losses * weight).sum() / len(features)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return head.eval()


@torch.inference_mode()
def predict(head: WordHead, data: WordData, name: str, rows: Tensor, *, mirrored: bool) -> Tensor:
    """Return word probabilities (rows, words) in float32."""
    out = []
    for chunk in rows.split(64):
        features = data.store.features(name, chunk, torch.full((len(chunk),), mirrored))
        with torch.autocast("cpu", torch.bfloat16):
            out.append(head(features).float().sigmoid())
    return torch.cat(out)


def mean_average_precision(scores: Tensor, relevant: Tensor) -> float:
    """Return the mean average precision of ranking images by each word that has at least three relevant images.

    Args:
        scores: (images, words).
        relevant: True where the word is true of the image (images, words).
    """
    values = []
    for word in range(scores.shape[1]):
        truth = relevant[:, word]
        if truth.sum() < 3:
            continue
        hits = truth[scores[:, word].argsort(descending=True)].float()
        precision = hits.cumsum(0) / torch.arange(1, len(hits) + 1)
        values.append(float((precision * hits).sum() / hits.sum()))
    return float(np.mean(values))


def evaluate_head(head: WordHead, data: WordData, held_out: Tensor | None) -> str:
    """Return a report: mean average precision on dev images, and accuracy on Caltech-101 images `held_out`."""
    dev = data.rows("flickr8k", "dev")
    scores = predict(head, data, "flickr8k", dev, mirrored=False)
    precision = mean_average_precision(scores, data.targets["flickr8k"].probability[dev] > 0)
    words, from_captions = data.vocabulary.words, data.vocabulary.num_caption_words
    report = f"{len(words)} words, {from_captions} of captions; dev mean average precision {precision:.3f}"
    if held_out is None:
        return report
    columns = [words.index(names[0]) for names in ACCEPTED_NAMES.values()]
    predicted = predict(head, data, "caltech101", held_out, mirrored=False)[:, columns].argmax(1)
    right = data.targets["caltech101"].probability[held_out][:, columns].gather(1, predicted[:, None]).mean()
    return f"{report}\neveryday names right {float(right):.3f} of {len(held_out)}"


def cross_fit(
    data: WordData, full: WordHead, train: dict[str, Tensor], epochs: int, report: Callable[[str], None]
) -> dict[str, Tensor]:
    """Predict the words of every image, those of the training images by heads that did not see them.

    Args:
        data: The data.
        full: Head trained on all training images; predicts the other images.
        train: Training rows of each dataset.
        epochs: Epochs for each head.
        report: Called after each fold.

    Returns:
        Float16 probabilities (images, 2, words) of each dataset.
    """
    folds = {name: _split_in_folds(rows, SEED) for name, rows in train.items()}
    words = len(data.vocabulary.words)
    out = {name: torch.zeros(len(data.splits[name]), 2, words, dtype=torch.float16) for name in train}

    def fill(head: WordHead, name: str, rows: Tensor) -> None:
        for mirrored in (False, True):
            out[name][rows, int(mirrored)] = predict(head, data, name, rows, mirrored=mirrored).half()

    for name in train:
        others = data.rows_outside(name, "train")
        if len(others):
            fill(full, name, others)
    for fold in range(FOLDS):
        seen = {
            name: torch.cat([part for number, part in enumerate(parts) if number != fold])
            for name, parts in folds.items()
        }
        head = fit(data, seen, epochs, SEED + 1 + fold)
        for name, parts in folds.items():
            fill(head, name, parts[fold])
        report(f"fold {fold}")
    return out


def _split_in_folds(rows: Tensor, seed: int) -> list[Tensor]:
    """Split `rows` into `FOLDS` random parts."""
    return list(rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))].tensor_split(FOLDS))


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--tower", type=Path, required=True, help="the .pth file from the tower's wheel")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument(
        "--only-judge", action="store_true", help="train on the training images, print the dev figures, write nothing"
    )
    arguments = parser.parse_args()
    data = WordData(
        arguments.data, FeatureStore(arguments.work, TowerHead(load_tower(arguments.tower, "lite2", "cpu")))
    )
    target = arguments.work / "words"
    target.mkdir(exist_ok=True)
    train = {name: data.rows(name, "train") for name in DATASETS}
    started = time.monotonic()

    def report(text: str) -> None:
        print(f"{text}\n{time.monotonic() - started:.0f} s", flush=True)

    if arguments.only_judge:
        held_out, kept = hold_out_tenth(train["caltech101"])
        head = fit(data, {**train, "caltech101": kept}, arguments.epochs, SEED)
        report(evaluate_head(head, data, held_out))
        return
    data.vocabulary.save(target / "vocabulary.json")
    full = fit(data, train, arguments.epochs, SEED)
    save_file(full.state_dict(), target / "head.safetensors")
    report(evaluate_head(full, data, None))
    probabilities = cross_fit(data, full, train, arguments.epochs, report)
    save_file({name: value.contiguous() for name, value in probabilities.items()}, target / "probabilities.safetensors")


if __name__ == "__main__":
    main()
