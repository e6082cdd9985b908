"""Measure what the bundled model's eyes say of an image, before a language model words it.

    python -m benchmarks descriptions --data DATA [--split test|dev] [--limit N] [--parts …] [--out FOLDER]

Each description is compared with what people know of the image, and as a control with that of another image. Beside it
stands today's small model, which answers about the same images by itself.

things    photos of Flickr8k. Counted over all descriptions: how many of the things that they state (the words of
          `training.question_tables.OBJECT_WORDS`; guesses count as stated) the five captions do not rule out, as CHAIR
          does; and how many of the things in the captions they state. Beside it: the small model's caption.
kinds     photos of Caltech-101: an accepted name is in the description. Beside it: "What is this?".
colours   drawn shapes: colour of the shape, and of the background. Beside it: "What colour is the circle?".
pages     receipts, signs and pages are pages, and shapes and photos are not.
faces     photos whose faces were marked by hand, and photos without: the number is right. Faces that the benchmark of
          faces does not count make any number between right. Beside it: always one.
"""

import argparse
import json
import random
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import psutil

from assistant.attachments.images import decode
from assistant.messages import Image, user
from assistant.models.base import ChatModel, GenerationOptions
from assistant.models.pocket.image_description import ImageDescription
from assistant.models.replies import stream_text
from assistant.settings import load
from benchmarks.faces import MIN_PIXELS, PHOTOS
from benchmarks.figures import describe_machine
from benchmarks.pocket import drawings
from benchmarks.pocket.scores import stated_and_unsupported
from training.caption_rules import present_and_absent
from training.data import read_annotations, read_images
from training.evaluate import format_table
from training.evaluation_tasks import Figure, shuffled_pairs
from training.looks import as_attachment
from training.metrics import percentage
from training.names import ACCEPTED_NAMES, contains_name
from training.recipe import SEED
from training.splits import split_images

RESULTS = Path(__file__).parent / "results"
_SHAPES, _PAGES = 40, 10
_SEEDS = {"dev": 100, "test": 500}
_MOST = {"things": 100, "kinds": 100, "faces": 60}
_ANSWER_TOKENS = 24


class Eyes(NamedTuple):
    """Functions and models that look at images.

    Attributes:
        describe: Describes one image; its time is kept in `seconds`.
        model: Today's small model.
        seconds: Time of each description of a photo.
        loading: What it took to load it all, imports included: seconds, processor seconds, megabytes.
    """

    describe: Callable[[Image], ImageDescription]
    model: ChatModel
    seconds: list[float]
    loading: Mapping[str, float] = MappingProxyType({})

    def ask(self, question: str, image: Image) -> str:
        """Return the small model's answer."""
        options = GenerationOptions.greedy(_ANSWER_TOKENS)
        return "".join(stream_text(self.model, [user(question, image)], options, threading.Event())).strip()


class Photos(NamedTuple):
    """Sources of photos."""

    data: Path
    split: str
    limit: int | None

    def sample(self, dataset: str, part: str) -> list[tuple[str, Image]]:
        """Return names and images, the same ones in every run."""
        names = split_images(self.data, dataset, self.split)
        random.Random(SEED).shuffle(names)
        names = names[: self.limit or _MOST[part]]
        found = dict(read_images(self.data, dataset, set(names)))
        return [(name, as_attachment(name, found[name])) for name in names]


def measure_things(eyes: Eyes, photos: Photos) -> list[Figure]:
    """Compare stated things with captions."""
    captions = {row["image"]: row["captions"] for row in read_annotations(photos.data, "flickr8k")}
    images = photos.sample("flickr8k", "things")
    references = [captions[name] for name, _ in images]
    others = [references[other] for other in shuffled_pairs(len(images))]
    own = [eyes.describe(image).as_text() for _, image in images]
    small = [eyes.ask("Describe the photo.", image) for _, image in images]
    support, stated = supported_share(own, references)
    small_support, small_stated = supported_share(small, references)
    return [
        Figure(
            "things", "stated things that captions support", stated, support, 80,
            shuffled=supported_share(own, others)[0],
            baselines={f"small model's caption ({small_stated} things)": small_support},
        ),
        Figure(
            "things", "things of the captions that are stated", len(images), recall(own, references),
            shuffled=recall(own, others), baselines={"small model's caption": recall(small, references)},
        ),
    ]  # fmt: skip


