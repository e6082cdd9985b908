"""Measure prefill and decoding of large models: Parley against plain transformers and against memory bandwidth.

    python -m benchmarks large 2b 8b      on a GPU: random weights in the shapes of Qwen3-VL 2B and 8B
    python -m benchmarks large tiny       anywhere: a tiny model, which tests this script and measures nothing

`python -m benchmarks.large` is the same.

Speed does not depend on trained weights. Random ones are written to a folder once and loaded like any model. Plain
transformers is `generate` on the same weights, in NF4 by bitsandbytes or in bf16, without compilation. The lower limit
is the time to read the decoder's weights and the keys and values once for each token, at the measured copy bandwidth.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from assistant.messages import Message, assistant, user
from assistant.models.local.checkpoint import read_weights
from assistant.models.local.compiled import CompiledDecoder, StaticKVCache
from assistant.models.local.decoders.transformers import TransformersDecoder
from assistant.models.local.generation_config import GenerationDefaults
from assistant.models.local.image_encoder import ImageEncoder
from assistant.models.local.loader import LoadedModel
from assistant.models.local.model import LocalModel
from assistant.models.local.placement import Placement, choose_device
from assistant.models.local.prompt_cache import Prompt
from assistant.models.local.prompt_lookup import NUM_DRAFT_TOKENS
from assistant.models.memory import estimate, precision_for, profile_of
from benchmarks.decode import generate, make_image
from benchmarks.figures import Figure, format_table, save_figures
from benchmarks.shapes import QWEN3_VL
from benchmarks.synthetic_model import IMAGE_SIDE, TINY_IMAGE_SIDE, SyntheticProcessor, free_memory, save_random_weights

RESULTS = Path(__file__).parent / "results"
CONTEXT = 8192
# Upper limits: an eighth of plain transformers' time, twice the time of reading everything once, a twentieth of a first
# turn, and a tenth beside the memory estimate (all in percent). A follow-up prefills no image again, only a few tokens.
PLAIN_GOAL, BOUND_GOAL, FOLLOW_UP_GOAL, MEMORY_GOAL, FOLLOW_UP_TOKENS = 12.5, 200.0, 5.0, 10.0, 8.0


@dataclass(frozen=True)
class Timings:
    """Milliseconds of a token, and of the first token of a turn with an image and of a follow-up."""

    token: tuple[float, ...]
    first: tuple[float, ...]
    follow_up: tuple[float, ...] = ()


def measure(size: str, device: str, runs: int, tokens: int, backend: str = "inductor") -> list[Figure]:
    """Measure a Qwen3-VL of this `size`, each figure from `runs` runs; timed replies have `tokens` tokens."""
    config = QWEN3_VL[size]()
    bandwidth = [measure_copy_bandwidth(device) for _ in range(runs)]
    with tempfile.TemporaryDirectory(prefix="parley-benchmark-") as folder:
        save_random_weights(config, Path(folder), device)
        nf4_placement = choose_device(device, "nf4")
        plain = {
            kind: time_transformers(Path(folder), config, choose_device(device, kind), runs, tokens)
            for kind in ("nf4", "bf16")
        }
        nf4, nf4_figures = time_parley(Path(folder), config, nf4_placement, runs, tokens, backend)
        bf16, _ = time_parley(Path(folder), config, choose_device(device, "bf16"), runs, tokens, backend)
        encoder_times = {
            quantized: time_vision_encoder(Path(folder), config, replace(nf4_placement, quantize_tower=quantized), runs)
            for quantized in (False, True)
        }
    lower_bound = tuple(1000 * bytes_per_token(config, nf4_placement, tokens) / speed for speed in bandwidth)
    return [
        Figure("memory: copied, read and write together", "GB/s", tuple(speed / 1e9 for speed in bandwidth)),
        Figure("a token in nf4: reading everything once", "ms", lower_bound),
        *_figures("a token in {}: plain transformers", {kind: each.token for kind, each in plain.items()}),
        *_figures("a token in {}: Parley", {"nf4": nf4.token, "bf16": bf16.token}),
        Figure("a token in nf4: Parley against plain", "%", _percentages(nf4.token, plain["nf4"].token), PLAIN_GOAL),
        Figure("a token in nf4: Parley against reading once", "%", _percentages(nf4.token, lower_bound), BOUND_GOAL),
        *_figures("first word, with a picture, {}: plain transformers", {k: p.first for k, p in plain.items()}),
        *_figures("first word, with a picture, {}: Parley", {"nf4": nf4.first, "bf16": bf16.first}),
        Figure("first word of a follow-up, nf4: Parley", "ms", nf4.follow_up),
        Figure(
            "first word of a follow-up against first turn",
            "%",
            _percentages(nf4.follow_up, nf4.first),
            FOLLOW_UP_GOAL,
        ),
        *nf4_figures,
        Figure("the picture alone, tower in bf16", "ms", encoder_times[False]),
        Figure("the picture alone, tower in nf4", "ms", encoder_times[True]),
    ]


def time_transformers(folder: Path, config: Any, placement: Placement, runs: int, tokens: int) -> Timings:
    """Time `generate` of transformers with the same prompts."""
    model, processor = read_weights(folder, config, placement), SyntheticProcessor(config)
    times: dict[str, list[float]] = {"token": [], "first": []}
    # The first run warms up and is not counted.
    for run in range(runs + 1):
        shown, words = (_inputs(processor, model, [message]) for message in (_first_message(run), user("w7 " * 32)))
        times["first"].append(_generate(model, shown, 1))
        few = _generate(model, words, 1)
        times["token"].append((_generate(model, words, tokens) - few) / (tokens - 1))
    del model
    free_memory()
    return Timings(tuple(times["token"][1:]), tuple(times["first"][1:]))


def time_parley(
    folder: Path, config: Any, placement: Placement, runs: int, tokens: int, backend: str
) -> tuple[Timings, list[Figure]]:
    """Time Parley, its compilation and recompilations, and compare its memory with the estimate."""
    if placement.device_type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    context = min(CONTEXT, config.text_config.max_position_embeddings)
    started = time.perf_counter()
    model, decoder = build_model(folder, config, placement, context, backend)
    seconds = time.perf_counter() - started
    times: dict[str, list[float]] = {"token": [], "first": [], "follow_up": []}
    prefilled: list[float] = []
    for run in range(runs + 1):
        opening = _first_message(run)
        answer = generate(model, [opening], 8)
        times["first"].append(1000 * answer.usage.first_token_seconds)
        talk = [opening, assistant("w9"), user("w8")]
        usage = generate(model, talk, 2).usage
        times["follow_up"].append(1000 * usage.first_token_seconds)
        prefilled.append(float(usage.prompt_tokens - usage.cached_tokens))
        times["token"].append(1000 / generate(model, [user("w7 " * 32)], tokens).usage.tokens_per_second)
    used, estimated = _measured_bytes(decoder, placement), _estimated_bytes(config, placement, context)
    figures = [
        Figure("loading and compiling, nf4", "s", (seconds,)),
        Figure("tokens that a follow-up of a few words reads", "", tuple(prefilled[1:]), FOLLOW_UP_TOKENS),
        Figure("graphs compiled anew over 20 prompts", "", (float(count_recompilations(model)),), 0.0),
        Figure("memory, nf4", "MB", (used / 1e6,)),
        Figure("memory, nf4: distance from the estimate", "%", (100 * abs(used - estimated) / estimated,), MEMORY_GOAL),
    ]
    del model, decoder
    free_memory()
    return Timings(*(tuple(values[1:]) for values in times.values())), figures


def time_vision_encoder(folder: Path, config: Any, placement: Placement, runs: int) -> tuple[float, ...]:
    """Time encoding an image, without prefilling it."""
    model, processor = read_weights(folder, config, placement), SyntheticProcessor(config)
    shown = _inputs(processor, model, [_first_message(0)])
    image_inputs = {name: shown[name] for name in ("pixel_values", "image_grid_thw")}
    encode = partial(model.get_image_features, **image_inputs)
    times = [_milliseconds(encode, model.device) for _ in range(runs + 1)]
    del model, encode
    free_memory()
    return tuple(times[1:])


def count_recompilations(model: LocalModel) -> int:
    """Return the number of graphs that 20 prompts of different lengths make the compiler trace again."""
    from torch._dynamo.utils import counters

    before = counters["stats"]["unique_graphs"]
    for number in range(20):
        generate(model, [user("w7 " * (1 + 37 * number))], 4)
    return int(counters["stats"]["unique_graphs"] - before)


def build_model(
    folder: Path, config: Any, placement: Placement, context: int, backend: str
) -> tuple[LocalModel, TransformersDecoder]:
    """Load the model in `folder` as Parley runs it, but with a `SyntheticProcessor`."""
    processor = SyntheticProcessor(config)
    with torch.inference_mode():
        model = read_weights(folder, config, placement)
        image_encoder = ImageEncoder(model, processor)
        decoder = _WithoutPromptLookup(model, processor, image_encoder)
        cache = StaticKVCache.for_model(model, context)
        steps = CompiledDecoder(
            model, cache, uses_mrope=decoder.uses_mrope, backend=None if backend == "none" else backend
        )
        steps.warmup((1, 1 + NUM_DRAFT_TOKENS))
        decoder.use_compiled(steps)
    # No token ends a reply: one that random weights write by chance would cut a measurement short.
    loaded = LoadedModel(
        name="benchmark",
        bundled=False,
        decoder=decoder,
        image_encoder=image_encoder,
        processor=processor,
        config=config,
        generation=GenerationDefaults(),
        placement=placement,
        context_tokens=context,
    )
    return LocalModel(loaded), decoder


class _WithoutPromptLookup(TransformersDecoder):
    """Accepts no drafts: random weights write in loops, in which prompt lookup is right far too often."""

    def verify(self, prompt: Prompt, draft_tokens: Sequence[int]) -> None:  # noqa: ARG002 - nothing is verified
        return None


def measure_copy_bandwidth(device: str) -> float:
    """Return the bytes read and written in a second while copying a block much larger than any cache."""
    block = torch.zeros(2**30 if device.startswith("cuda") else 2**28, dtype=torch.uint8, device=device)
    other = torch.empty_like(block)
    times = [_milliseconds(lambda: other.copy_(block), block.device) for _ in range(4)]
    return 2 * len(block) / (min(times) / 1000)


def bytes_per_token(config: Any, placement: Placement, reply: int) -> int:
    """Return the bytes read for a token: decoder, output layer, and the keys and values halfway through the reply."""
    shape, held = profile_of(config), precision_for(placement.quantization, placement.device_type)
    text = config.text_config
    tokens = 32 + reply // 2
    kept: int = held.other * text.vocab_size * text.hidden_size + held.cache * shape.kv_values * tokens
    return round(shape.decoder_linear_params * held.quantizable) + kept


def _estimated_bytes(config: Any, placement: Placement, context: int) -> int:
    estimated = estimate(profile_of(config), precision_for(placement.quantization, placement.device_type), context)
    return estimated.total if placement.device_type == "cuda" else estimated.weights + estimated.cache


def _measured_bytes(decoder: Any, placement: Placement) -> int:
    """Return the peak memory in bytes; on CPU, that of the weights and of the keys and values."""
    if placement.device_type == "cuda":
        return int(torch.cuda.max_memory_allocated())
    taken: int = 0
    for parameter in decoder._model.parameters():  # noqa: SLF001 - a decoder does not expose its model
        taken += parameter.nbytes
        if state := getattr(parameter, "quant_state", None):
            taken += state.absmax.nbytes + (state.state2.absmax.nbytes if state.nested else 0)
    cache: StaticKVCache = decoder._compiled.cache  # noqa: SLF001
    return taken + sum(block.nbytes for block in (*cache.keys, *cache.values))


def _first_message(number: int) -> Message:
    return user("w8 w9", make_image(number))


def _inputs(processor: SyntheticProcessor, model: Any, messages: Sequence[Message]) -> dict[str, torch.Tensor]:
    from assistant.attachments.images import decode
    from assistant.models.local.chat_template import ChatTemplate

    text = ChatTemplate(processor, "benchmark").render(messages)
    images = [decode(image) for message in messages for image in message.images]
    inputs = processor([text], [images] if images else None)
    return {
        name: value.to(model.device, model.dtype if value.is_floating_point() else value.dtype)
        for name, value in inputs.items()
    }


def _generate(model: Any, inputs: dict[str, torch.Tensor], tokens: int) -> float:
    def generate() -> None:
        with torch.inference_mode():
            model.generate(**inputs, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False)

    return _milliseconds(generate, model.device)


def _milliseconds(work: Callable[[], object], device: torch.device) -> float:
    _wait_for(device)
    started = time.perf_counter()
    with torch.inference_mode():
        work()
    _wait_for(device)
    return 1000 * (time.perf_counter() - started)


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _figures(name: str, times: dict[str, tuple[float, ...]]) -> list[Figure]:
    return [Figure(name.format(kind), "ms", values) for kind, values in times.items()]


def _percentages(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, ...]:
    return tuple(100 * one / other for one, other in zip(ours, theirs, strict=True))


def describe_device(placement: Placement) -> SimpleNamespace:
    """Return the name of the device and the CUDA version."""
    if placement.device_type != "cuda":
        return SimpleNamespace(name="cpu", cuda=None)
    return SimpleNamespace(name=torch.cuda.get_device_name(placement.device), cuda=torch.version.cuda)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line, or with `arguments`."""
    from transformers.utils.logging import disable_progress_bar

    parser = argparse.ArgumentParser(prog="python -m benchmarks.large", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "sizes", nargs="*", metavar="SIZE", help="tiny, 2b or 8b (default: 2b and 8b on a GPU, else tiny)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1")
    parser.add_argument("--runs", type=int, default=5, help="number of runs of each measurement (default: 5)")
    parser.add_argument("--tokens", type=int, default=64, help="tokens of a timed reply (default: 64)")
    parser.add_argument("--backend", default="inductor", help="compiler backend: inductor, eager or none")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    options = parser.parse_args(arguments)
    placement = choose_device(options.device)
    sizes = options.sizes or (["2b", "8b"] if placement.device_type == "cuda" else ["tiny"])
    if unknown := set(sizes) - QWEN3_VL.keys():
        parser.error(f"there is no size {', '.join(sorted(unknown))}: choose from {', '.join(QWEN3_VL)}")
    if options.runs < 1 or options.tokens < 2:
        parser.error("--runs must be 1 or more, and --tokens 2 or more")
    disable_progress_bar()
    device = describe_device(placement)
    is_dry_run = "tiny" in sizes or placement.device_type != "cuda"
    for size in sizes:
        figures = measure(size, placement.device, options.runs, options.tokens, options.backend)
        print(f"Qwen3-VL {size} on {device.name}\n{format_table(figures)}\n", flush=True)
        side = TINY_IMAGE_SIDE if size == "tiny" else IMAGE_SIDE
        what = f"Qwen3-VL {size}, random weights, a picture of {side} x {side} pixels"
        metadata = {
            "what": f"{what}; a proof of the script, no figure of a GPU" if is_dry_run else what,
            "device": device.name,
            "cuda": device.cuda,
            "compiler": options.backend,
            "bitsandbytes": version("bitsandbytes"),
        }
        save_figures(
            figures, options.out / f"large-{size}-{placement.device_type}-{datetime.now(UTC).date()}.json", metadata
        )


if __name__ == "__main__":
    main()
