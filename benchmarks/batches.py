"""Captions of many images with the bundled model: batches against single calls, and the overhead of skills.

Batches and single calls alternate in one process, on the same images, which neither has seen before. Most of their
captions have to be equal: sums in another order decide a near tie between two words differently now and then.
Processor time is reported beside the rate, because other programs on the machine affect it less.

A run over 2,000 images, a few under many names, through `skills.batch` shows how memory grows between image 200 and
the last one.
"""

import io
import operator
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar, cast

import PIL.Image
import PIL.ImageDraw
import PIL.ImageFilter
import psutil

from assistant.attachments.images import ImageLoader
from assistant.messages import Image, user
from assistant.models.base import GenerationOptions
from assistant.models.local.model import LocalModel
from assistant.models.replies import only_text
from assistant.settings import load
from benchmarks.figures import Figure
from parley.factory.bundled import assemble_pocket
from skills.batch import run_all
from skills.batching import create_clients
from skills.captioning import Caption, caption
from skills.definition import Dependency
from skills.files import Source
from skills.vision_model import VisionClient, VisionModel

Result = TypeVar("Result")

IMAGES = 48
IMAGES_FOR_MEMORY = 2_000
FIRST_MEMORY_SAMPLE = 200
_PROMPT, _MAX_TOKENS = "Describe the photo.", 48
_RATE_GOAL, _OVERHEAD_GOAL, _GROWTH_GOAL = 1.5, 3.0, 50.0


def measure(runs: int) -> list[Figure]:
    """Return all figures. The model is fetched and assembled first if needed."""
    folder = assemble_pocket(load({"model": "pocket"}).settings)
    model = LocalModel.load(str(folder), device="cpu")
    caption_singly(model, [make_image(-seed) for seed in range(1, 9)])
    single: list[tuple[float, float]] = []
    batch: list[tuple[float, float]] = []
    same: list[float] = []
    for number in range(runs):
        # New images in each run: the batch's replicas do not share the caches that single calls fill.
        images = [make_image(number * IMAGES + seed) for seed in range(IMAGES)]
        expected, single_seconds = timed(partial(caption_singly, model, images))
        captions, batch_seconds = timed(partial(caption_in_batches, model, images))
        same.append(100 * sum(map(operator.eq, captions, expected)) / IMAGES)
        single.append(single_seconds)
        batch.append(batch_seconds)
    figures = [
        Figure("pictures a second, one by one", "1/s", tuple(IMAGES / wall for wall, _ in single)),
        Figure("pictures a second, in a batch", "1/s", tuple(IMAGES / wall for wall, _ in batch)),
        Figure(
            f"as fast as one by one (goal: at least {_RATE_GOAL})",
            "times",
            tuple(one / many for (one, _), (many, _) in zip(single, batch, strict=True)),
        ),
        Figure("captions that are the same in a batch", "%", tuple(same)),
        Figure("processor time a picture, one by one", "ms", tuple(1000 * cpu / IMAGES for _, cpu in single)),
        Figure("processor time a picture, in a batch", "ms", tuple(1000 * cpu / IMAGES for _, cpu in batch)),
        Figure(
            "what the skill adds to a call of the model", "%", tuple(skill_overheads(model, images)), _OVERHEAD_GOAL
        ),
        *memory_figures(model, images),
    ]
    model.close()
    return figures


def caption_singly(model: LocalModel, images: Sequence[Image]) -> list[str]:
    """Caption each image with a call of the model."""
    return [call_model(model, image) for image in images]


def call_model(model: LocalModel, image: Image) -> str:
    """Caption an image without the skill."""
    options = GenerationOptions.greedy(_MAX_TOKENS)
    return "".join(only_text(model.stream([user(_PROMPT, image)], options, threading.Event()))).strip()


def caption_in_batches(model: LocalModel, images: Sequence[Image]) -> list[str]:
    """Caption all images as `parley caption` does."""
    return list(run_skill(model, images))


def run_skill(model: LocalModel, images: Sequence[Image], count: int | None = None) -> Iterator[str]:
    """Yield the captions of `count` images, in order; `images` are repeated as needed."""
    stop = threading.Event()

    def work(source: Source, client: Dependency | None) -> tuple[Caption, Sequence[str]]:
        return caption(images[int(source.name) % len(images)], model=cast("VisionModel", client)), ()

    total = count or len(images)
    sources = (Source(str(number)) for number in range(total))
    for outcome in run_all(sources, work, create_clients(model, stop, total), stop):
        assert isinstance(outcome.result, Caption)
        yield outcome.result.text


def skill_overheads(model: LocalModel, images: Sequence[Image]) -> list[float]:
    """Return by how many percent of processor time the skill is slower than the model, per twelve images."""
    client = VisionClient(model)
    percent = []
    for first in range(0, len(images), 12):
        skill_seconds, model_seconds = 0.0, 0.0
        for image in images[first : first + 12]:
            # Warm up first, so that both find the image in the model's cache.
            call_model(model, image)
            model_seconds += timed(partial(call_model, model, image))[1][1]
            skill_seconds += timed(partial(caption, image, model=client))[1][1]
        percent.append(100 * (skill_seconds / model_seconds - 1))
    return percent


def memory_figures(model: LocalModel, images: Sequence[Image]) -> list[Figure]:
    """Return the memory of the process after some and after many images."""
    process = psutil.Process()
    early = late = 0.0
    for number, _ in enumerate(run_skill(model, images, IMAGES_FOR_MEMORY), 1):
        if number == FIRST_MEMORY_SAMPLE:
            early = process.memory_info().rss / 1e6
        late = process.memory_info().rss / 1e6
    return [
        Figure(f"memory after {FIRST_MEMORY_SAMPLE} pictures", "MB", (early,)),
        Figure(f"memory after {IMAGES_FOR_MEMORY:,} pictures", "MB", (late,)),
        Figure("growth between them", "MB", (late - early,), _GROWTH_GOAL),
    ]


def timed(work: Callable[[], Result]) -> tuple[Result, tuple[float, float]]:
    """Return the result of `work`, with wall-clock and processor time in seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, (time.perf_counter() - wall, time.process_time() - cpu)


def make_image(seed: int) -> Image:
    """Return a blurred drawing of 512 x 384 pixels, different for each seed."""
    rng = random.Random(seed)
    canvas = PIL.Image.new("RGB", (512, 384), _colour(rng))
    pen = PIL.ImageDraw.Draw(canvas)
    for _ in range(30):
        left, top = rng.randrange(512), rng.randrange(384)
        box = (left, top, left + rng.randrange(20, 260), top + rng.randrange(20, 200))
        (pen.ellipse if rng.random() < 0.5 else pen.rectangle)(box, fill=_colour(rng))
    file = io.BytesIO()
    canvas.filter(PIL.ImageFilter.GaussianBlur(2)).save(file, "JPEG")
    return ImageLoader().load_bytes(file.getvalue(), f"{seed}.jpg").image


def _colour(rng: random.Random) -> tuple[int, int, int]:
    return rng.randrange(256), rng.randrange(256), rng.randrange(256)
