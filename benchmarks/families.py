"""Follow-up questions in each family: how many tokens are computed again, and whether a warm cache changes a reply.

Tiny models of random weights in the shapes of the real families, in float32 on a CPU, so that a difference between warm
and cold is an error and not rounding. Most need torchvision: run it in the environment of `scripts/setup gpu`.
"""

import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.figures import Figure

if TYPE_CHECKING:
    from assistant.messages import Message
    from assistant.models.local.model import LocalModel

_MAX_TOKENS = 12


def measure(runs: int) -> list[Figure]:  # noqa: ARG001 - every run gives the same
    """Return the figures of each family that this environment can build."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, make in _families():
            try:
                make(Path(folder) / name)
            except ImportError:
                print(f"{name}: needs torchvision, left out")
                continue
            figures += _measure_family(name, Path(folder) / name)
    return figures


def _families() -> "Iterator[tuple[str, Callable[[Path], Path]]]":
    from tests.fakes import tiny_catalog, tiny_models

    yield "llava", tiny_models.make_llava
    yield "gemma3", tiny_models.make_gemma
    yield "qwen3_vl", tiny_catalog.make_qwen3_vl
    yield "qwen3_5", tiny_catalog.make_qwen3_5
    yield "gemma4", tiny_catalog.make_gemma4
    yield "gemma4, images in both directions", lambda folder: tiny_catalog.make_gemma4(folder, bidirectional=True)
    yield "smolvlm2", tiny_catalog.make_smolvlm2
    yield "internvl3_5", tiny_catalog.make_internvl
    yield "lfm3_vl", tiny_catalog.make_lfm3_vl


def _measure_family(name: str, folder: Path) -> list[Figure]:
    from assistant.messages import assistant, user
    from assistant.models.local.model import LocalModel
    from tests.fakes.tiny_models import make_image

    warm, cold = (LocalModel.load(str(folder), device="cpu", quantize="none") for _ in range(2))
    turns = [user("Look!", make_image(1))]
    first, _, _ = _reply(warm, turns)
    turns += [assistant(first or "."), user("And what is this?", make_image(2, 96, 32))]
    warm_reply, tokens, cached = _reply(warm, turns)
    cold_reply, _, _ = _reply(cold, turns)
    return [
        Figure(f"{name}: prompt of a follow-up with an image", "tokens", (tokens,)),
        Figure(f"{name}: of them computed again", "tokens", (tokens - cached,)),
        Figure(f"{name}: warm and cold replies that differ", "", (int(warm_reply != cold_reply),), goal=0),
    ]


def _reply(model: "LocalModel", turns: "list[Message]") -> tuple[str, int, int]:
    """Return the reply, the tokens of its prompt, and how many of them were in the cache."""
    from assistant.models.base import GenerationOptions
    from tests.fakes.generation import complete_with_usage

    options = GenerationOptions(max_tokens=_MAX_TOKENS, temperature=0)
    text, usage = complete_with_usage(model.stream(turns, options, threading.Event()))
    return text, usage.prompt_tokens, usage.cached_tokens
