"""Compare the decoding speed of the bundled vision model with other engines, in turns in one process.

    plain        transformers' `generate` with the same weights in float32, as its documentation shows
    llama.cpp    the 4-bit file that the weights come from
    none         Parley, unquantized
    int8         Parley's default

`python -m benchmarks.decode FOLDER` measures an assembled model in another folder, without llama.cpp.
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
from assistant.models.base import ChatModel, GenerationOptions
from assistant.models.gguf.model import GgufModel
from assistant.models.local.model import LocalModel
from assistant.models.pocket.vision_weights import DECODER
from assistant.progress import no_progress
from assistant.settings import load
from assistant.wheels import fetch
from benchmarks.figures import Figure, format_table
from parley.factory.bundled import assemble_pocket

REPLY_TOKENS = 48
"""Tokens of a timed reply."""

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
# Upper limits in percent: decode three times as fast as transformers and 0.8 times as fast as
# llama.cpp, and answer a follow-up in a quarter of the time of a first turn.
DECODE_GOAL, LLAMA_CPP_GOAL, FOLLOW_UP_GOAL = 100 / 3, 100 / 0.8, 25.0


@dataclass(frozen=True)
class TimedReply:
    """A reply with its tokens and times."""

    text: str
    usage: Usage


def measure(runs: int) -> list[Figure]:
    """Measure the bundled model, which is fetched and assembled first if needed."""
    settings = load({"model": "pocket-small"}).settings
    return measure_folder(assemble_pocket(settings), runs, fetch(DECODER, settings.cache_dir, no_progress))


def measure_folder(folder: Path, runs: int, gguf: Path | None = None) -> list[Figure]:
    """Measure the model in `folder`, each figure from `runs` runs, and the language model in `gguf` beside it."""
    plain, prompt = load_transformers(folder)
    none, int8 = (LocalModel.load(str(folder), device="cpu", quantize=quantize) for quantize in ("none", "int8"))
    models: dict[str, ChatModel] = {"none": none, "int8": int8}
    if gguf is not None:
        models["llama.cpp"] = GgufModel.load(gguf, context_tokens=2048, threads=torch.get_num_threads())
    talk = [user(STORY)]
    milliseconds: dict[str, list[float]] = {name: [] for name in ("plain", *models)}
    # The first run warms up and is not counted.
    for _ in range(runs + 1):
        milliseconds["plain"].append(transformers_ms_per_token(plain, prompt))
        for name, model in models.items():
            milliseconds[name].append(1000 / generate(model, talk, REPLY_TOKENS).usage.tokens_per_second)
    del plain
    gc.collect()
    for values in milliseconds.values():
        del values[0]
    share = [
        Figure(
            f"a token: int8 against {name}",
            "%",
            tuple(100 * ours / theirs for ours, theirs in zip(milliseconds["int8"], milliseconds[name], strict=True)),
            goal,
        )
        for name, goal in (("plain", DECODE_GOAL), ("llama.cpp", LLAMA_CPP_GOAL))
        if name in milliseconds
    ]
    return [
        Figure("a token: plain transformers, float32", "ms", tuple(milliseconds["plain"])),
        Figure("a token: Parley, float32", "ms", tuple(milliseconds["none"])),
        Figure("a token: Parley, int8", "ms", tuple(milliseconds["int8"])),
        *(Figure("a token: llama.cpp", "ms", tuple(milliseconds[name])) for name in models if name == "llama.cpp"),
        *share,
        *measure_first_token(int8, runs),
        measure_agreement(none, int8),
    ]


def measure_first_token(model: LocalModel, runs: int) -> list[Figure]:
    """Time the first word of a first turn with a new image, of a follow-up, and of a turn without images."""
    first, follow_up, words = [], [], []
    for run in range(runs + 1):
        opening = user("What is in this picture?", make_image(run))
        answer = generate(model, [opening], 16)
        first.append(1000 * answer.usage.first_token_seconds)
        talk = [opening, assistant(answer.text), user("What colour is the ground?")]
        follow_up.append(1000 * generate(model, talk, 4).usage.first_token_seconds)
        words.append(1000 * generate(model, [user(PROMPTS[run % len(PROMPTS)])], 4).usage.first_token_seconds)
    share = [100 * later / opening for later, opening in zip(follow_up[1:], first[1:], strict=True)]
    return [
        Figure("first word: first turn with a picture", "ms", tuple(first[1:])),
        Figure("first word: follow-up", "ms", tuple(follow_up[1:])),
        Figure("first word: follow-up against first turn", "%", tuple(share), FOLLOW_UP_GOAL),
        Figure("first word: words only", "ms", tuple(words[1:])),
    ]


def measure_agreement(exact: LocalModel, quantized: LocalModel) -> Figure:
    """Return the share of greedy float32 replies of 32 tokens that int8 repeats before the first different word."""
    shares = []
    for words in PROMPTS:
        expected, found = (generate(model, [user(words)], 32).text.split() for model in (exact, quantized))
        same = next((at for at, pair in enumerate(zip(expected, found, strict=False)) if pair[0] != pair[1]), None)
        shares.append(100 * (1.0 if same is None else same / len(expected)))
    return Figure("greedy words before int8 leaves float32", "%", tuple(shares))


def generate(model: ChatModel, messages: list[Message], max_tokens: int) -> TimedReply:
    """Return the reply of `model`, at most `max_tokens` long."""
    chunks: list[str] = []
    stream = model.stream(messages, GenerationOptions.greedy(max_tokens), threading.Event())
    while True:
        try:
            item = next(stream)
        except StopIteration as end:
            return TimedReply("".join(chunks), end.value)
        if isinstance(item, str):
            chunks.append(item)


def load_transformers(folder: Path) -> tuple[Any, dict[str, torch.Tensor]]:
    """Load the same weights with transformers, and tokenize the prompt."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    import assistant.models.pocket.vision_encoder  # noqa: F401 - registers the vision encoder of the bundled model with transformers

    processor = AutoProcessor.from_pretrained(folder)
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    talk = [{"role": "user", "content": [{"type": "text", "text": STORY}]}]
    prompt = processor.apply_chat_template(talk, add_generation_prompt=True)
    return model, dict(processor(text=[prompt], return_tensors="pt", add_special_tokens=False))


def transformers_ms_per_token(model: Any, prompt: dict[str, torch.Tensor]) -> float:
    """Return the milliseconds of each token after the first."""

    def seconds(tokens: int) -> float:
        started = time.perf_counter()
        with torch.inference_mode():
            model.generate(**prompt, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False)
        return time.perf_counter() - started

    first = seconds(1)
    return 1000 * (seconds(REPLY_TOKENS) - first) / (REPLY_TOKENS - 1)


def make_image(number: int) -> Image:
    """Draw an image of the size of an everyday photo, a different one for each number."""
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
    print(format_table(measure_folder(arguments.folder, arguments.runs)))


if __name__ == "__main__":
    main()
