"""Stage 2: a head on the tower that says which words a description of the photo is likely to use.

A decoder this small learns a caption far sooner from words than from feature maps. The words are those of the
training captions, the everyday categories and the answers about rooms; the thousand ImageNet names come from the
tower's own head and need no training. Its predictions for the training photos are made by heads that did not see
them (cross-fitting), so that the next stage meets words as unsure as they will be on new photos.

    python -m training.words --data DATA --work WORK --tower TOWER.pth
"""

import argparse
import json
import re
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from assistant.models.pocket.efficientnet import EfficientNetLite
from assistant.models.pocket.vision_encoder import WordHead
from training.data import COLLECTIONS, read_annotations
from training.features import load_tower
from training.names import EVERYDAY, family

FOLDS = 3
WORD_HIDDEN = 768
SEED = 20261123
LEAST_PHOTOS = 24
ROOM_LEAST_PHOTOS = 12

# Words that say nothing about a picture.
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
"""What a photo of a face may well show, though nobody says so."""


def words_of(text: str) -> list[str]:
    """The lower-case words of `text`."""
    return re.findall(r"[a-z]+(?:-[a-z]+)?", text.lower())


@dataclass(frozen=True)
class Vocabulary:
    """The words a head can say, and how many of the first came from captions."""

    words: list[str]
    captions: int

    def save(self, path: Path) -> None:
        path.write_text(json.dumps({"words": self.words, "captions": self.captions}))

    @classmethod
    def load(cls, path: Path) -> "Vocabulary":
        return cls(**json.loads(path.read_text()))


def build_vocabulary(captions: list[dict[str, Any]], questions: list[dict[str, Any]]) -> Vocabulary:
    """Every caption word seen on enough training photos, then the category names and room objects not among them."""
    photos: Counter[str] = Counter()
    for row in captions:
        if row["split"] == "train":
            # Sorted, so that words that are equally frequent come in the same order each time.
            photos.update(sorted(set(words_of(" ".join(row["captions"])))))
    words = [
        word
        for word, count in photos.most_common()
        if count >= LEAST_PHOTOS and word not in STOP_WORDS and len(word) > 2
    ]
    known = len(words)
    rooms: Counter[str] = Counter()
    for row in questions:
        if row["split"] == "train":
            rooms.update(answer_objects(row["answer"]))
    extra = [names[0] for names in EVERYDAY.values()] + [
        word for word, count in rooms.items() if count >= ROOM_LEAST_PHOTOS
    ]
    words += [word for word in dict.fromkeys(extra) if word not in set(words)]
    return Vocabulary(words, known)


def answer_objects(answer: str) -> list[str]:
    """The things named by a room answer: "garbage_bin, chair" gives two."""
    things = (thing.strip().replace("_", " ") for thing in answer.split(","))
    return [thing for thing in things if thing and not thing.isdigit() and thing not in COLOURS]


@dataclass
class Targets:
    """What is known of each photo: for each word a probability, and how much that is trusted (0: unknown)."""

    probability: Tensor
    trust: Tensor


def targets_for(name: str, photos: list[str], rows: list[dict[str, Any]], vocabulary: Vocabulary) -> Targets:
    """Targets of one collection, in the order of `photos`."""
    targets = Targets(*(torch.zeros(len(photos), len(vocabulary.words)) for _ in range(2)))
    index = {word: position for position, word in enumerate(vocabulary.words)}
    row_of = {photo: position for position, photo in enumerate(photos)}
    if name == "flickr8k":
        _from_captions(targets, rows, row_of, index, vocabulary.captions)
    elif name == "daquar":
        _from_rooms(targets, rows, row_of, index, vocabulary.captions)
    else:
        kinds = [None if name == "caltech101" else family(position) for position in range(len(rows))]
        names = [EVERYDAY[row["name"]][0] if name == "caltech101" else row["name"] for row in rows]
        surely_not = _everyday(index) if name == "caltech101" else []
        positions = [row_of[row["image"]] for row in rows]
        _from_things(targets, positions, names, kinds, index, slice(vocabulary.captions), surely_not)
    return targets


def _everyday(index: dict[str, int]) -> list[int]:
    return [index[names[0]] for names in EVERYDAY.values()]


def _from_captions(
    targets: Targets, rows: list[dict[str, Any]], row_of: dict[str, int], index: dict[str, int], captions: int
) -> None:
    """A word is as likely as captions use it."""
    targets.trust[:, :captions] = 1
    targets.trust[:, _everyday(index)] = 1
    for row in rows:
        for caption in row["captions"]:
            for word in set(words_of(caption)) & index.keys():
                targets.probability[row_of[row["image"]], index[word]] += 1 / len(row["captions"])


