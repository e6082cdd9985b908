"""Stage 3: teach the decoder to see: connector, tag tokens and LoRA, on every kind of exchange at once.

    python -m training.connector --data DATA --work WORK --decoder DECODER --name NAME [--steps N] …

Writes `WORK/runs/NAME/`: a checkpoint every few minutes (the same command resumes from it), a log of losses, and at the
end `weights.safetensors` and `dev.json`. The same command runs on a GPU (`--device cuda`).
"""

import argparse
import dataclasses
import json
import math
import random
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from assistant.pocket.efficientnet import IMAGENET_CLASSES
from assistant.pocket.eyes import Connector, PocketEyesConfig, Tagger
from training.data import COLLECTIONS, read_annotations
from training.decoder import Decoder
from training.features import load_tower
from training.names import EVERYDAY, family, with_article
from training.questions import Companions, Exchange, about_captions, about_room, about_thing
from training.rows import Batch, Row, RowBuilder, collate
from training.words import COLOURS as WORD_COLOURS
from training.words import HeadOnly, Photos, Vocabulary, hold_out

SEED = 20261123
# Half of every batch is not Flickr: a decoder that sees only people and dogs says people and dogs.
MIX = {"flickr8k": 0.56, "caltech101": 0.19, "imagenet1000": 0.125, "daquar": 0.125}
DOG_WORDS = ("dog", "dogs", "puppy", "puppies", "poodle", "terrier", "retriever", "greyhound", "greyhounds", "collie", "doberman", "shepherd", "pitbull", "lab", "german")


@dataclass(frozen=True)
class Recipe:
    """What is trained and how; the trials differ in these."""

    grid: int = 7
    rank: int = 16
    alpha: float = 32.0
    positions: bool = True
    tags: bool = True
    mix: bool = True
    """Every collection and task; without it, Flickr captions alone."""
    steps: int = 900
    batch: int = 16
    length: int = 256
    connector_rate: float = 1.0e-3
    lora_rate: float = 4.0e-4
    warmup: int = 40
    tag_dropout: float = 0.08
    picture_dropout: float = 0.04
    chatter: float = 0.1
    """How many rows hold a question that is not about the photo, answered as the untouched decoder would."""
    substitution: float = 0.12
    """How many dog photos become another animal by their tags and words, so that tags are believed."""


class Eyes(nn.Module):
    """The trained parts of `PocketEyes`, fed with features and probabilities computed before."""

    def __init__(self, recipe: Recipe, vocabulary: Vocabulary, class_names: list[str], tokenizer: Tokenizer, embedding: Tensor) -> None:
        super().__init__()
        slots = {} if recipe.tags else {"class_slots": 0, "word_slots": 0}
        self.config = PocketEyesConfig(grid=recipe.grid, positions=recipe.positions, vocabulary=len(vocabulary.words), **slots)
        self.connector = Connector(self.config)
        self.tagger = Tagger(self.config)
        with torch.no_grad():
            # Start near the size of the decoder's own embeddings, with tags exactly them.
            self.connector.down.weight *= 0.3
            nn.init.zeros_(self.tagger.confidence.weight)
            nn.init.zeros_(self.tagger.confidence.bias)
            nn.init.zeros_(self.tagger.kind.weight)
            if self.connector.position is not None:
                nn.init.normal_(self.connector.position, std=0.02)
            table, lengths = tag_table(class_names + vocabulary.words, tokenizer, embedding, self.config.pieces)
            self.tagger.table.copy_(table)
            self.tagger.lengths.copy_(lengths)

    def forward(self, features: Tensor, classes: Tensor, words: Tensor, keep_picture: Tensor, keep_tags: Tensor) -> Tensor:
        """Tokens (batch, tokens, width); a picture or its tags not kept is zeros."""
        visual = self.connector(features) * keep_picture[:, None, None]
        if not self.config.class_slots:
            return visual
        return torch.cat([visual, self.tagger(classes, words) * keep_tags[:, None, None]], 1)

    def trained_state(self) -> dict[str, Tensor]:
        """What is kept: all but the table, which comes from the decoder."""
        return {name: value for name, value in self.state_dict().items() if name not in ("tagger.table", "tagger.lengths")}


