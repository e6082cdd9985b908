"""How fast a large model reads and writes: Parley against plain transformers, against bf16, and against its memory.

    python -m benchmarks large 2b 8b      on a GPU: random weights in the shapes of Qwen3-VL 2B and 8B
    python -m benchmarks large tiny       anywhere: the same with a tiny one, which proves the script and nothing else

`python -m benchmarks.large` is the same.

Weights need not be trained to be multiplied. They are written to a folder once and loaded the way any model is. Plain
transformers is `generate` on the same weights, quantized by bitsandbytes to NF4 or left in bf16, and nothing compiled.
What no program can beat is the time it takes to read the decoder's weights and the keys and values once for each token,
at the speed at which this memory was just seen to copy.
"""

import argparse
import gc
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
from assistant.models.local.compiled import CompiledDecoder, StaticKVCache
from assistant.models.local.decoders.transformers import TransformersDecoder
from assistant.models.local.image_encoder import ImageEncoder
from assistant.models.local.loader import LoadedModel, read_weights
from assistant.models.local.model import LocalModel
from assistant.models.local.placement import Placement, choose_device
from assistant.models.local.prompt_cache import Prompt
from assistant.models.local.prompt_lookup import NUM_DRAFT_TOKENS
from assistant.models.memory import estimate, precision_for, profile_of
from benchmarks.decode import ask, picture
from benchmarks.figures import Figure, save, table
from benchmarks.shapes import QWEN3_VL

RESULTS = Path(__file__).parent / "results"
CONTEXT = 8192
SIDE, TINY_SIDE = 1024, 256
"""Pixels of a picture's side, of which 32 x 32 make a token: 1,024 tokens in all, and 64 for the tiny model."""

# The goals of these figures, each the most it should be: an eighth of plain transformers' time, twice the time of
# reading everything once, a twentieth of a first turn, a tenth beside the estimate, and nothing compiled anew. A
# follow-up reads no picture again: of its few words, there are at most as many tokens as this.
PLAIN_GOAL, BOUND_GOAL, FOLLOW_UP_GOAL, MEMORY_GOAL, FOLLOW_UP_TOKENS = 12.5, 200.0, 5.0, 10.0, 8.0

_PATCH, _MERGED = 16, 2
_TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<image>' }}"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{{ '<end>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<reply>' }}{% endif %}"
)


@dataclass(frozen=True)
class Measured:
    """Milliseconds: a token, and the first one of a first turn with a picture and of a follow-up."""

    token: tuple[float, ...]
    first: tuple[float, ...]
    follow_up: tuple[float, ...] = ()


def measure(size: str, device: str, runs: int, tokens: int, backend: str = "inductor") -> list[Figure]:
    """All figures for a Qwen3-VL of this `size`, each from `runs` runs; timed replies have so many `tokens`."""
    config = QWEN3_VL[size]()
    bandwidth = [copied_bytes_a_second(device) for _ in range(runs)]
    with tempfile.TemporaryDirectory(prefix="parley-benchmark-") as folder:
        save_random(config, Path(folder), device)
        nf4 = choose_device(device, "nf4")
        plain = {
            kind: plain_figures(Path(folder), config, choose_device(device, kind), runs, tokens) for kind in ("nf4", "bf16")
        }
        fast, more = parley_figures(Path(folder), config, nf4, runs, tokens, backend)
        whole, _ = parley_figures(Path(folder), config, choose_device(device, "bf16"), runs, tokens, backend)
        towers = {
            quantized: tower_milliseconds(Path(folder), config, replace(nf4, quantize_tower=quantized), runs)
            for quantized in (False, True)
        }
    least = tuple(1000 * read_bytes(config, nf4, tokens) / speed for speed in bandwidth)
    return [
        Figure("memory: copied, read and write together", "GB/s", tuple(speed / 1e9 for speed in bandwidth)),
        Figure("a token in nf4: reading everything once", "ms", least),
        *_rows("a token in {}: plain transformers", {kind: each.token for kind, each in plain.items()}),
        *_rows("a token in {}: Parley", {"nf4": fast.token, "bf16": whole.token}),
        Figure("a token in nf4: Parley against plain", "%", _shares(fast.token, plain["nf4"].token), PLAIN_GOAL),
        Figure("a token in nf4: Parley against reading once", "%", _shares(fast.token, least), BOUND_GOAL),
        *_rows("first word, with a picture, {}: plain transformers", {k: p.first for k, p in plain.items()}),
        *_rows("first word, with a picture, {}: Parley", {"nf4": fast.first, "bf16": whole.first}),
        Figure("first word of a follow-up, nf4: Parley", "ms", fast.follow_up),
        Figure(
            "first word of a follow-up against first turn", "%", _shares(fast.follow_up, fast.first), FOLLOW_UP_GOAL
        ),
        *more,
        Figure("the picture alone, tower in bf16", "ms", towers[False]),
        Figure("the picture alone, tower in nf4", "ms", towers[True]),
    ]


