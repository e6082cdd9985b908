"""The training mix of stage 3: training images, sampled in fixed proportions, with their exchanges."""

import json
import random
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from training import blends, synthetic_images
from training.caption_rules import Cooccurrence
from training.data import DATASETS, read_annotations
from training.features import FeatureStore
from training.names import ACCEPTED_NAMES, imagenet_family, with_article
from training.questions import Exchange, caption_exchanges, object_exchanges, room_exchanges, uncertain_exchanges
from training.recipe import SEED, Recipe
from training.splits import hold_out_rooms, hold_out_tenth

# Most images are not from Flickr8k: a decoder that sees only people and dogs says people and dogs. Rooms are few and
# have thousands of questions, so each is seen often.
MIX = {"flickr8k": 0.28, "caltech101": 0.12, "imagenet1000": 0.1, "daquar": 0.34, "drawings": 0.1, "blends": 0.06}
DOG_WORDS = (
    "dog",
    "dogs",
    "puppy",
    "puppies",
    "poodle",
    "terrier",
    "retriever",
    "greyhound",
    "greyhounds",
    "collie",
    "doberman",
    "shepherd",
    "pitbull",
    "lab",
    "german",
)
_NUM_DEV_CLASSES = 100
"""ImageNet classes, of one image each, that are held out as dev."""
_NUM_ANIMAL_CLASSES = 398
"""The first ImageNet classes are animals."""


@dataclass
class Sample:
    """One image as a training step uses it.

    Attributes:
        dataset: Key of `MIX`.
        row: Index of the image in its dataset.
        mirrored: True if the image is mirrored.
        exchanges: Exchanges about it, most important first.
        replaced_class: If the dog in it was replaced in captions and tags: the ImageNet class that replaces it, and
            the probability that its tag gets.
        augment: True if visual tokens, tags and words may be dropped in training.
    """

    dataset: str
    row: int
    mirrored: bool
    exchanges: list[Exchange]
    replaced_class: tuple[int, float] | None = None
    augment: bool = True


@dataclass(frozen=True)
class Annotations:
    """Annotations of every dataset, by row.

    Attributes:
        captions: Captions of each Flickr8k image.
        rooms: (question, answer) pairs of each DAQUAR image.
        categories: Category of each Caltech-101 image.
        classes: ImageNet class of each image of imagenet1000.
        class_names: Names of the ImageNet classes.
        splits: Split of each image, "train" if the dataset has none, by dataset.
    """

    captions: dict[int, list[str]]
    rooms: dict[int, list[tuple[str, str]]]
    categories: dict[int, str]
    classes: dict[int, int]
    class_names: list[str]
    splits: dict[str, dict[int, str]]

    @classmethod
    def load(cls, data: Path, store: FeatureStore) -> Self:
        """Read the annotations; rows are indices of the images in `store`."""
        annotations = {name: read_annotations(data, name) for name in DATASETS}
        row_of = {name: {image: row for row, image in enumerate(store.names[name])} for name in DATASETS}
        rooms: dict[int, list[tuple[str, str]]] = defaultdict(list)
        for entry in annotations["daquar"]:
            rooms[row_of["daquar"][entry["image"]]].append((entry["question"], entry["answer"]))
        flickr, caltech, imagenet = row_of["flickr8k"], row_of["caltech101"], row_of["imagenet1000"]
        return cls(
            captions={flickr[entry["image"]]: entry["captions"] for entry in annotations["flickr8k"]},
            rooms=rooms,
            categories={caltech[entry["image"]]: entry["name"] for entry in annotations["caltech101"]},
            classes={imagenet[entry["image"]]: index for index, entry in enumerate(annotations["imagenet1000"])},
            class_names=[entry["name"] for entry in annotations["imagenet1000"]],
            splits={
                name: {row_of[name][entry["image"]]: entry.get("split", "train") for entry in entries}
                for name, entries in annotations.items()
            },
        )

    def rows(self, dataset: str, split: str) -> list[int]:
        """Return the rows of a split, sorted."""
        return sorted(row for row, value in self.splits[dataset].items() if value == split)


