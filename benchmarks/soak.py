"""Hold one conversation of many turns and measure whether it costs more and more: memory, time, threads, descriptors.

    python -m benchmarks soak --turns 300            the bundled model, replies of 8 tokens
    python -m benchmarks soak --turns 2000 -m scripted

The context of a local model is cut to 1,024 tokens. The conversation outgrows it, so that prompts soon have the same
length. Costs are compared from there: the second quarter of the turns with the last.
"""

import argparse
import asyncio
import gc
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import psutil

from assistant.events import TurnFinished
from assistant.messages import user
from assistant.models.local.model import LocalModel
from assistant.settings import load
from parley.factory.session import start_session

MAX_GROWTH = 0.05
"""Largest growth of memory after the warm-up, as a share."""
_CONTEXT_TOKENS = 1024
_QUESTIONS = ("What is a river?", "Name a colour.", "How many days has a week?", "Where do fish live?", "Say hello.")


@dataclass(frozen=True)
class Cost:
    """Cost of a turn, and what the process holds after it."""

    seconds: float
    prompt_tokens: int
    resident_bytes: int


@dataclass(frozen=True)
class Resources:
    """Threads and open files of this process."""

    threads: int
    descriptors: int

    @classmethod
    def now(cls) -> "Resources":
        """Count them."""
        return cls(threading.active_count(), psutil.Process().num_fds())


async def hold_conversation(model: str, turns: int, max_tokens: int, folder: Path) -> list[Cost]:
    """Run the turns of one conversation, saved in `folder`, and return the cost of each."""
    overrides = {"model": model, "max_tokens": max_tokens, "data_dir": folder}
    session = start_session(load(overrides).settings)
    if isinstance(session.model, LocalModel):
        # The conversation soon outgrows it, so that prompts have the same length from there.
        session.model.info = replace(session.model.info, context_tokens=_CONTEXT_TOKENS)
    process = psutil.Process()
    costs: list[Cost] = []
    for number in range(turns):
        started = time.monotonic()
        tokens = 0
        async for event in session.turn(user(_QUESTIONS[number % len(_QUESTIONS)])):
            if isinstance(event, TurnFinished):
                tokens = event.usage.prompt_tokens
        seconds = time.monotonic() - started
        # Memory that waits for the collector would look like a leak.
        gc.collect()
        costs.append(Cost(seconds, tokens, process.memory_info().rss))
    await session.close()
    return costs


def main(arguments: list[str]) -> None:
    """Run from the command line. Exits with 1 if memory has grown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=300, help="number of turns (default: 300)")
    parser.add_argument("-m", "--model", default="pocket", help="model, as parley takes it (default: pocket)")
    parser.add_argument("--max-tokens", type=int, default=8, help="longest reply (default: 8)")
    options = parser.parse_args(arguments)
    before = Resources.now()
    with tempfile.TemporaryDirectory() as folder:
        costs = asyncio.run(hold_conversation(options.model, options.turns, options.max_tokens, Path(folder)))
    gc.collect()
    after = Resources.now()
    quarter = max(1, len(costs) // 4)
    early, late = costs[quarter : 2 * quarter] or costs, costs[-quarter:]
    growth = late[-1].resident_bytes / early[0].resident_bytes - 1
    print(f"{options.model}: {len(costs)} turns")
    print(f"resident memory: {early[0].resident_bytes / 1e6:.1f} MB after {quarter} turns, ", end="")
    print(f"{late[-1].resident_bytes / 1e6:.1f} MB at the end ({growth:+.2%})")
    for name, part in (("second", early), ("last", late)):
        seconds, tokens = median(each.seconds for each in part), median(each.prompt_tokens for each in part)
        print(f"{name} quarter: {1000 * seconds:.1f} ms a turn with {tokens:.0f} tokens of prompt (medians)")
    print(f"threads: {before.threads} before, {after.threads} after; ", end="")
    print(f"descriptors: {before.descriptors} before, {after.descriptors} after", flush=True)
    if growth > MAX_GROWTH:
        parser.exit(1, f"The memory has grown by more than {MAX_GROWTH:.0%}.\n")
