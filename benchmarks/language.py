"""Compare `GgufModel` with llama.cpp's own HTTP server, in turns on the same file and cores, idle and not.

ours      llama.cpp in this process, as Parley runs it
server    llama.cpp's server in a process of its own, asked over HTTP, with as many threads as there are cores
one       the same server with one thread for decoding
small     `pocket-small`, the bundled model of 135 million parameters, for comparison (`--small`)

python -m benchmarks language --model FILE.gguf [--runs 5] [--small FOLDER]
"""

import argparse
import http.client
import json
import multiprocessing
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from assistant.messages import user
from assistant.models.base import ChatModel, GenerationOptions
from assistant.models.gguf.llama_server import available_cores
from assistant.models.gguf.model import GgufModel
from benchmarks.figures import Figure, format_table, save_figures

REPLY_TOKENS = 24
"""Tokens of a timed reply."""
SENTENCES = 6
"""Sentences of the prompt: about 100 tokens."""
GOAL_PERCENT = 103.0
"""Time of a token in percent of the server's."""
CONTEXT = 2048
RESULTS = Path(__file__).parent / "results"

# The server as it is: with its own way of waiting, not Parley's.
_SERVER_PROGRAM = """
import sys, xllamacpp
file, threads, batch_threads, context, key = sys.argv[1:]
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.n_parallel, params.verbosity = file, int(context), 1, -1
params.cpuparams.n_threads, params.cpuparams_batch.n_threads = int(threads), int(batch_threads)
params.api_keys, params.ui = [key], False
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class Speed:
    """One timed reply. Both speeds are in tokens a second."""

    first_token_seconds: float
    prefill: float
    """Of the tokens of the prompt that no cache held."""
    decode: float
    """Between the first piece of text and the last: what comes after that, such as the end, has no text to time."""


def speed(started: float, pieces: Sequence[float], prefilled: int) -> Speed:
    """Return the speed of a reply from the times of its pieces of text, each of them one token."""
    seconds = pieces[0] - started
    return Speed(seconds, prefilled / seconds, (len(pieces) - 1) / (pieces[-1] - pieces[0]))


Ask = Callable[[str], Speed]


def prompt(number: int) -> str:
    """Return a prompt of about 100 tokens that no prompt cache holds."""
    return f"{number}. " + "The quick brown fox jumps over the lazy dog near the river bank. " * SENTENCES + "Go on."


def ask_model(model: ChatModel, text: str) -> Speed:
    """Time a reply of a model in this process."""
    started = time.monotonic()
    stream = model.stream([user(text)], GenerationOptions(max_tokens=REPLY_TOKENS, temperature=0), threading.Event())
    pieces: list[float] = []
    while True:
        try:
            next(stream)
        except StopIteration as end:
            usage = end.value
            break
        pieces.append(time.monotonic())
    return speed(started, pieces, usage.prompt_tokens - usage.cached_tokens)


@contextmanager
def running_server(file: Path, threads: int) -> Iterator[Ask]:
    """Run llama.cpp's server in a process of its own, and yield a function that times a reply over HTTP."""
    key = secrets.token_hex()
    cores = str(available_cores())
    command = [sys.executable, "-c", _SERVER_PROGRAM, str(file), str(threads), cores, str(CONTEXT), key]
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip().removeprefix("http://")
        try:
            yield lambda text: ask_server(address, key, text)
        finally:
            process.terminate()