def tag_table(names: list[str], tokenizer: Tokenizer, embedding: Tensor, pieces: int) -> tuple[Tensor, Tensor]:
    """The decoder's embeddings of each name's tokens (names, pieces, width), and how many each has."""
    table = torch.zeros(len(names), pieces, embedding.shape[1])
    lengths = torch.zeros(len(names), dtype=torch.long)
    for row, name in enumerate(names):
        ids = tokenizer.encode(f" {name}", add_special_tokens=False).ids[:pieces]
        table[row, : len(ids)] = embedding[ids].float()
        lengths[row] = len(ids)
    return table, lengths


@dataclass
class Sample:
    """One photo as a step sees it."""

    collection: str
    row: int
    mirrored: bool
    exchanges: list[Exchange]
    tags_as: tuple[int, float] | None = None
    """If its animal was replaced: by which ImageNet class, and how sure."""


class Lessons:
    """Draws photos and what to say about them."""

    def __init__(self, data: Path, work: Path, photos: Photos, class_probability: dict[str, Tensor], recipe: Recipe) -> None:
        annotations = {name: read_annotations(data, name) for name in COLLECTIONS}
        self.recipe = recipe
        self.class_probability = class_probability
        order = {name: {photo: row for row, photo in enumerate(photos.names[name])} for name in COLLECTIONS}
        self.captions = {order["flickr8k"][r["image"]]: r["captions"] for r in annotations["flickr8k"]}
        split = {order["flickr8k"][r["image"]]: r["split"] for r in annotations["flickr8k"]}
        self.companions = Companions([self.captions[row] for row in sorted(split) if split[row] == "train"])
        self.class_names = [r["name"] for r in annotations["imagenet1000"]]
        self.class_of = {order["imagenet1000"][r["image"]]: index for index, r in enumerate(annotations["imagenet1000"])}
        self.category = {order["caltech101"][r["image"]]: r["name"] for r in annotations["caltech101"]}
        self.rooms: dict[int, list[tuple[str, str]]] = defaultdict(list)
        train: dict[str, list[int]] = {"flickr8k": [row for row in sorted(split) if split[row] == "train"]}
        rooms_train: set[int] = set()
        for r in annotations["daquar"]:
            row = order["daquar"][r["image"]]
            self.rooms[row].append((r["question"], r["answer"]))
            if r["split"] == "train":
                rooms_train.add(row)
        everyday = torch.tensor([row for row in range(len(photos.names["caltech101"])) if self._caltech_split(annotations, photos, row)])
        held, kept = hold_out(everyday)
        rooms = sorted(rooms_train)
        random.Random(SEED).shuffle(rooms)
        things = list(range(len(self.class_of)))
        random.Random(SEED).shuffle(things)
        train["caltech101"] = kept.tolist()
        train["daquar"] = rooms[80:]
        train["imagenet1000"] = things[100:]
        lines = (work / "chatter.jsonl").read_text().splitlines()
        self.chatter = [
            Exchange(line["question"], [line["answer"]], "chatter", complete=not line["cut"]) for line in map(json.loads, lines)
        ]
        self.train = train
        self.dev = {"flickr8k": [row for row in sorted(split) if split[row] == "dev"], "caltech101": held.tolist(), "daquar": rooms[:80], "imagenet1000": things[:100]}

    def _caltech_split(self, annotations: dict[str, list[dict[str, Any]]], photos: Photos, row: int) -> bool:
        if not hasattr(self, "_caltech"):
            self._caltech = {r["image"]: r["split"] == "train" for r in annotations["caltech101"]}
        return self._caltech[photos.names["caltech101"][row]]

    def exchanges(self, collection: str, row: int, rng: random.Random) -> list[Exchange]:
        """Everything to be said about a photo, in the order in which it should fill a row."""
        if collection == "flickr8k":
            exchanges = about_captions(self.captions[row], self.companions, rng)
            return exchanges if self.recipe.mix else exchanges[:1]
        if collection == "daquar":
            return about_room(self.rooms[row], self.companions, rng)
        if collection == "caltech101":
            name = EVERYDAY[self.category[row]][0]
            return about_thing(name, None, True, name, self.companions, rng)
        index = self.class_of[row]
        probability = self.class_probability["imagenet1000"][row, 0]
        best = int(probability.argmax())
        sure = best == index or float(probability[index]) > 0.25
        return about_thing(self.class_names[index], family(index), sure, self.class_names[best], self.companions, rng)

    def draw(self, rng: random.Random) -> Sample:
        """A random training photo with what to say about it."""
        collection = rng.choices(list(MIX), list(MIX.values()))[0] if self.recipe.mix else "flickr8k"
        row = rng.choice(self.train[collection])
        exchanges = self.exchanges(collection, row, rng)
        if self.recipe.mix and rng.random() < self.recipe.chatter:
            exchanges.insert(1, rng.choice(self.chatter))
        sample = Sample(collection, row, rng.random() < 0.5, exchanges)
        if collection == "flickr8k" and self.recipe.tags and self.recipe.mix and rng.random() < 3 * self.recipe.substitution:
            self._substitute(sample, rng)
        return sample

    def _substitute(self, sample: Sample, rng: random.Random) -> None:
        """Turn a photo of one dog into one of another animal, in what is said and in its tags; the map is withheld."""
        captions = self.captions[sample.row]
        if sum(" dog " in caption.lower() for caption in captions) < 4 or any(" dogs" in caption.lower() for caption in captions):
            return
        index = rng.choice([i for i in range(398) if family(i) != "dog"])
        animal = family(index) if family(index) and rng.random() < 0.3 else self.class_names[index]
        assert animal is not None
        swapped = []
        for caption in captions:
            text = caption.replace("A dog", with_article(animal).capitalize() if animal[0].islower() else f"A {animal}").replace("a dog", with_article(animal)).replace(" dog", f" {animal}")
            if not any(f" {word} " in f" {text.lower()} " for word in DOG_WORDS):
                swapped.append(text)
        if len(swapped) < 2:
            return
        sample.exchanges = [
            about_captions(swapped, self.companions, rng)[0],
            Exchange(rng.choice(("What is this?", "What animal is this?")), [f"{with_article(animal).capitalize() if animal[0].islower() else with_article(animal)}."], "name"),
            Exchange("Is there a dog?", ["No."], "there"),
        ]
        sample.exchanges[1].answers = [sample.exchanges[1].answers[0][0].upper() + sample.exchanges[1].answers[0][1:]]
        sample.tags_as = (index, rng.uniform(0.3, 0.98))


