"""Look at dev images with the parts of the bundled model that describe images, and keep what they say.

    python -m training.looks --data DATA --work WORK [--limit IMAGES]

Writes `WORK/looks.jsonl`, one image a line: the likeliest classes (by number) and words of the whole image and of its
four overlapping quarters, and the small model's caption with the log-probability of each token. An interrupted run
continues. `training.weigh_looks` prints by it what each
part of a description gives at which threshold. Takes half a second an image.
"""

import argparse
import io
import json
import random
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import PIL.Image
import torch

from assistant.attachments.images import decode
from assistant.messages import Image
from assistant.models.base import ChatModel
from assistant.models.pocket.captioner import write_caption
from assistant.models.pocket.recognizer import Recognition, Recognizer
from training.data import image_names, read_annotations, read_images
from training.evaluate import pocket_folder
from training.recipe import SEED
from training.splits import hold_out_tenth, split_images
from training.synthetic_images import NUM_DEV, NUM_IMAGES, draw

MOST = {"flickr8k": 240, "caltech101": 160}
"""Images of the larger dev sets; all of the others."""
DATASETS = ("flickr8k", "caltech101", "imagenet1000", "daquar", "drawings")
_CLASSES, _WORDS = 60, 60
_QUARTER = 0.6
"""Share of a side that a quarter takes: what lies on the border of two is whole in one."""


def dev_images(data: Path, limit: int | None = None) -> Iterator[tuple[str, str, PIL.Image.Image]]:
    """Yield dataset, name and pixels of each dev image."""
    for dataset in DATASETS:
        if dataset == "drawings":
            indices = list(range(NUM_IMAGES - NUM_DEV, NUM_IMAGES))[:limit]
            yield from ((dataset, str(index), draw(index).image) for index in indices)
            continue
        names = dev_names(data, dataset)
        most = limit if limit is not None else MOST.get(dataset, len(names))
        chosen = set(random.Random(SEED).sample(names, min(most, len(names))))
        yield from ((dataset, name, image) for name, image in read_images(data, dataset, chosen))


def dev_names(data: Path, dataset: str) -> list[str]:
    """Return the names of the dev images of a dataset, sorted; of ImageNet's, those that training holds out."""
    if dataset != "imagenet1000":
        return split_images(data, dataset, "dev")
    order = image_names(data, dataset)
    return sorted(order[row] for row in hold_out_tenth(torch.arange(len(order)))[0].tolist())


def look(name: str, pixels: PIL.Image.Image, recognizer: Recognizer, model: ChatModel) -> dict[str, Any]:
    """Return what the parts say about one image."""
    image = as_attachment(name, pixels)
    whole, *parts = recognizer.recognize([decode(image), *quarters(decode(image))])
    caption = write_caption(model, image)
    return {
        **_likeliest(whole),
        "quarters": [_likeliest(part) for part in parts],
        "caption": caption.text,
        "log_probabilities": [round(value, 4) for value in caption.log_probabilities],
    }


def quarters(image: PIL.Image.Image) -> list[PIL.Image.Image]:
    """Return the four overlapping quarters of an image, row by row."""
    width, height = (max(1, round(side * _QUARTER)) for side in image.size)
    return [
        image.crop((left, top, left + width, top + height))
        for top in (0, image.height - height)
        for left in (0, image.width - width)
    ]


def as_attachment(name: str, pixels: PIL.Image.Image) -> Image:
    """Return the image as a person would attach it."""
    file = io.BytesIO()
    pixels.save(file, "PNG")
    return Image(file.getvalue(), "image/png", pixels.width, pixels.height, name)


def read_looks(work: Path) -> list[dict[str, Any]]:
    """Return what a run of the command has written so far."""
    path = work / "looks.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def truths(data: Path) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Return the annotations of each image, by dataset and name."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for dataset in DATASETS[:-1]:
        rows = found.setdefault(dataset, {})
        for row in read_annotations(data, dataset):
            rows.setdefault(row["image"], []).append(row)
    return found


def _likeliest(seen: Recognition) -> dict[str, Any]:
    return {"classes": _top(enumerate(seen.classes), _CLASSES), "words": _top(seen.words.items(), _WORDS)}


def _top(values: Iterable[tuple[Any, float]], count: int) -> list[tuple[Any, float]]:
    return [(key, round(value, 4)) for key, value in sorted(values, key=lambda each: -each[1])[:count]]


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--model", type=Path, help="an assembled folder (default: the small model in the cache)")
    parser.add_argument("--limit", type=int, help="most images of each dataset")
    arguments = parser.parse_args()
    done = {(row["dataset"], row["image"]) for row in read_looks(arguments.work)}
    from assistant.models.local.model import LocalModel

    folder = arguments.model or pocket_folder()
    recognizer, model = Recognizer.load(folder), LocalModel.load(str(folder))
    started = time.monotonic()
    with (arguments.work / "looks.jsonl").open("a") as file:
        for number, (dataset, name, pixels) in enumerate(dev_images(arguments.data, arguments.limit)):
            if (dataset, name) not in done:
                row = {"dataset": dataset, "image": name, **look(name, pixels, recognizer, model)}
                file.write(json.dumps(row) + "\n")
                file.flush()
            if number % 50 == 0:
                print(f"{number} images, {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
