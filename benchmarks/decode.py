"""How fast the bundled model decodes and answers, against plain transformers in float32, in turns in one process.

    plain    transformers' `generate` with the same weights in float32, the way its documentation shows
    none     Parley, unquantized
    int8     Parley as it comes

`python -m benchmarks.decode FOLDER` measures an assembled folder that lies elsewhere.
"""

import argparse
import gc
import io
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import PIL.Image
import PIL.ImageDraw
import torch

from assistant.attachments.images import ImageLoader
from assistant.events import Usage
from assistant.messages import Image, Message, assistant, user
from assistant.models.base import GenerationOptions
from assistant.models.local.model import LocalModel
from assistant.settings import load
from benchmarks.figures import Figure, table
from parley.factory.models import assemble_pocket

DECODED = 48
"""How many tokens a timed reply has."""

STORY = "Tell me a long story about a dragon who lived near a village by the sea."
PROMPTS = (
    "What is the capital of France?",
    "Write a short poem about the sea.",
    "Explain how a bicycle works.",
    "List three fruits and three vegetables.",
    "Why is the sky blue?",
    "How do I boil an egg?",
    "What is the difference between a lake and a river?",
    "Who wrote Hamlet, and what is it about?",
    "Give me advice for a job interview.",
    "Describe a forest in autumn.",
)
# The goals: decoding three times as fast, and a follow-up in a quarter of the time of a first turn.
DECODE_GOAL, FOLLOW_UP_GOAL = 100 / 3, 25.0


@dataclass(frozen=True)
class Answer:
    """What was said and what it took."""

    text: str
    usage: Usage


def measure(runs: int) -> list[Figure]:
    """All figures for the bundled model, which is fetched and assembled first if it is not there."""
    return measure_folder(assemble_pocket(load({"model": "pocket"}).settings), runs)


def measure_folder(folder: Path, runs: int) -> list[Figure]:
    """All figures for the model in `folder`, each from `runs` runs."""
    plain, prompt = load_plain(folder)
    models = {quantize: LocalModel.load(str(folder), device="cpu", quantize=quantize) for quantize in ("none", "int8")}
    talk = [user(STORY)]
    milliseconds: dict[str, list[float]] = {"plain": [], "none": [], "int8": []}
    # The first of each warms up and is not counted.
    for _ in range(runs + 1):
        milliseconds["plain"].append(plain_milliseconds(plain, prompt))
        for name, model in models.items():
            milliseconds[name].append(1000 / ask(model, talk, DECODED).usage.tokens_per_second)
    del plain
    gc.collect()
    for values in milliseconds.values():
        del values[0]
    share = [100 * ours / theirs for ours, theirs in zip(milliseconds["int8"], milliseconds["plain"], strict=True)]
    return [
        Figure("a token: plain transformers, float32", "ms", tuple(milliseconds["plain"])),
        Figure("a token: Parley, float32", "ms", tuple(milliseconds["none"])),
        Figure("a token: Parley, int8", "ms", tuple(milliseconds["int8"])),
        Figure("a token: int8 against plain", "%", tuple(share), DECODE_GOAL),
        *first_token_figures(models["int8"], runs),
        agreement(models["none"], models["int8"]),
    ]


def first_token_figures(model: LocalModel, runs: int) -> list[Figure]:
    """Seconds to the first word: of a first turn with a picture never seen before, a follow-up, and a turn of words."""
    first, follow_up, words = [], [], []
    for run in range(runs + 1):
        opening = user("What is in this picture?", picture(run))
        answer = ask(model, [opening], 16)
        first.append(1000 * answer.usage.first_token_seconds)
        talk = [opening, assistant(answer.text), user("What colour is the ground?")]
        follow_up.append(1000 * ask(model, talk, 4).usage.first_token_seconds)
        words.append(1000 * ask(model, [user(PROMPTS[run % len(PROMPTS)])], 4).usage.first_token_seconds)
    share = [100 * later / opening for later, opening in zip(follow_up[1:], first[1:], strict=True)]
    return [
        Figure("first word: first turn with a picture", "ms", tuple(first[1:])),
        Figure("first word: follow-up", "ms", tuple(follow_up[1:])),
        Figure("first word: follow-up against first turn", "%", tuple(share), FOLLOW_UP_GOAL),
        Figure("first word: words only", "ms", tuple(words[1:])),
    ]


def agreement(exact: LocalModel, quantized: LocalModel) -> Figure:
    """How much of greedy float32 replies of 32 tokens int8 repeats before its first other word, for ten prompts."""
    shares = []
    for words in PROMPTS:
        expected, found = (ask(model, [user(words)], 32).text.split() for model in (exact, quantized))
        same = next((at for at, pair in enumerate(zip(expected, found, strict=False)) if pair[0] != pair[1]), None)
        shares.append(100 * (1.0 if same is None else same / len(expected)))
    return Figure("greedy words before int8 leaves float32", "%", tuple(shares))


def ask(model: LocalModel, messages: list[Message], tokens: int) -> Answer:
    """The model's answer of at most `tokens`."""
    pieces: list[str] = []
    stream = model.stream(messages, GenerationOptions(max_tokens=tokens), threading.Event())
    while True:
        try:
            pieces.append(next(stream))
        except StopIteration as end:
            return Answer("".join(pieces), end.value)


def load_plain(folder: Path) -> tuple[Any, dict[str, torch.Tensor]]:
    """The same weights in transformers itself, and the same prompt."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    import assistant.models.pocket  # noqa: F401 - makes transformers know the eyes of the bundled model

    processor = AutoProcessor.from_pretrained(folder)
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    talk = [{"role": "user", "content": [{"type": "text", "text": STORY}]}]
    prompt = processor.apply_chat_template(talk, add_generation_prompt=True)
    return model, dict(processor(text=[prompt], return_tensors="pt", add_special_tokens=False))


def plain_milliseconds(model: Any, prompt: dict[str, torch.Tensor]) -> float:
    """Milliseconds that each token after the first takes."""

    def seconds(tokens: int) -> float:
        started = time.perf_counter()
        with torch.inference_mode():
            model.generate(**prompt, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False)
        return time.perf_counter() - started

    first = seconds(1)
    return 1000 * (seconds(DECODED) - first) / (DECODED - 1)


def picture(number: int) -> Image:
    """A drawing of the size of an everyday photo, another one for every number."""
    drawing = PIL.Image.new("RGB", (1024, 768), "skyblue")
    pen = PIL.ImageDraw.Draw(drawing)
    pen.rectangle((0, 500, 1024, 768), fill="forestgreen")
    pen.ellipse((380 + number, 260, 660 + number, 540), fill="firebrick")
    file = io.BytesIO()
    drawing.save(file, "JPEG", quality=90)
    return ImageLoader().load_bytes(file.getvalue(), f"disc-{number}.jpg").image


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decode", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    print(table(measure_folder(arguments.folder, arguments.runs)))


if __name__ == "__main__":
    main()