class Trainer:
    """One run: data, model, optimizer, and how far it is."""

    def __init__(self, arguments: argparse.Namespace, recipe: Recipe) -> None:
        self.recipe = recipe
        self.device = torch.device(arguments.device)
        torch.manual_seed(SEED)
        tower = load_tower(arguments.tower, "lite2", "cpu")
        self.photos = Photos(arguments.work, HeadOnly(tower))
        self.vocabulary = Vocabulary.load(arguments.work / "words" / "vocabulary.json")
        self.word_probability = load_file(arguments.work / "words" / "probabilities.safetensors")
        self.class_probability = class_probabilities(arguments.work, self.photos, tower)
        self.lessons = Lessons(arguments.data, arguments.work, self.photos, self.class_probability, recipe)
        self.tokenizer = Tokenizer.from_file(str(arguments.decoder / "tokenizer.json"))
        self.decoder = Decoder(arguments.decoder, recipe.rank, recipe.alpha).to(self.device)
        self.eyes = Eyes(recipe, self.vocabulary, self.lessons.class_names, self.tokenizer, self.decoder.embedding.cpu()).to(self.device)
        self.builder = RowBuilder(self.tokenizer, self.eyes.config.tokens, recipe.length)
        if arguments.compile:
            for index, layer in enumerate(self.decoder.layers):
                self.decoder.layers[index] = torch.compile(layer, dynamic=False)
        self.dog_words = [self.vocabulary.words.index(word) for word in DOG_WORDS if word in self.vocabulary.words]

    def parameters(self) -> list[dict[str, Any]]:
        lora = [parameter for name, parameter in self.decoder.named_parameters() if parameter.requires_grad]
        eyes = [parameter for parameter in self.eyes.parameters() if parameter.requires_grad]
        groups = [{"params": eyes, "lr": self.recipe.connector_rate}]
        return [*groups, {"params": lora, "lr": self.recipe.lora_rate}] if lora else groups

    def picture_tokens(self, samples: list[Sample], rng: random.Random, training: bool) -> Tensor:
        """The eyes' tokens of each sample's photo (batch, tokens, width)."""
        features, classes, words = [], [], []
        keep_picture, keep_tags = torch.ones(len(samples)), torch.ones(len(samples))
        for number, sample in enumerate(samples):
            features.append(self.photos.features(sample.collection, torch.tensor([sample.row]), torch.tensor([sample.mirrored])))
            class_probability = self.class_probability[sample.collection][sample.row, int(sample.mirrored)].float().clone()
            word_probability = self.word_probability[sample.collection][sample.row, int(sample.mirrored)].float().clone()
            if sample.tags_as:
                index, sure = sample.tags_as
                rest = class_probability * (torch.rand(IMAGENET_CLASSES) < 0.02)
                class_probability = rest / rest.sum().clamp(min=1e-6) * (1 - sure)
                class_probability[index] = sure
                word_probability[self.dog_words] *= 0.02
                keep_picture[number] = 0
            if training:
                roll = rng.random()
                if roll < self.recipe.tag_dropout:
                    keep_tags[number] = 0
                elif roll < self.recipe.tag_dropout + self.recipe.picture_dropout:
                    keep_picture[number] = 0
                # A word may be missed and a wrong one be seen.
                word_probability *= (torch.rand(len(word_probability)) > 0.04).float()
            classes.append(class_probability)
            words.append(word_probability)
        tokens: Tensor = self.eyes(
            torch.cat(features).float().to(self.device), torch.stack(classes).to(self.device), torch.stack(words).to(self.device),
            keep_picture.to(self.device), keep_tags.to(self.device),
        )  # fmt: skip
        return tokens

    def losses(self, samples: list[Sample], rows: list[Row], rng: random.Random, training: bool) -> tuple[Batch, Tensor, Tensor]:
        """The batch, the loss of every token to predict, and whether the likeliest token was the right one."""
        batch = collate(rows, self.recipe.length, torch.bfloat16)
        with torch.autocast(self.device.type, torch.bfloat16):
            pictures = self.picture_tokens(samples, rng, training).to(torch.bfloat16)
        embeddings = F.embedding(batch.tokens.to(self.device), self.decoder.embedding)
        embeddings = embeddings.masked_scatter(batch.pictures.to(self.device)[..., None], pictures)
        hidden = self.decoder(embeddings, batch.positions.to(self.device), batch.mask.to(self.device))
        logits = self.decoder.logits(hidden.flatten(0, 1)[batch.predictors.to(self.device)])
        targets = batch.targets.to(self.device)
        losses = F.cross_entropy(logits.float(), targets, reduction="none")
        return batch, losses, torch.empty(0) if training else logits.argmax(-1) == targets


