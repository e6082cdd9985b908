"""Read images and annotations from the archives as they were published.

None of this data belongs to the project or is copied into it. `--data` names a folder that holds `flickr8k/`,
`objects/` and `daquar/`, each with a tar of images and a JSON-lines file of annotations.
"""

import io
import json
import tarfile
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image


@dataclass(frozen=True)
class Dataset:
    """Paths of one dataset's archive and annotations, relative to the data folder."""

    name: str
    archive: str
    annotations: str


DATASETS = {
    dataset.name: dataset
    for dataset in (
        Dataset("flickr8k", "flickr8k/images.tar", "flickr8k/captions.jsonl"),
        Dataset("caltech101", "objects/caltech101.tar", "objects/caltech101.jsonl"),
        Dataset("imagenet1000", "objects/imagenet1000.tar", "objects/imagenet1000.jsonl"),
        Dataset("daquar", "daquar/images.tar", "daquar/qa.jsonl"),
    )
}


def read_annotations(data: Path, name: str) -> list[dict[str, Any]]:
    """Return the rows of a dataset's annotation file, in order."""
    with (data / DATASETS[name].annotations).open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def image_names(data: Path, name: str) -> list[str]:
    """Return the names of a dataset's images as the annotations spell them, in archive order."""
    annotated = {row["image"] for row in read_annotations(data, name)}
    with tarfile.open(data / DATASETS[name].archive) as archive:
        return [image for member in archive if (image := _image_name(member, annotated))]


def read_images(data: Path, name: str, only: AbstractSet[str] | None = None) -> Iterator[tuple[str, Image.Image]]:
    """Yield the name and the RGB image of each image of a dataset, in archive order.

    Args:
        data: The data folder.
        name: Name of the dataset.
        only: Names of the images to read; None reads all.
    """
    selected = {row["image"] for row in read_annotations(data, name)}
    selected = selected if only is None else selected & only
    with tarfile.open(data / DATASETS[name].archive) as archive:
        for member in archive:
            image = _image_name(member, selected)
            file = archive.extractfile(member) if image else None
            if image and file:
                yield image, Image.open(io.BytesIO(file.read())).convert("RGB")


def _image_name(member: tarfile.TarInfo, names: AbstractSet[str]) -> str | None:
    """Return which of `names` a file in the archive is; archives differ in the folders above the name."""
    parts = Path(member.name).parts
    suffixes = ("/".join(parts[depth:]) for depth in range(len(parts)))
    return next((suffix for suffix in suffixes if suffix in names), None) if member.isfile() else None