def plain_figures(folder: Path, config: Any, placement: Placement, runs: int, tokens: int) -> Measured:
    """What transformers' own `generate` takes, asked the same."""
    model, processor = read_weights(folder, config, placement), Processor(config)
    times: dict[str, list[float]] = {"token": [], "first": []}
    # The first of each warms up and is not counted.
    for run in range(runs + 1):
        shown, words = (_inputs(processor, model, [message]) for message in (_opening(run), user("w7 " * 32)))
        times["first"].append(_generate(model, shown, 1))
        few = _generate(model, words, 1)
        times["token"].append((_generate(model, words, tokens) - few) / (tokens - 1))
    del model
    _free()
    return Measured(tuple(times["token"][1:]), tuple(times["first"][1:]))


def parley_figures(
    folder: Path, config: Any, placement: Placement, runs: int, tokens: int, backend: str
) -> tuple[Measured, list[Figure]]:
    """What Parley takes; and the time it compiles, what it compiles again, and its memory against the estimate."""
    if placement.device_type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    context = min(CONTEXT, config.text_config.max_position_embeddings)
    started = time.perf_counter()
    model, decoder = build(folder, config, placement, context, backend)
    seconds = time.perf_counter() - started
    times: dict[str, list[float]] = {"token": [], "first": [], "follow_up": []}
    anew: list[float] = []
    for run in range(runs + 1):
        opening = _opening(run)
        answer = ask(model, [opening], 8)
        times["first"].append(1000 * answer.usage.first_token_seconds)
        talk = [opening, assistant("w9"), user("w8")]
        usage = ask(model, talk, 2).usage
        times["follow_up"].append(1000 * usage.first_token_seconds)
        anew.append(float(usage.prompt_tokens - usage.cached_tokens))
        times["token"].append(1000 / ask(model, [user("w7 " * 32)], tokens).usage.tokens_per_second)
    taken, expected = _taken(decoder, placement), _expected(config, placement, context)
    more = [
        Figure("loading and compiling, nf4", "s", (seconds,)),
        Figure("tokens that a follow-up of a few words reads", "", tuple(anew[1:]), FOLLOW_UP_TOKENS),
        Figure("graphs compiled anew over 20 prompts", "", (float(recompilations(model)),), 0.0),
        Figure("memory, nf4", "MB", (taken / 1e6,)),
        Figure("memory, nf4: distance from the estimate", "%", (100 * abs(taken - expected) / expected,), MEMORY_GOAL),
    ]
    del model, decoder
    _free()
    return Measured(*(tuple(values[1:]) for values in times.values())), more


def tower_milliseconds(folder: Path, config: Any, placement: Placement, runs: int) -> tuple[float, ...]:
    """What looking at the picture takes, without reading it."""
    model, processor = read_weights(folder, config, placement), Processor(config)
    shown = _inputs(processor, model, [_opening(0)])
    wanted = {name: shown[name] for name in ("pixel_values", "image_grid_thw")}
    look = partial(model.get_image_features, **wanted)
    times = [_milliseconds(look, model.device) for _ in range(runs + 1)]
    del model, look
    _free()
    return tuple(times[1:])


def recompilations(model: LocalModel) -> int:
    """How many graphs 20 prompts of different length make the compiler trace again."""
    from torch._dynamo.utils import counters

    before = counters["stats"]["unique_graphs"]
    for number in range(20):
        ask(model, [user("w7 " * (1 + 37 * number))], 4)
    return int(counters["stats"]["unique_graphs"] - before)