def class_probabilities(work: Path, photos: Photos, tower: Any) -> dict[str, Tensor]:
    """The tower's own ImageNet probabilities of every photo, (photos, 2, 1000) float16; computed once."""
    path = work / "classes.safetensors"
    if not path.exists():
        out: dict[str, Tensor] = {}
        for name in COLLECTIONS:
            rows = torch.arange(len(photos.names[name]))
            sides = []
            for mirrored in (False, True):
                parts = []
                for chunk in rows.split(64):
                    with torch.inference_mode():
                        features = photos.features(name, chunk, torch.full((len(chunk),), mirrored))
                        parts.append(tower.class_logits(features).float().softmax(-1).half())
                sides.append(torch.cat(parts))
            out[name] = torch.stack(sides, 1).contiguous()
        save_file(out, path)
    return load_file(path)


@torch.no_grad()
def judge(trainer: Trainer, photos: int = 240) -> dict[str, float]:
    """Dev figures without generating: a greedy answer is right exactly if each of its tokens is the likeliest given the ones before."""
    rng = random.Random(SEED + 1)
    figures: dict[str, list[float]] = defaultdict(list)
    for collection, rows in trainer.lessons.dev.items():
        if not trainer.recipe.mix and collection != "flickr8k":
            continue
        chosen = rows[:photos]
        for first in range(0, len(chosen) - trainer.recipe.batch + 1, trainer.recipe.batch):
            samples = [Sample(collection, row, False, trainer.lessons.exchanges(collection, row, rng)) for row in chosen[first : first + trainer.recipe.batch]]
            built = [trainer.builder.build(sample.exchanges) for sample in samples]
            batch, losses, right = trainer.losses(samples, built, rng, training=False)
            whole: dict[int, bool] = defaultdict(lambda: True)
            task_of: dict[int, str] = {}
            for position, (task, answer) in enumerate(zip(batch.tasks, batch.answers.tolist(), strict=True)):
                whole[answer] &= bool(right[position])
                task_of[answer] = task
                if task in ("caption", "long"):
                    figures[f"{task} loss"].append(float(losses[position]))
            for answer, task in task_of.items():
                if task not in ("caption", "long"):
                    figures[f"{collection} {task}"].append(float(whole[answer]))
    return {name: round(float(np.mean(values)), 4) for name, values in sorted(figures.items())}


