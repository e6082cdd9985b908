"""Captions of many pictures on the bundled model: a batch against a loop of single calls, and what skills add to it.

Batch and loop take turns in one process, on the same pictures, of which neither has seen any before, and have to say
the same. Processor time stands beside the rate, because another program on the machine changes that less.

What was tried for the rate, on two cores: one batch of eight on both was 1.05 to 1.26 times as fast as the loop,
because prompts are read one by one, and most products and all that lies between them are too small for a second core.
Two replicas on a core each gave 1.5 to 1.9 times. To encode pictures on one core as well was given up: convolutions add
up in another order then, and logits moved by 0.05. Huge pages (THP_MEM_ALLOC_ENABLE) halve the 8 ms that a picture's
place in a batch takes and nothing else.

Then 2,000 pictures, a few under many names, run through `skills.batch` as a command would, and memory is looked at
after 200 and at the end.
"""

import io
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
from assistant.settings import load
from benchmarks.figures import Figure
from parley.factory.models import assemble_pocket
from skills.batch import run_all
from skills.batching import create_clients
from skills.captioning import Caption, caption
from skills.definition import Dependency
from skills.files import Source
from skills.vision_model import VisionClient, VisionModel

Result = TypeVar("Result")

PICTURES = 48
MANY = 2_000
EARLY = 200
_QUESTION, _LONGEST = "Describe the photo.", 48
# The goals: half as fast again, hardly more memory, and nothing that is felt.
_RATE_GOAL, _OVERHEAD_GOAL, _GROWTH_GOAL = 1.5, 3.0, 50.0


def measure(runs: int) -> list[Figure]:
    """All figures. The model is fetched and assembled first if it is not there."""
    folder = assemble_pocket(load({"model": "pocket"}).settings)
    model = LocalModel.load(str(folder), device="cpu")
    one_by_one(model, [drawing(-seed) for seed in range(1, 9)])
    loop: list[tuple[float, float]] = []
    batch: list[tuple[float, float]] = []
    for number in range(runs):
        # Pictures that nobody has looked at before: the batch's replicas know nothing of what the loop has seen.
        pictures = [drawing(number * PICTURES + seed) for seed in range(PICTURES)]
        said, took = timed(partial(one_by_one, model, pictures))
        together, shared = timed(partial(in_batches, model, pictures))
        if said != together:
            raise RuntimeError("A batch does not say what single calls say.")
        loop.append(took)
        batch.append(shared)
    figures = [
        Figure("pictures a second, one by one", "1/s", tuple(PICTURES / wall for wall, _ in loop)),
        Figure("pictures a second, in a batch", "1/s", tuple(PICTURES / wall for wall, _ in batch)),
        Figure(
            f"as fast as one by one (goal: at least {_RATE_GOAL})",
            "times",
            tuple(one / many for (one, _), (many, _) in zip(loop, batch, strict=True)),
        ),
        Figure("processor time a picture, one by one", "ms", tuple(1000 * cpu / PICTURES for _, cpu in loop)),
        Figure("processor time a picture, in a batch", "ms", tuple(1000 * cpu / PICTURES for _, cpu in batch)),
        Figure("what the skill adds to a call of the model", "%", tuple(overheads(model, pictures)), _OVERHEAD_GOAL),
        *memory(model, pictures),
    ]
    model.close()
    return figures


def one_by_one(model: LocalModel, pictures: Sequence[Image]) -> list[str]:
    """A call of the model for each."""
    return [bare(model, picture) for picture in pictures]


def bare(model: LocalModel, picture: Image) -> str:
    """What the caption is made of, asked of the model itself."""
    options = GenerationOptions(max_tokens=_LONGEST)
    return "".join(model.stream([user(_QUESTION, picture)], options, threading.Event())).strip()


def in_batches(model: LocalModel, pictures: Sequence[Image]) -> list[str]:
    """The way `parley caption` goes."""
    return list(run(model, pictures))


def run(model: LocalModel, pictures: Sequence[Image], count: int | None = None) -> Iterator[str]:
    """Captions of `count` pictures, which are repeated for that, one after the other."""
    stop = threading.Event()

    def work(source: Source, model: Dependency | None) -> tuple[Caption, Sequence[str]]:
        return caption(pictures[int(source.name) % len(pictures)], cast("VisionModel", model)), ()

    total = count or len(pictures)
    sources = (Source(str(number)) for number in range(total))
    for outcome in run_all(sources, work, create_clients(model, stop, total), stop):
        assert isinstance(outcome.result, Caption)
        yield outcome.result.text


def overheads(model: LocalModel, pictures: Sequence[Image]) -> list[float]:
    """By how many percent of processor time `skills.caption` takes longer than the model, over turns of twelve."""
    vision = VisionClient(model)
    percent = []
    for first in range(0, len(pictures), 12):
        some = pictures[first : first + 12]
        through, direct = 0.0, 0.0
        for picture in some:
            # In turns, each with the picture looked at already, so that nothing but the order differs.
            bare(model, picture)
            direct += timed(partial(bare, model, picture))[1][1]
            through += timed(partial(caption, picture, vision))[1][1]
        percent.append(100 * (through / direct - 1))
    return percent


def memory(model: LocalModel, pictures: Sequence[Image]) -> list[Figure]:
    """Memory of the process after some and after many pictures."""
    process = psutil.Process()
    early = late = 0.0
    for number, _ in enumerate(run(model, pictures, MANY), 1):
        if number == EARLY:
            early = process.memory_info().rss / 1e6
        late = process.memory_info().rss / 1e6
    return [
        Figure(f"memory after {EARLY} pictures", "MB", (early,)),
        Figure(f"memory after {MANY:,} pictures", "MB", (late,)),
        Figure("growth between them", "MB", (late - early,), _GROWTH_GOAL),
    ]


def timed(work: Callable[[], Result]) -> tuple[Result, tuple[float, float]]:
    """What `work` returns, and how long it took: by the clock, and of the processor, in seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, (time.perf_counter() - wall, time.process_time() - cpu)


def drawing(seed: int) -> Image:
    """A picture of the size of a photo on a screen: soft shapes and colours, each another."""
    rng = random.Random(seed)
    picture = PIL.Image.new("RGB", (512, 384), _colour(rng))
    pen = PIL.ImageDraw.Draw(picture)
    for _ in range(30):
        left, top = rng.randrange(512), rng.randrange(384)
        box = (left, top, left + rng.randrange(20, 260), top + rng.randrange(20, 200))
        (pen.ellipse if rng.random() < 0.5 else pen.rectangle)(box, fill=_colour(rng))
    file = io.BytesIO()
    picture.filter(PIL.ImageFilter.GaussianBlur(2)).save(file, "JPEG")
    return ImageLoader().load_bytes(file.getvalue(), f"{seed}.jpg").image


def _colour(rng: random.Random) -> tuple[int, int, int]:
    return rng.randrange(256), rng.randrange(256), rng.randrange(256)