def measure_kinds(eyes: Eyes, photos: Photos) -> list[Figure]:
    """Compare names with the accepted ones."""
    category = {row["image"]: row["name"] for row in read_annotations(photos.data, "caltech101")}
    images = photos.sample("caltech101", "kinds")
    accepted = [ACCEPTED_NAMES[category[name]] for name, _ in images]
    own = [eyes.describe(image).as_text() for _, image in images]
    small = [eyes.ask("What is this?", image) for _, image in images]
    others = shuffled_pairs(len(images))

    def right(texts: Sequence[str]) -> float:
        return percentage(contains_name(text, names) for text, names in zip(texts, accepted, strict=True))

    figure = Figure(
        "kinds", "an accepted name is said", len(images), right(own), 80,
        shuffled=right([own[other] for other in others]), baselines={"small model": right(small)},
    )  # fmt: skip
    return [figure]


def measure_colours(eyes: Eyes, photos: Photos) -> list[Figure]:
    """Compare the colours of drawn shapes."""
    count = min(_SHAPES, photos.limit or _SHAPES)
    drawn = [drawings.draw_shape(_SEEDS[photos.split] + number) for number in range(count)]
    seen = [eyes.describe(each.image).colours for each in drawn]
    small = [eyes.ask(f"What colour is the {each.facts['shape']}?", each.image).lower() for each in drawn]
    others = shuffled_pairs(count)
    things, backgrounds = [each.thing for each in seen], [each.background for each in seen]

    def right(found: Sequence[str | None], label: str) -> float:
        return percentage(colour == each.facts[label] for colour, each in zip(found, drawn, strict=True))

    def figure(label: str, found: Sequence[str | None], baselines: dict[str, float]) -> Figure:
        shuffled = right([found[other] for other in others], label)
        return Figure("colours", label, count, right(found, label), 60, shuffled=shuffled, baselines=baselines)

    asked = percentage(each.facts["colour"] in answer for answer, each in zip(small, drawn, strict=True))
    return [figure("colour", things, {"small model": asked}), figure("background", backgrounds, {})]


def measure_pages(eyes: Eyes, photos: Photos) -> list[Figure]:
    """Tell pages from other images."""
    count = min(_PAGES, photos.limit or _PAGES)
    first = _SEEDS[photos.split]
    pages = [
        draw(first + number).image
        for draw in (drawings.draw_receipt, drawings.draw_sign, drawings.draw_page)
        for number in range(count)
    ]
    other = [drawings.draw_shape(first + number).image for number in range(count)]
    other += [image for _, image in photos._replace(limit=2 * count).sample("flickr8k", "things")]
    found = [eyes.describe(image) for image in (*pages, *other)]
    is_page = [each.is_page for each in found]
    return [
        Figure("pages", "pages, receipts and signs taken for pages", len(pages), percentage(is_page[: len(pages)]), 90),
        Figure(
            "pages", "shapes and photos taken for pages", len(other), percentage(is_page[len(pages) :]), 5,
            lower_is_better=True,
        ),
    ]  # fmt: skip