def build(
    folder: Path, config: Any, placement: Placement, context: int, backend: str
) -> tuple[LocalModel, TransformersDecoder]:
    """The model in `folder` as Parley runs it, with `Processor` in the place of its own."""
    processor = Processor(config)
    with torch.inference_mode():
        model = read_weights(folder, config, placement)
        pictures = ImageEncoder(model, processor)
        decoder = _Unguessing(model, processor, pictures)
        cache = StaticKVCache.for_model(model, context)
        steps = CompiledDecoder(model, cache, uses_mrope=decoder.uses_mrope, backend=None if backend == "none" else backend)
        steps.warmup((1, 1 + NUM_DRAFT_TOKENS))
        decoder.use_compiled(steps)
    # No token ends a reply: one that random weights write by chance would cut a measurement short.
    loaded = LoadedModel(
        name="benchmark",
        bundled=False,
        decoder=decoder,
        image_encoder=pictures,
        processor=processor,
        config=config,
        eos_token_ids=None,
        placement=placement,
        context_tokens=context,
    )
    return LocalModel(loaded), decoder


class _Unguessing(TransformersDecoder):
    """Replies of random weights go in circles, in which guesses are right more often than anywhere else."""

    def verify(self, prompt: Prompt, guesses: Sequence[int]) -> None:  # noqa: ARG002 - nothing is read
        return None


class Processor:
    """Stands in for Qwen-VL's processor, which needs torchvision: words like "w7", and pictures cut into patches."""

    def __init__(self, config: Any) -> None:
        from tokenizers import Tokenizer, models, pre_tokenizers
        from transformers import PreTrainedTokenizerFast

        self._config = config
        self.side = TINY_SIDE if config.text_config.hidden_size < 1024 else SIDE
        self.chat_template = _TEMPLATE
        self.image_token = "<image>"
        words = {f"w{number}": number for number in range(10, 300)}
        words |= {"<end>": 300, "<reply>": 301, "w7": 5, "w8": 6, "w9": 7, "<image>": config.image_token_id}
        words |= {"<picture>": config.vision_start_token_id, "</picture>": config.vision_end_token_id}
        tokenizer = Tokenizer(models.WordLevel(words, unk_token="w10"))
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        self.tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            extra_special_tokens={
                "end_token": "<end>",
                "reply_token": "<reply>",
                "image_token": "<image>",
                "picture_token": "<picture>",
                "picture_end_token": "</picture>",
            },
        )
        self.apply_chat_template = self.tokenizer.apply_chat_template

    def __call__(
        self, text: Sequence[str], images: Any = None, *, return_text_replacement_offsets: bool = False, **_: Any
    ) -> dict[str, Any]:
        """The ids of `text`, in which each <image> is written out, and the patches of `images`."""
        grid = self.side // _PATCH
        written = f"<picture>{self.image_token * (grid // _MERGED) ** 2}</picture>"
        ids = self.tokenizer(text[0].replace(self.image_token, written), add_special_tokens=False)["input_ids"]
        inputs: dict[str, Any] = {"input_ids": torch.tensor([ids])}
        if images:
            inputs["pixel_values"] = torch.cat([_patches(image, self.side) for image in images[0]])
            inputs["image_grid_thw"] = torch.tensor([[1, grid, grid]] * len(images[0]))
            inputs["mm_token_type_ids"] = (inputs["input_ids"] == self._config.image_token_id).int()
        if return_text_replacement_offsets:
            inputs["text_replacement_offsets"] = [[{"replacement": written}] * text[0].count(self.image_token)]
        return inputs


