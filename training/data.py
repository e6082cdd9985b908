"""The photos and their annotations, read from the archives as they were published.

Nothing of this data belongs to the project and none of it is copied into it. `--data` names a folder that holds
`flickr8k/`, `objects/` and `daquar/`, each with its tar of photos and its JSON-lines file of annotations.
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
class Collection:
    """One set of photos: where its archive and its annotations lie below the data folder."""

    name: str
    archive: str
    annotations: str


COLLECTIONS = {
    collection.name: collection
    for collection in (
        Collection("flickr8k", "flickr8k/images.tar", "flickr8k/captions.jsonl"),
        Collection("caltech101", "objects/caltech101.tar", "objects/caltech101.jsonl"),
        Collection("imagenet1000", "objects/imagenet1000.tar", "objects/imagenet1000.jsonl"),
        Collection("daquar", "daquar/images.tar", "daquar/qa.jsonl"),
    )
}


def read_annotations(data: Path, name: str) -> list[dict[str, Any]]:
    """The rows of a collection's annotation file, in order."""
    with (data / COLLECTIONS[name].annotations).open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def photo_names(data: Path, name: str) -> list[str]:
    """The names of a collection's photos as the annotations write them, in archive order."""
    wanted = {row["image"] for row in read_annotations(data, name)}
    with tarfile.open(data / COLLECTIONS[name].archive) as archive:
        return [photo for member in archive if (photo := _name_of(member, wanted))]


def read_photos(data: Path, name: str, only: AbstractSet[str] | None = None) -> Iterator[tuple[str, Image.Image]]:
    """Each photo of a collection with its name, in archive order, as RGB; of those in `only`, if it is given."""
    wanted = {row["image"] for row in read_annotations(data, name)}
    wanted = wanted if only is None else wanted & only
    with tarfile.open(data / COLLECTIONS[name].archive) as archive:
        for member in archive:
            photo = _name_of(member, wanted)
            file = archive.extractfile(member) if photo else None
            if photo and file:
                yield photo, Image.open(io.BytesIO(file.read())).convert("RGB")


def _name_of(member: tarfile.TarInfo, wanted: AbstractSet[str]) -> str | None:
    """Which of the `wanted` photos a file is; archives differ in how many folders stand above the name."""
    parts = Path(member.name).parts
    names = ("/".join(parts[depth:]) for depth in range(len(parts)))
    return next((name for name in names if name in wanted), None) if member.isfile() else None