def measure_faces(eyes: Eyes, photos: Photos) -> list[Figure]:
    """Compare the number of faces: the odd photos of the benchmark of faces for test, the even ones for dev."""
    marked = json.loads(PHOTOS.read_text("utf-8"))
    start, most = int(photos.split == "test"), photos.limit or _MOST["faces"]
    faces = dict(list(marked["faces"].items())[start::2][:most])
    without = marked["without"]["flickr8k"][start::2][: most // 2]
    images = dict(read_images(photos.data, "flickr8k", {*faces, *without}))
    expected = [*(face_range(boxes) for boxes in faces.values()), *((0, 0) for _ in without)]
    counts = [eyes.describe(as_attachment(name, images[name])).faces or 0 for name in (*faces, *without)]

    def right(found: Sequence[int]) -> float:
        return percentage(low <= count <= high for count, (low, high) in zip(found, expected, strict=True))

    shuffled = [counts[other] for other in shuffled_pairs(len(counts))]
    figure = Figure(
        "faces", "number of faces", len(counts), right(counts), shuffled=right(shuffled),
        baselines={"always one": right([1] * len(counts))},
    )  # fmt: skip
    return [figure]


MEASURES: Mapping[str, Callable[[Eyes, Photos], list[Figure]]] = {
    "things": measure_things,
    "kinds": measure_kinds,
    "colours": measure_colours,
    "pages": measure_pages,
    "faces": measure_faces,
}


def supported_share(texts: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[float, int]:
    """Return the percentage of stated things that captions do not rule out, and the number of stated things."""
    pairs = [stated_and_unsupported(text, captions) for text, captions in zip(texts, references, strict=True)]
    stated = sum(len(names) for names, _ in pairs)
    return 100 * (1 - sum(len(wrong) for _, wrong in pairs) / max(stated, 1)), stated


def recall(texts: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Return the percentage of the things in the captions that the texts state."""
    present = [present_and_absent(captions)[0] for captions in references]
    stated = [present_and_absent([text])[0] for text in texts]
    both = sum(len(names & said) for names, said in zip(present, stated, strict=True))
    return 100 * both / max(sum(map(len, present)), 1)


def face_range(boxes: Sequence[Sequence[Any]]) -> tuple[int, int]:
    """Return the least and the largest right number of faces: small, hidden and blurred ones may be counted or not."""
    clear = [box for box in boxes if box[4] != "i" and max(box[2] - box[0], box[3] - box[1]) > MIN_PIXELS]
    return len(clear), len(boxes)


def open_eyes() -> Eyes:
    """Load what looks at images, as the chat does."""
    from parley.factory.bundled import load_vision

    settings, process = load().settings, psutil.Process()
    before = time.perf_counter(), time.process_time(), process.memory_info().rss
    vision = load_vision(settings)
    loading = {
        "seconds": round(time.perf_counter() - before[0], 2),
        "processor_seconds": round(time.process_time() - before[1], 2),
        "megabytes": round((process.memory_info().rss - before[2]) / 1e6),
    }
    seconds: list[float] = []

    def describe(image: Image) -> ImageDescription:
        decode(image)
        started = time.perf_counter()
        found = vision.describer.describe(image)
        seconds.append(time.perf_counter() - started)
        return found

    return Eyes(describe, vision.model, seconds, loading)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks descriptions",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", choices=("test", "dev"), default="test")
    parser.add_argument("--limit", type=int, help="most images of each part")
    parser.add_argument("--parts", nargs="+", choices=list(MEASURES), default=list(MEASURES))
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    options = parser.parse_args(arguments)
    eyes, photos = open_eyes(), Photos(options.data, options.split, options.limit)
    print(f"loaded: {dict(eyes.loading)}", flush=True)
    figures: list[Figure] = []
    for part in options.parts:
        found = MEASURES[part](eyes, photos)
        print(format_table(found), flush=True)
        figures += found
        save(options, eyes, figures)


def save(options: argparse.Namespace, eyes: Eyes, figures: Sequence[Figure]) -> None:
    """Write the figures so far."""
    report = {
        "date": datetime.now(UTC).date().isoformat(),
        "split": options.split,
        "limit": options.limit,
        "machine": describe_machine(),
        "loading": dict(eyes.loading),
        "median_seconds": round(statistics.median(eyes.seconds), 2),
        "figures": [figure.to_json() for figure in figures],
    }
    path = options.out / f"descriptions-{report['date']}.json"
    path.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