def _from_rooms(
    targets: Targets, rows: list[dict[str, Any]], row_of: dict[str, int], index: dict[str, int], captions: int
) -> None:
    """A room answer names what is there; what nobody asked about may still be there."""
    targets.trust[:, _everyday(index)] = 0.2
    targets.trust[:, :captions] = 0.05
    targets.trust[:, captions:] = 0.2
    for row in rows:
        position = row_of[row["image"]]
        for thing in answer_objects(row["answer"]):
            if thing in index:
                targets.probability[position, index[thing]] = 1
                targets.trust[position, index[thing]] = 1


def _from_things(
    targets: Targets,
    positions: list[int],
    names: list[str],
    kinds: list[str | None],
    index: dict[str, int],
    hardly: slice,
    surely_not: list[int],
) -> None:
    """A photo of one thing: it is that thing, `hardly` one of the caption words and `surely_not` another category."""
    targets.trust[:, hardly] = 0.5
    targets.trust[:, [index[colour] for colour in COLOURS if colour in index]] = 0
    targets.trust[:, surely_not] = 1
    for position, name, kind in zip(positions, names, kinds, strict=True):
        for word in (name, kind, *words_of(name)):
            if word in index:
                targets.probability[position, index[word]] = 1
                targets.trust[position, index[word]] = 1
        if name == "face":
            targets.trust[position, [index[word] for word in FACE_WORDS]] = 0


class Photos:
    """The neck maps of every collection as one indexed set, with the tower's head applied on the way out."""

    def __init__(self, work: Path, head: nn.Module) -> None:
        self.maps = {name: np.load(work / "features" / f"{name}.npy", mmap_mode="r") for name in COLLECTIONS}
        self.names = {name: json.loads((work / "features" / f"{name}.json").read_text()) for name in COLLECTIONS}
        self.head = head

    def features(self, name: str, rows: Tensor, mirrored: Tensor) -> Tensor:
        """The 1280-wide maps of photos `rows`, each as it is or `mirrored`, in bfloat16."""
        maps = self.maps[name][rows.numpy(), mirrored.long().numpy()]
        with torch.inference_mode():
            features: Tensor = self.head(torch.from_numpy(maps).to(torch.bfloat16))
        return features.clone()


class WordData:
    """Photos with their targets, split into what trains a head and what judges it."""

    def __init__(self, data: Path, photos: Photos) -> None:
        annotations = {name: read_annotations(data, name) for name in COLLECTIONS}
        self.photos = photos
        self.vocabulary = build_vocabulary(annotations["flickr8k"], annotations["daquar"])
        self.targets: dict[str, Targets] = {}
        self.split: dict[str, list[str]] = {}
        for name, rows in annotations.items():
            split_of = {row["image"]: row.get("split", "train") for row in rows}
            self.split[name] = [split_of[photo] for photo in photos.names[name]]
            self.targets[name] = targets_for(name, photos.names[name], rows, self.vocabulary)

    def rows(self, name: str, split: str) -> Tensor:
        """The rows of a collection that belong to `split`."""
        return torch.tensor([row for row, value in enumerate(self.split[name]) if value == split], dtype=torch.long)


def batches(
    data: WordData, rows: dict[str, Tensor], size: int, generator: torch.Generator
) -> Iterable[tuple[Tensor, Tensor, Tensor]]:
    """Shuffled batches (features, probability, trust), each from one collection, mirrored at random."""
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
        yield data.photos.features(name, chunk, mirrored), targets.probability[chunk], targets.trust[chunk]