def ask_server(address: str, key: str, text: str) -> Speed:
    """Time a reply of a server."""
    connection = http.client.HTTPConnection(address, timeout=600)
    request = {
        "messages": [{"role": "user", "content": text}],
        "max_tokens": REPLY_TOKENS,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    started = time.monotonic()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/chat/completions", json.dumps(request), headers)
    pieces: list[float] = []
    prefilled = 0
    for line in connection.getresponse():
        if not line.startswith(b"data: {"):
            continue
        chunk = json.loads(line[6:])
        if any(choice["delta"].get("content") for choice in chunk["choices"]):
            pieces.append(time.monotonic())
        if timings := chunk.get("timings"):
            prefilled = timings["prompt_n"]
    connection.close()
    return speed(started, pieces, prefilled)


@contextmanager
def busy_program() -> Iterator[None]:
    """Keep one core busy."""
    process = multiprocessing.get_context("spawn").Process(target=_compute, daemon=True)
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join()


@contextmanager
def speech_recognition(whisper: Path) -> Iterator[None]:
    """Transcribe in this process without a pause, on all cores, as a call does from time to time."""
    import numpy as np
    from faster_whisper import WhisperModel

    recognizer = WhisperModel(str(whisper), device="cpu", compute_type="int8", cpu_threads=available_cores())
    noise = np.random.default_rng(0).normal(0, 0.05, 5 * 16_000).astype(np.float32)
    stop = threading.Event()

    def transcribe() -> None:
        while not stop.is_set():
            segments, _ = recognizer.transcribe(noise, language="en", beam_size=1)
            list(segments)

    thread = threading.Thread(target=transcribe)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _compute() -> None:
    with suppress(KeyboardInterrupt):
        while True:
            pass


def measure(file: Path, runs: int, small: Path | None = None, whisper: Path | None = None) -> list[Figure]:
    """Measure the GGUF model in `file`, each figure from `runs` runs; every engine answers once in each run."""
    figures: list[Figure] = []
    with ExitStack() as stack:
        model = GgufModel.load(file, context_tokens=CONTEXT)
        stack.callback(model.close)
        engines: dict[str, Ask] = {
            "ours": lambda text: ask_model(model, text),
            "server": stack.enter_context(running_server(file, available_cores())),
            "one": stack.enter_context(running_server(file, 1)),
        }
        if small is not None:
            from assistant.models.local.model import LocalModel

            small_model = LocalModel.load(str(small), device="cpu")
            stack.callback(small_model.close)
            engines["small"] = lambda text: ask_model(small_model, text)
        figures += _measure_engines(engines, runs, "idle")
        with busy_program():
            figures += _measure_engines(engines, runs, "beside a busy program")
        if whisper is not None:
            with speech_recognition(whisper):
                figures += _measure_engines(engines, runs, "beside Whisper")
    return figures


def _measure_engines(engines: dict[str, Ask], runs: int, condition: str) -> list[Figure]:
    speeds: dict[str, list[Speed]] = {name: [] for name in engines}
    # The first run warms up and is not counted.
    for run in range(runs + 1):
        for name, ask in engines.items():
            speeds[name].append(ask(prompt(1000 * len(condition) + run)))
    readings: dict[tuple[str, str], Callable[[Speed], float]] = {
        ("decode", "tokens/s"): lambda speed: speed.decode,
        ("prefill", "tokens/s"): lambda speed: speed.prefill,
        ("first token", "ms"): lambda speed: 1000 * speed.first_token_seconds,
    }
    figures = [
        Figure(f"{quantity}, {name}, {condition}", unit, tuple(map(read, values[1:])))
        for (quantity, unit), read in readings.items()
        for name, values in speeds.items()
    ]
    shares = tuple(100 * theirs.decode / ours.decode for ours, theirs in _pairs(speeds["ours"], speeds["server"]))
    return [*figures, Figure(f"time of a token, ours to server, {condition}", "%", shares, GOAL_PERCENT)]


def _pairs(ours: Sequence[Speed], theirs: Sequence[Speed]) -> list[tuple[Speed, Speed]]:
    return list(zip(ours, theirs, strict=True))[1:]


def main(arguments: Sequence[str]) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks language", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="a GGUF file")
    parser.add_argument("--small", type=Path, help="folder of a small model of this process, for comparison")
    parser.add_argument("--whisper", type=Path, help="folder of a Whisper model, to measure beside it as well")
    parser.add_argument("--runs", type=int, default=5, help="number of runs (default: 5)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    parsed = parser.parse_args(arguments)
    figures = measure(parsed.model, parsed.runs, parsed.small, parsed.whisper)
    print(f"language\n{format_table(figures)}\n", flush=True)
    save_figures(figures, parsed.out / f"language-{datetime.now(UTC).date()}.json", {"model": parsed.model.name})
