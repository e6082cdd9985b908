"""Read GoEmotions (Demszky et al. 2020) and the hidden states that `training.emotion_states` computed of it."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skills.emotions.labels import EMOTIONS, FINE_EMOTIONS, GROUPS
from skills.emotions.text import hash_ngrams

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


class Split(NamedTuple):
    """Comments with the inputs and labels of the text head.

    Attributes:
        states: Pooled hidden states (comments, width). In the train split, possibly only those of the first comments.
        hashes: N-gram hashes of each comment.
        fine: Which of the 28 fine labels each comment has (comments, 28).
        basic: Which of the seven labels each comment has (comments, 7).
        texts: The comments.
    """

    states: Floats
    hashes: list[NDArray[np.uint32]]
    fine: Mask
    basic: Mask
    texts: list[str]


def load_split(data: Path, work: Path, split: str) -> Split:
    """Load "train", "dev" or "test". Prints a line if the hidden states of some comments are missing.

    Dev and test are then cut to the comments with hidden states. Train keeps all, for the n-grams.
    """
    texts, fine = read_comments(data, split)
    states = read_states(work, split).astype(np.float32)
    count = len(states)
    if count < len(texts):
        print(f"{split}: hidden states of {count:,} of {len(texts):,} comments")
    if split != "train":
        texts, fine = texts[:count], fine[:count]
    return Split(states.reshape(count, -1), [hash_ngrams(text) for text in texts], fine, group_labels(fine), texts)


def read_comments(data: Path, split: str) -> tuple[list[str], Mask]:
    """Return the comments of a split, and which of the 28 fine labels each has (comments, 28)."""
    lines = (data / "goemotions" / f"{split}.tsv").read_text("utf-8").split("\n")[1:]
    rows = [line.split("\t") for line in lines if line]
    labels = np.zeros((len(rows), len(FINE_EMOTIONS)), bool)
    for index, (_, ids, _) in enumerate(rows):
        labels[index, [int(label) for label in ids.split(",")]] = True
    return [text for text, _, _ in rows], labels


def read_states(work: Path, split: str) -> NDArray[np.float16]:
    """Return the hidden states (comments, layers, 2, width) of a split, in the order of its comments."""
    return np.concatenate([np.load(path) for path in sorted((work / "emotion").glob(f"states-{split}-*.npy"))])


def group_labels(fine: Mask) -> Mask:
    """Return which of the seven labels each comment has (comments, 7), given its fine labels (comments, 28)."""
    return np.stack([fine[:, [FINE_EMOTIONS.index(name) for name in GROUPS[group]]].any(1) for group in EMOTIONS], 1)
