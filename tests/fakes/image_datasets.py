"""Image datasets in the published layout, and an engine that knows the answers."""

import io
import json
import random
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from training.data import DATASETS
from training.evaluation_tasks import BLANK_IMAGE
from training.names import ACCEPTED_NAMES

_SCENES = (
    "a dog runs through deep snow",
    "two women sit at a bar",
    "a boy throws the red ball",
    "cars wait in traffic",
)


class OracleEngine:
    """Answers from the number of an image; says "nothing" about the blank image."""

    def __init__(self, answer_for: Callable[[int, str], str]) -> None:
        """`answer_for` gets the number of the image and the question."""
        self._answer_for = answer_for

    def answer(
        self, images: Sequence[PIL.Image.Image], questions: Sequence[str], max_new_tokens: int = 24
    ) -> list[str]:
        return [
            "nothing" if image is BLANK_IMAGE else self._answer_for(number_of(image), question)
            for image, question in zip(images, questions, strict=True)
        ]


def number_of(image: PIL.Image.Image) -> int:
    """Return the number of an image in its dataset, which its colour encodes."""
    red, green, _ = image.getpixel((0, 0))  # type: ignore[misc]
    return int(red) + 256 * int(green)


def scene_of(number: int) -> str:
    """Return what the captions say about image `number` of Flickr8k."""
    return _SCENES[number % len(_SCENES)]


def category_of(number: int) -> str:
    """Return the category of image `number` of Caltech-101."""
    return list(ACCEPTED_NAMES)[number % 7 * 5]


def noise_image(seed: int, side: tuple[int, int] = (150, 201)) -> PIL.Image.Image:
    """Return an image of noise."""
    return PIL.Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*side, 3), dtype=np.uint8))


def write_datasets(folder: Path) -> None:
    """Write all datasets to `folder`: plain images whose colour encodes their number."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in DATASETS}
    for number in range(24):
        scene = scene_of(number)
        split = ("train", "dev", "test")[number % 3]
        captions = [f"{scene} .", f"{scene} today .", f"Here {scene} ."]
        rows["flickr8k"].append({"image": f"{number:04}.png", "split": split, "captions": captions})
    for number in range(60):
        rows["caltech101"].append(
            {
                "image": f"thing/{number:04}.png",
                "split": ("train", "test")[number % 2],
                "name": category_of(number),
            }
        )
    for number in range(240):
        split = ("train", "test")[number % 24 == 0]
        for question, answer in (
            ("how many chairs are there", str(number % 5)),
            ("what colour is the wall", ("white", "red")[number % 2]),
            ("what is on the table", f"garbage_bin, lamp_{number}"),
        ):
            rows["daquar"].append({"image": f"{number:04}.png", "split": split, "question": question, "answer": answer})
    for number in range(1000):
        rows["imagenet1000"].append({"image": f"{number:04}.png", "name": f"class of {number}"})
    for name, dataset in DATASETS.items():
        annotations = folder / dataset.annotations
        annotations.parent.mkdir(exist_ok=True)
        annotations.write_text("".join(json.dumps(row) + "\n" for row in rows[name]))
        images = list(dict.fromkeys(row["image"] for row in rows[name]))
        random.Random(name).shuffle(images)
        with tarfile.open(folder / dataset.archive, "w") as archive:
            for image in images if name != "imagenet1000" else images[:3]:
                number = int(Path(image).stem)
                file = io.BytesIO()
                PIL.Image.new("RGB", (8, 8), (number % 256, number // 256, 0)).save(file, "PNG")
                member = tarfile.TarInfo(f"archive/of/{image}")
                member.size = file.tell()
                file.seek(0)
                archive.addfile(member, file)