def _patches(image: Any, side: int) -> torch.Tensor:
    """A PIL image as rows (patches, values of a patch, twice, as for two frames), in any order."""
    pixels = torch.frombuffer(bytearray(image.resize((side, side)).tobytes()), dtype=torch.uint8).float() / 127.5 - 1
    rows = pixels.view((side // _PATCH) ** 2, -1)
    return torch.cat((rows, rows), 1)


def save_random(config: Any, folder: Path, device: str) -> None:
    """Save a model of `config` with random weights in bfloat16."""
    from transformers import AutoModelForImageTextToText

    with torch.device(device):
        model: Any = AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    del model
    _free()


def copied_bytes_a_second(device: str) -> float:
    """How many bytes this memory reads and writes in a second when a block much larger than any cache is copied."""
    block = torch.zeros(2**30 if device.startswith("cuda") else 2**28, dtype=torch.uint8, device=device)
    other = torch.empty_like(block)
    times = [_milliseconds(lambda: other.copy_(block), block.device) for _ in range(4)]
    return 2 * len(block) / (min(times) / 1000)


def read_bytes(config: Any, placement: Placement, reply: int) -> int:
    """Bytes that have to be read for a token: the decoder, the output layer, keys and values halfway through."""
    shape, held = profile_of(config), precision_for(placement.quantization, placement.device_type)
    text = config.text_config
    tokens = 32 + reply // 2
    kept: int = held.other * text.vocab_size * text.hidden_size + held.cache * shape.kv_values * tokens
    return round(shape.decoder_linear_params * held.quantizable) + kept


def _expected(config: Any, placement: Placement, context: int) -> int:
    estimated = estimate(profile_of(config), precision_for(placement.quantization, placement.device_type), context)
    return estimated.total if placement.device_type == "cuda" else estimated.weights + estimated.cache


def _taken(decoder: Any, placement: Placement) -> int:
    """Bytes at the peak; where no allocator tells it, those of the weights, and of the keys and values."""
    if placement.device_type == "cuda":
        return int(torch.cuda.max_memory_allocated())
    taken: int = 0
    for parameter in decoder._model.parameters():  # noqa: SLF001 - a decoder shows its model to nobody else
        taken += parameter.nbytes
        if state := getattr(parameter, "quant_state", None):
            taken += state.absmax.nbytes + (state.state2.absmax.nbytes if state.nested else 0)
    cache: StaticKVCache = decoder._compiled.cache  # noqa: SLF001
    return taken + sum(block.nbytes for block in (*cache.keys, *cache.values))


def _opening(number: int) -> Message:
    return user("w8 w9", picture(number))


def _inputs(processor: Processor, model: Any, messages: Sequence[Message]) -> dict[str, torch.Tensor]:
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


def _free() -> None:
    torch._dynamo.reset()  # noqa: SLF001 - documented under this name
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _rows(name: str, times: dict[str, tuple[float, ...]]) -> list[Figure]:
    return [Figure(name.format(kind), "ms", values) for kind, values in times.items()]


def _shares(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, ...]:
    return tuple(100 * one / other for one, other in zip(ours, theirs, strict=True))


def device_of(placement: Placement) -> SimpleNamespace:
    """What the figures were measured on, beside the processor."""
    if placement.device_type != "cuda":
        return SimpleNamespace(name="cpu", cuda=None)
    return SimpleNamespace(name=torch.cuda.get_device_name(placement.device), cuda=torch.version.cuda)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line, or with these `arguments` of one."""
    from transformers.utils.logging import disable_progress_bar

    parser = argparse.ArgumentParser(prog="python -m benchmarks.large", description=__doc__.partition("\n")[0])
    parser.add_argument("sizes", nargs="*", metavar="SIZE", help="tiny, 2b or 8b (on a GPU 2b and 8b, else tiny)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1")
    parser.add_argument("--runs", type=int, default=5, help="how often each thing is measured (5)")
    parser.add_argument("--tokens", type=int, default=64, help="how many tokens a timed reply has (64)")
    parser.add_argument("--backend", default="inductor", help="what compiles: inductor, eager or none")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder that the results are written to")
    chosen = parser.parse_args(arguments)
    placement = choose_device(chosen.device)
    sizes = chosen.sizes or (["2b", "8b"] if placement.device_type == "cuda" else ["tiny"])
    if unknown := set(sizes) - QWEN3_VL.keys():
        parser.error(f"there is no size {', '.join(sorted(unknown))}: choose from {', '.join(QWEN3_VL)}")
    if chosen.runs < 1 or chosen.tokens < 2:
        parser.error("--runs takes a number from 1 up, and --tokens one from 2 up")
    disable_progress_bar()
    device = device_of(placement)
    proof = "tiny" in sizes or placement.device_type != "cuda"
    for size in sizes:
        figures = measure(size, placement.device, chosen.runs, chosen.tokens, chosen.backend)
        print(f"Qwen3-VL {size} on {device.name}\n{table(figures)}\n", flush=True)
        side = TINY_SIDE if size == "tiny" else SIDE
        what = f"Qwen3-VL {size}, random weights, a picture of {side} x {side} pixels"
        about = {
            "what": f"{what}; a proof of the script, no figure of a GPU" if proof else what,
            "device": device.name,
            "cuda": device.cuda,
            "compiler": chosen.backend,
            "bitsandbytes": version("bitsandbytes"),
        }
        save(figures, chosen.out / f"large-{size}-{placement.device_type}-{datetime.now(UTC).date()}.json", about)


if __name__ == "__main__":
    main()