def rate(step: int, recipe: Recipe) -> float:
    """Warm-up, then a cosine to a twentieth."""
    if step < recipe.warmup:
        return (step + 1) / recipe.warmup
    progress = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def train(arguments: argparse.Namespace, recipe: Recipe) -> None:
    """Run to the end, from the last checkpoint if there is one."""
    run = arguments.work / "runs" / arguments.name
    run.mkdir(parents=True, exist_ok=True)
    (run / "recipe.json").write_text(json.dumps(dataclasses.asdict(recipe), indent=1))
    trainer = Trainer(arguments, recipe)
    optimizer = torch.optim.AdamW(trainer.parameters(), weight_decay=0.01, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, recipe))
    step = 0
    checkpoint = run / "checkpoint.pt"
    trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        for parameter, value in zip(trained, state["trained"], strict=True):
            parameter.data.copy_(value)
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        step = state["step"]
    started, saved = time.monotonic(), time.monotonic()
    recent: dict[str, list[float]] = defaultdict(list)
    with (run / "log.jsonl").open("a") as log:
        while step < recipe.steps:
            rng = random.Random(SEED * 1_000_003 + step)
            torch.manual_seed(SEED + step)
            samples = [trainer.lessons.draw(rng) for _ in range(recipe.batch)]
            rows = [trainer.builder.build(sample.exchanges) for sample in samples]
            batch, losses, _ = trainer.losses(samples, rows, rng, training=True)
            weights = batch.weights.to(losses.device)
            loss = (losses * weights).sum() / weights.sum()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            schedule.step()
            step += 1
            for value, task in zip(losses.detach().tolist(), batch.tasks, strict=True):
                recent[task].append(value)
            if step % 10 == 0 or step == recipe.steps:
                means = {task: round(float(np.mean(values)), 3) for task, values in sorted(recent.items())}
                line = {"step": step, "seconds": round(time.monotonic() - started, 1), "answers": len(set(batch.answers.tolist())), **means}
                log.write(json.dumps(line) + "\n")
                log.flush()
                recent.clear()
            if time.monotonic() - saved > 240:
                partial = checkpoint.with_suffix(".partial")
                torch.save({"trained": [p.data for p in trained], "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict(), "step": step}, partial)
                partial.rename(checkpoint)
                saved = time.monotonic()
    save_file({f"eyes.{k}": v.cpu().contiguous() for k, v in trainer.eyes.trained_state().items()} | {f"decoder.{k}": v.cpu().contiguous() for k, v in trainer.decoder.lora_state().items()}, run / "weights.safetensors")
    figures = judge(trainer)
    (run / "dev.json").write_text(json.dumps(figures, indent=1))
    print(arguments.name, json.dumps(figures), f"{time.monotonic() - started:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--tower", type=Path, required=True, help="the .pth file out of the tower's wheel")
    parser.add_argument("--decoder", type=Path, required=True, help="a transformers folder with the dequantized decoder")
    parser.add_argument("--name", required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True, help="needs a C++ compiler; three times as fast on a CPU")
    for option in dataclasses.fields(Recipe):
        kind = type(option.default)
        if kind is bool:
            parser.add_argument(f"--{option.name.replace('_', '-')}", action=argparse.BooleanOptionalAction, default=option.default)
        else:
            parser.add_argument(f"--{option.name.replace('_', '-')}", type=kind, default=option.default)
    arguments = parser.parse_args()
    recipe = Recipe(**{option.name: getattr(arguments, option.name) for option in dataclasses.fields(Recipe)})
    train(arguments, recipe)


if __name__ == "__main__":
    main()