class Curriculum:
    """Samples training images and builds their exchanges.

    Attributes:
        annotations: Annotations of every dataset.
        class_probabilities: The tower's class probabilities (images, 2, 1000) of each dataset.
        train: Training rows of each key of `MIX`.
        dev: Rows held out as dev.
    """

    def __init__(
        self, data: Path, work: Path, store: FeatureStore, class_probabilities: dict[str, Tensor], recipe: Recipe
    ) -> None:
        self.annotations = Annotations.load(data, store)
        self.class_probabilities = class_probabilities
        self._recipe = recipe
        self.train, self.dev = self._split()
        captions = self.annotations.captions
        self._cooccurrence = Cooccurrence([captions[row] for row in self.train["flickr8k"]])
        self._replay = [
            Exchange(line["question"], [line["answer"]], "chatter", complete=not line["cut"])
            for line in map(json.loads, (work / "chatter.jsonl").read_text().splitlines())
        ]

    def _split(self) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
        """Return training and dev rows of each key of `MIX`."""
        annotations = self.annotations
        dev_objects, train_objects = hold_out_tenth(torch.tensor(annotations.rows("caltech101", "train")))
        dev_rooms, train_rooms = hold_out_rooms(annotations.rows("daquar", "train"))
        imagenet = list(range(len(annotations.classes)))
        random.Random(SEED).shuffle(imagenet)
        first_dev_image = synthetic_images.NUM_IMAGES - synthetic_images.NUM_DEV
        first_dev_blend = blends.NUM_BLENDS - blends.NUM_DEV
        train = {
            "flickr8k": annotations.rows("flickr8k", "train"),
            "caltech101": train_objects.tolist(),
            "daquar": train_rooms,
            "imagenet1000": imagenet[_NUM_DEV_CLASSES:],
            "drawings": list(range(first_dev_image)),
            "blends": list(range(first_dev_blend)),
        }
        dev = {
            "flickr8k": annotations.rows("flickr8k", "dev"),
            "caltech101": dev_objects.tolist(),
            "daquar": dev_rooms,
            "imagenet1000": imagenet[:_NUM_DEV_CLASSES],
            "drawings": list(range(first_dev_image, synthetic_images.NUM_IMAGES)),
            "blends": list(range(first_dev_blend, blends.NUM_BLENDS)),
        }
        return train, dev

    def exchanges(self, dataset: str, row: int, rng: random.Random) -> list[Exchange]:
        """Return all exchanges about an image, in the order in which they should fill a sequence."""
        annotations = self.annotations
        if dataset == "flickr8k":
            exchanges = caption_exchanges(annotations.captions[row], self._cooccurrence, rng)
            return exchanges if self._recipe.mix else exchanges[:1]
        if dataset == "daquar":
            return room_exchanges(annotations.rooms[row], self._cooccurrence, rng)
        if dataset == "caltech101":
            return object_exchanges(ACCEPTED_NAMES[annotations.categories[row]][0], None, rng)
        if dataset == "drawings":
            return synthetic_images.synthetic_exchanges(synthetic_images.draw(row), rng)
        if dataset == "blends":
            best = int(self.class_probabilities["blends"][row, 0].argmax())
            return uncertain_exchanges(annotations.class_names[best], rng)
        index = annotations.classes[row]
        probabilities = self.class_probabilities["imagenet1000"][row, 0]
        best = int(probabilities.argmax())
        if best != index and float(probabilities[index]) <= 0.25:
            # The tags will be wrong: teach doubt instead of a name that the model cannot know.
            return uncertain_exchanges(annotations.class_names[best], rng)
        return object_exchanges(annotations.class_names[index], imagenet_family(index), rng)

    def sample(self, rng: random.Random) -> Sample:
        """Sample a training image with its exchanges."""
        recipe = self._recipe
        dataset = rng.choices(list(MIX), list(MIX.values()))[0] if recipe.mix else "flickr8k"
        row = rng.choice(self.train[dataset])
        exchanges = self.exchanges(dataset, row, rng)
        if recipe.mix and rng.random() < recipe.chatter:
            exchanges.insert(1, rng.choice(self._replay))
        sample = Sample(dataset, row, rng.random() < 0.5, exchanges)
        if dataset == "flickr8k" and recipe.tags and recipe.mix and rng.random() < recipe.substitution:
            self._replace_dog(sample, rng)
        return sample

    def sample_for_reward(self, rng: random.Random) -> Sample:
        """Sample a captioned training image without exchanges, which is not augmented."""
        return Sample("flickr8k", rng.choice(self.train["flickr8k"]), rng.random() < 0.5, [], augment=False)

    def _replace_dog(self, sample: Sample, rng: random.Random) -> None:
        """Turn an image of one dog into one of another animal, in its captions and tags. Do nothing with other images.

        Visual tokens show the dog, so `VisionInputs` zeroes them.
        """
        captions = self.annotations.captions[sample.row]
        about_one_dog = sum(" dog " in caption.lower() for caption in captions) >= 4
        if not about_one_dog or any(" dogs" in caption.lower() for caption in captions):
            return
        index = rng.choice([i for i in range(_NUM_ANIMAL_CLASSES) if imagenet_family(i) != "dog"])
        family = imagenet_family(index)
        animal = family if family and rng.random() < 0.3 else self.annotations.class_names[index]
        replaced = [text for text in (_replace_dog_in(caption, animal) for caption in captions) if text]
        if len(replaced) < 2:
            return
        caption = caption_exchanges(replaced, self._cooccurrence, rng)[0]
        named = with_article(animal).capitalize() if animal[0].islower() else with_article(animal)
        question = rng.choice(("What is this?", "What animal is this?"))
        sample.exchanges = [
            caption,
            Exchange(question, [f"{named[0].upper()}{named[1:]}."], "name"),
            Exchange("Is there a dog?", ["No."], "there"),
        ]
        sample.replaced_class = (index, rng.uniform(0.3, 0.98))


def _replace_dog_in(caption: str, animal: str) -> str | None:
    """Return a caption with its dog replaced by `animal`; None if a word for a dog remains."""
    at_start = with_article(animal).capitalize() if animal[0].islower() else f"A {animal}"
    text = caption.replace("A dog", at_start).replace("a dog", with_article(animal)).replace(" dog", f" {animal}")
    return None if any(f" {word} " in f" {text.lower()} " for word in DOG_WORDS) else text
