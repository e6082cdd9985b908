"""Measure what telling reasoning, text and calls of tools apart costs: `python -m benchmarks typed-stream`.

The same chunks are read bare and through `replies.stream_reply`, in turns in one process. The figure in percent is that
of a token of the fastest model here: 12 ms, the small bundled one (`python -m benchmarks decode`).
"""

import threading
import time
from collections.abc import Generator, Iterable, Sequence

from assistant.events import Usage
from assistant.messages import Message, user
from assistant.models.base import GenerationOptions
from assistant.models.replies import stream_reply
from assistant.models.scripted import ScriptedModel
from benchmarks.figures import Figure

TOKENS = 20_000
TOKEN_MS = 12.0
# No text repeats itself, or the loop guard would end it.
_REPLY = [f" word{number}{'.' if number % 12 == 0 else ''}" for number in range(TOKENS)]
_REASONED = ["<think>", *_REPLY[: TOKENS // 2], "</think>", *_REPLY[TOKENS // 2 :]]


class _ChunkModel(ScriptedModel):
    def __init__(self, chunks: Sequence[str]) -> None:
        super().__init__()
        self._chunks = chunks

    def stream(
        self,
        messages: Sequence[Message],  # noqa: ARG002 - a `ChatModel`
        options: GenerationOptions,  # noqa: ARG002
        stop: threading.Event,  # noqa: ARG002
    ) -> Generator[str, None, Usage]:
        yield from self._chunks
        return Usage()


def measure(runs: int) -> list[Figure]:
    """Return the time of a chunk, bare and told apart."""
    bare, plain, reasoned = zip(*(_run() for _ in range(runs)), strict=True)
    return [
        Figure("a chunk, bare", "µs", bare),
        Figure("a chunk, told apart", "µs", plain),
        Figure("a chunk, told apart, half of it reasoning", "µs", reasoned),
        Figure("told apart, of a token", "%", tuple(each / TOKEN_MS / 10 for each in plain), 1.0),
    ]


def _run() -> tuple[float, float, float]:
    def told_apart(chunks: Sequence[str]) -> float:
        options = GenerationOptions(max_tokens=TOKENS)
        return _microseconds(stream_reply(_ChunkModel(chunks), [user("Hi")], options, threading.Event()))

    return _microseconds(iter(_REPLY)), told_apart(_REPLY), told_apart(_REASONED)


def _microseconds(items: Iterable[object]) -> float:
    started = time.perf_counter()
    for _ in items:
        pass
    return (time.perf_counter() - started) / TOKENS * 1e6