def fit(data: WordData, rows: dict[str, Tensor], epochs: int, seed: int, dropout: float = 0.3) -> WordHead:
    """A head trained on `rows` of each collection."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    head = WordHead(len(data.vocabulary.words), WORD_HIDDEN, dropout)
    nn.init.normal_(head.places.weight, std=0.005)
    prior = 0.01
    nn.init.constant_(head.whole.bias, float(np.log(prior / (1 - prior))))
    size = 64
    steps = epochs * sum(-(-len(members) // size) for members in rows.values())
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.5e-3, total_steps=steps, pct_start=0.1)
    for _ in range(epochs):
        for features, probability, trust in batches(data, rows, size, generator):
            with torch.autocast("cpu", torch.bfloat16):
                logits = head(features)
            loss = (
                F.binary_cross_entropy_with_logits(logits.float(), probability, reduction="none") * trust
            ).sum() / len(features)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return head.eval()


@torch.inference_mode()
def predict(head: WordHead, data: WordData, name: str, rows: Tensor, *, mirrored: bool) -> Tensor:
    """Word probabilities (rows, words) in float32."""
    out = []
    for chunk in rows.split(64):
        features = data.photos.features(name, chunk, torch.full((len(chunk),), mirrored))
        with torch.autocast("cpu", torch.bfloat16):
            out.append(head(features).float().sigmoid())
    return torch.cat(out)


def average_precision(scores: Tensor, relevant: Tensor) -> float:
    """Mean over words (with at least three relevant photos) of the average precision of ranking photos by a word."""
    values = []
    for word in range(scores.shape[1]):
        truth = relevant[:, word]
        if truth.sum() < 3:
            continue
        hits = truth[scores[:, word].argsort(descending=True)].float()
        precision = hits.cumsum(0) / torch.arange(1, len(hits) + 1)
        values.append(float((precision * hits).sum() / hits.sum()))
    return float(np.mean(values))


def folds_of(rows: Tensor, seed: int) -> list[Tensor]:
    """`rows` dealt into `FOLDS` parts at random."""
    return list(rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))].tensor_split(FOLDS))


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--tower", type=Path, required=True, help="the .pth file out of the tower's wheel")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument(
        "--only-judge", action="store_true", help="train on the training photos, print the dev figures, write nothing"
    )
    arguments = parser.parse_args()

    tower = load_tower(arguments.tower, "lite2", "cpu")
    data = WordData(arguments.data, Photos(arguments.work, HeadOnly(tower)))
    target = arguments.work / "words"
    target.mkdir(exist_ok=True)
    train = {name: data.rows(name, "train") for name in COLLECTIONS}
    # A tenth of the everyday photos judges, as they have no dev split of their own.
    held_out, kept = hold_out(train["caltech101"])
    started = time.monotonic()
    if arguments.only_judge:
        head = fit(data, {**train, "caltech101": kept}, arguments.epochs, SEED)
        judge(head, data, held_out, started)
        return
    data.vocabulary.save(target / "vocabulary.json")
    full = fit(data, train, arguments.epochs, SEED)
    save_file(full.state_dict(), target / "head.safetensors")
    judge(full, data, None, started)
    folds = {name: folds_of(rows, SEED) for name, rows in train.items()}
    out = {
        name: torch.zeros(len(data.split[name]), 2, len(data.vocabulary.words), dtype=torch.float16)
        for name in COLLECTIONS
    }
    for name in COLLECTIONS:
        others = torch.tensor([row for row, split in enumerate(data.split[name]) if split != "train"], dtype=torch.long)
        if len(others):
            for mirrored in (False, True):
                out[name][others, int(mirrored)] = predict(full, data, name, others, mirrored=mirrored).half()
    for fold in range(FOLDS):
        head = fit(
            data,
            {
                name: torch.cat([part for other, part in enumerate(parts) if other != fold])
                for name, parts in folds.items()
            },
            arguments.epochs,
            SEED + 1 + fold,
        )
        for name, parts in folds.items():
            for mirrored in (False, True):
                out[name][parts[fold], int(mirrored)] = predict(head, data, name, parts[fold], mirrored=mirrored).half()
        print(f"fold {fold}: {time.monotonic() - started:.0f} s", flush=True)
    save_file({name: value.contiguous() for name, value in out.items()}, target / "probabilities.safetensors")


def hold_out(rows: Tensor) -> tuple[Tensor, Tensor]:
    """A fixed tenth of `rows`, and the rest."""
    order = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(SEED))]
    return order[: len(order) // 10], order[len(order) // 10 :]


def judge(head: WordHead, data: WordData, held_out: Tensor | None, started: float) -> None:
    """Print how well a head ranks words on dev photos, and names those everyday photos that were `held_out`."""
    dev = data.rows("flickr8k", "dev")
    scores = predict(head, data, "flickr8k", dev, mirrored=False)
    precision = average_precision(scores, data.targets["flickr8k"].probability[dev] > 0)
    words = data.vocabulary
    print(f"{len(words.words)} words, {words.captions} of captions; dev mean average precision {precision:.3f}")
    if held_out is not None:
        everyday = [words.words.index(names[0]) for names in EVERYDAY.values()]
        named = predict(head, data, "caltech101", held_out, mirrored=False)[:, everyday].argmax(1)
        right = data.targets["caltech101"].probability[held_out][:, everyday].gather(1, named[:, None]).mean()
        print(f"everyday names right {float(right):.3f} of {len(held_out)}")
    print(f"{time.monotonic() - started:.0f} s", flush=True)


class HeadOnly(nn.Module):
    """The tower from its neck on, in bfloat16."""

    def __init__(self, tower: EfficientNetLite) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, neck: Tensor) -> Tensor:
        return self.tower.features(neck.to(memory_format=torch.channels_last))


if __name__ == "__main__":
    main()
