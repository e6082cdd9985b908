"""Vocabulary of the word head, and its target for each word and training image."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.caption_rules import lower_words
from training.names import ACCEPTED_NAMES, imagenet_family

MIN_CAPTIONED_IMAGES = 24
"""A caption word enters the vocabulary if it occurs for at least this many training images."""
MIN_ROOM_ANSWERS = 12
"""An object in rooms enters the vocabulary if at least this many training answers name it."""

# Words that do not describe an image.
STOP_WORDS = frozenset(
    """
    a in the is on and with of are to at an while his through down by up over one as from for her another next
    other into out some around its has their off along it that across him together each there s being doing
    something them he does who towards toward after whilst onto very many others this someone about nearby away
    all or they like be she have no get gets getting using which just same do go goes where before can appears
    these but only also though t without making make makes take takes taking trying try tries going coming look
    looks looking was been what so you not how still well appear himself themselves herself itself says said
    puts put putting use uses used between
    """.split()
)
# Colours, which are not objects in the answers about rooms.
COLOURS = (
    "white",
    "black",
    "brown",
    "red",
    "blue",
    "green",
    "yellow",
    "orange",
    "pink",
    "purple",
    "grey",
    "gray",
    "tan",
    "beige",
    "silver",
    "gold",
)

FACE_WORDS = ("man", "woman", "person", "smiling", "hair", "shirt", "glasses", "young", "girl", "boy", "people")
"""Words that may be true of an image of a face, though no annotation says so."""


@dataclass(frozen=True)
class Vocabulary:
    """Words of the word head; the first `num_caption_words` come from captions."""

    words: list[str]
    num_caption_words: int

    def save(self, path: Path) -> None:
        """Write the vocabulary to a JSON file."""
        path.write_text(json.dumps({"words": self.words, "captions": self.num_caption_words}))

    @classmethod
    def load(cls, path: Path) -> "Vocabulary":
        """Read a file written by `save`."""
        stored = json.loads(path.read_text())
        return cls(stored["words"], stored["captions"])


def build_vocabulary(captions: list[dict[str, Any]], questions: list[dict[str, Any]]) -> Vocabulary:
    """Return the frequent caption words, then the category names and objects in rooms that are not among them.

    Args:
        captions: Annotations of Flickr8k.
        questions: Annotations of DAQUAR.
    """
    image_counts: Counter[str] = Counter()
    for row in captions:
        if row["split"] == "train":
            # Sorted, so that equally frequent words come in the same order each time.
            image_counts.update(sorted(set(lower_words(" ".join(row["captions"])))))
    words = [
        word
        for word, count in image_counts.most_common()
        if count >= MIN_CAPTIONED_IMAGES and word not in STOP_WORDS and len(word) > 2
    ]
    num_caption_words = len(words)
    answer_counts: Counter[str] = Counter()
    for row in questions:
        if row["split"] == "train":
            answer_counts.update(answer_objects(row["answer"]))
    extra = [names[0] for names in ACCEPTED_NAMES.values()] + [
        word for word, count in answer_counts.items() if count >= MIN_ROOM_ANSWERS
    ]
    words += [word for word in dict.fromkeys(extra) if word not in set(words)]
    return Vocabulary(words, num_caption_words)


def answer_objects(answer: str) -> list[str]:
    """Return the objects that a room answer names: "garbage_bin, chair" gives two."""
    names = (name.strip().replace("_", " ") for name in answer.split(","))
    return [name for name in names if name and not name.isdigit() and name not in COLOURS]


@dataclass
class Targets:
    """Targets of one dataset.

    Attributes:
        probability: Probability of each word for each image (images, words).
        weight: Weight of its loss, 0 where nothing is known (images, words).
    """

    probability: Tensor
    weight: Tensor


class TargetBuilder:
    """Builds the targets of each dataset for one vocabulary."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._num_words = len(vocabulary.words)
        self._num_caption_words = vocabulary.num_caption_words
        self._columns = {word: column for column, word in enumerate(vocabulary.words)}
        self._category_columns = [self._columns[names[0]] for names in ACCEPTED_NAMES.values()]

    def build(self, dataset: str, images: list[str], rows: list[dict[str, Any]]) -> Targets:
        """Return the targets of a dataset.

        Args:
            dataset: Its name.
            images: Names of its images, in the order of the targets.
            rows: Its annotations.
        """
        shape = (len(images), self._num_words)
        targets = Targets(torch.zeros(shape), torch.zeros(shape))
        index_of = {image: index for index, image in enumerate(images)}
        annotated = [(index_of[row["image"]], row) for row in rows]
        if dataset == "flickr8k":
            self._from_captions(targets, annotated)
        elif dataset == "daquar":
            self._from_rooms(targets, annotated)
        elif dataset == "caltech101":
            categories = [(index, ACCEPTED_NAMES[row["name"]][0], None) for index, row in annotated]
            self._from_objects(targets, categories, absent=self._category_columns)
        else:
            families = [imagenet_family(number) for number in range(len(rows))]
            named = [(index, row["name"], family) for (index, row), family in zip(annotated, families, strict=True)]
            self._from_objects(targets, named, absent=[])
        return targets

    def _from_captions(self, targets: Targets, annotated: Sequence[tuple[int, dict[str, Any]]]) -> None:
        """Set a word's probability to the share of captions that use it."""
        targets.weight[:, : self._num_caption_words] = 1
        targets.weight[:, self._category_columns] = 1
        for index, row in annotated:
            for caption in row["captions"]:
                for word in set(lower_words(caption)) & self._columns.keys():
                    targets.probability[index, self._columns[word]] += 1 / len(row["captions"])

    def _from_rooms(self, targets: Targets, annotated: Sequence[tuple[int, dict[str, Any]]]) -> None:
        """Set the objects that room answers name; what nobody asked about may still be there."""
        targets.weight[:, self._category_columns] = 0.2
        targets.weight[:, : self._num_caption_words] = 0.05
        targets.weight[:, self._num_caption_words :] = 0.2
        for index, row in annotated:
            self._set_certain(targets, index, answer_objects(row["answer"]))

    def _from_objects(self, targets: Targets, named: Sequence[tuple[int, str, str | None]], absent: list[int]) -> None:
        """Set the object of each image, with few of the caption words and nothing in the columns `absent`.

        Args:
            targets: Filled in.
            named: (index, name of the object, its family) of each image.
            absent: Columns of words of which only the object's own can be true.
        """
        targets.weight[:, : self._num_caption_words] = 0.5
        targets.weight[:, [self._columns[colour] for colour in COLOURS if colour in self._columns]] = 0
        targets.weight[:, absent] = 1
        for index, name, family in named:
            self._set_certain(targets, index, [name, *([family] if family else []), *lower_words(name)])
            if name == "face":
                targets.weight[index, [self._columns[word] for word in FACE_WORDS]] = 0

    def _set_certain(self, targets: Targets, index: int, words: list[str]) -> None:
        """Give `words`, as far as the vocabulary has them, probability 1 and full weight for one image."""
        for word in words:
            if word in self._columns:
                targets.probability[index, self._columns[word]] = 1
                targets.weight[index, self._columns[word]] = 1
