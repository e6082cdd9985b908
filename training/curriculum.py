"""What is said about which photo: the training photos, drawn in a fixed mix, with their exchanges."""

import json
import random
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from training import blends, synthetic_images
from training.data import COLLECTIONS, read_annotations
from training.names import EVERYDAY, family, with_article
from training.questions import Companions, Exchange, about_captions, about_room, about_thing
from training.recipe import DEV_ROOMS, SEED, Recipe
from training.words import Photos, hold_out

# Most of every batch is not Flickr: a decoder that sees only people and dogs says people and dogs. Rooms are few and
# asked about in thousands of ways, so each is seen often.
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


@dataclass
class Sample:
    """One photo as a step sees it."""

    collection: str
    row: int
    mirrored: bool
    exchanges: list[Exchange]
    tags_as: tuple[int, float] | None = None
    """If its animal was replaced: by which ImageNet class, and how sure."""
    exact: bool = False
    """Whether it is seen as it is, with nothing of it withheld to make training harder."""


class Lessons:
    """Draws photos and what to say about them."""

    def __init__(
        self, data: Path, work: Path, photos: Photos, class_probability: dict[str, Tensor], recipe: Recipe
    ) -> None:
        annotations = {name: read_annotations(data, name) for name in COLLECTIONS}
        self.recipe = recipe
        self.class_probability = class_probability
        order = {name: {photo: row for row, photo in enumerate(photos.names[name])} for name in COLLECTIONS}
        self.captions = {order["flickr8k"][r["image"]]: r["captions"] for r in annotations["flickr8k"]}
        split = {order["flickr8k"][r["image"]]: r["split"] for r in annotations["flickr8k"]}
        self.companions = Companions([self.captions[row] for row in sorted(split) if split[row] == "train"])
        self.class_names = [r["name"] for r in annotations["imagenet1000"]]
        self.class_of = {
            order["imagenet1000"][r["image"]]: index for index, r in enumerate(annotations["imagenet1000"])
        }
        self.category = {order["caltech101"][r["image"]]: r["name"] for r in annotations["caltech101"]}
        self.rooms: dict[int, list[tuple[str, str]]] = defaultdict(list)
        train: dict[str, list[int]] = {"flickr8k": [row for row in sorted(split) if split[row] == "train"]}
        rooms_train: set[int] = set()
        for r in annotations["daquar"]:
            row = order["daquar"][r["image"]]
            self.rooms[row].append((r["question"], r["answer"]))
            if r["split"] == "train":
                rooms_train.add(row)
        in_training = {r["image"]: r["split"] == "train" for r in annotations["caltech101"]}
        everyday = torch.tensor(
            [row for row in range(len(photos.names["caltech101"])) if in_training[photos.names["caltech101"][row]]]
        )
        held, kept = hold_out(everyday)
        rooms = sorted(rooms_train)
        random.Random(SEED).shuffle(rooms)
        things = list(range(len(self.class_of)))
        random.Random(SEED).shuffle(things)
        train["caltech101"] = kept.tolist()
        train["daquar"] = rooms[DEV_ROOMS:]
        train["imagenet1000"] = things[100:]
        train["drawings"] = list(range(synthetic_images.COUNT - synthetic_images.DEV))
        train["blends"] = list(range(blends.COUNT - blends.DEV))
        lines = (work / "chatter.jsonl").read_text().splitlines()
        self.chatter = [
            Exchange(line["question"], [line["answer"]], "chatter", complete=not line["cut"])
            for line in map(json.loads, lines)
        ]
        self.train = train
        self.dev = {
            "flickr8k": [row for row in sorted(split) if split[row] == "dev"],
            "caltech101": held.tolist(),
            "daquar": rooms[:DEV_ROOMS],
            "imagenet1000": things[:100],
            "drawings": list(range(synthetic_images.COUNT - synthetic_images.DEV, synthetic_images.COUNT)),
            "blends": list(range(blends.COUNT - blends.DEV, blends.COUNT)),
        }

    def exchanges(self, collection: str, row: int, rng: random.Random) -> list[Exchange]:
        """Everything to be said about a photo, in the order in which it should fill a row."""
        if collection == "flickr8k":
            exchanges = about_captions(self.captions[row], self.companions, rng)
            return exchanges if self.recipe.mix else exchanges[:1]
        if collection == "daquar":
            return about_room(self.rooms[row], self.companions, rng)
        if collection == "caltech101":
            name = EVERYDAY[self.category[row]][0]
            return about_thing(name, None, None, rng)
        if collection == "drawings":
            return synthetic_images.exchanges(synthetic_images.draw(row), rng)
        if collection == "blends":
            likeliest = int(self.class_probability["blends"][row, 0].argmax())
            return blends.exchanges(self.class_names[likeliest], rng)
        index = self.class_of[row]
        probability = self.class_probability["imagenet1000"][row, 0]
        best = int(probability.argmax())
        sure = best == index or float(probability[index]) > 0.25
        return about_thing(self.class_names[index], family(index), None if sure else self.class_names[best], rng)

    def draw(self, rng: random.Random) -> Sample:
        """A random training photo with what to say about it."""
        collection = rng.choices(list(MIX), list(MIX.values()))[0] if self.recipe.mix else "flickr8k"
        row = rng.choice(self.train[collection])
        exchanges = self.exchanges(collection, row, rng)
        if self.recipe.mix and rng.random() < self.recipe.chatter:
            exchanges.insert(1, rng.choice(self.chatter))
        sample = Sample(collection, row, rng.random() < 0.5, exchanges)
        if (
            collection == "flickr8k"
            and self.recipe.tags
            and self.recipe.mix
            and rng.random() < self.recipe.substitution
        ):
            self._substitute(sample, rng)
        return sample

    def captioned(self, rng: random.Random) -> Sample:
        """A random training photo that people described, as it is."""
        return Sample("flickr8k", rng.choice(self.train["flickr8k"]), rng.random() < 0.5, [], exact=True)

    def _substitute(self, sample: Sample, rng: random.Random) -> None:
        """Turn a photo of one dog into one of another animal, in what is said and in its tags; the map is withheld."""
        captions = self.captions[sample.row]
        if sum(" dog " in caption.lower() for caption in captions) < 4 or any(
            " dogs" in caption.lower() for caption in captions
        ):
            return
        index = rng.choice([i for i in range(398) if family(i) != "dog"])
        animal = family(index) if family(index) and rng.random() < 0.3 else self.class_names[index]
        assert animal is not None
        swapped = []
        for caption in captions:
            text = (
                caption.replace("A dog", with_article(animal).capitalize() if animal[0].islower() else f"A {animal}")
                .replace("a dog", with_article(animal))
                .replace(" dog", f" {animal}")
            )
            if not any(f" {word} " in f" {text.lower()} " for word in DOG_WORDS):
                swapped.append(text)
        if len(swapped) < 2:
            return
        sample.exchanges = [
            about_captions(swapped, self.companions, rng)[0],
            Exchange(
                rng.choice(("What is this?", "What animal is this?")),
                [f"{with_article(animal).capitalize() if animal[0].islower() else with_article(animal)}."],
                "name",
            ),
            Exchange("Is there a dog?", ["No."], "there"),
        ]
        sample.exchanges[1].answers = [sample.exchanges[1].answers[0][0].upper() + sample.exchanges[1].answers[0][1:]]
        sample.tags_as = (index, rng.uniform(0.3, 0.98))
