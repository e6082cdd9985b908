"""Measure what a turn of the app costs early and late in a conversation: `python -m benchmarks app`.

The app runs on a pseudo-terminal with a scripted model. Early and late are parts of the same
run, so that their ratio says whether a long conversation becomes slower or larger.
"""

import os
import sys
import tempfile
from dataclasses import dataclass
from statistics import fmean

import psutil

from benchmarks.figures import Figure
from tests.fakes.terminal import TerminalProcess

TURNS = 400
WARM_UP_TURNS = 200
"""Turns after which the app has as many widgets as it ever has, and the caches of Textual are full."""

_PROGRAM = """
import collections
import parley.factory.session
from assistant.models.scripted import ScriptedModel
from parley.cli import main
model = ScriptedModel(context_tokens=10**9)
model.prompts = collections.deque(maxlen=1)
parley.factory.session.build_model = lambda *_: model
main()
"""
"""The command itself, with a model that never runs out of context and remembers no prompts."""


@dataclass(frozen=True)
class TurnCost:
    """Resources of the app after one turn: CPU seconds so far, resident bytes, threads, and open descriptors."""

    cpu_seconds: float
    resident_bytes: int
    threads: int
    descriptors: int


@dataclass(frozen=True)
class Conversation:
    """Costs of all turns of a conversation, in order."""

    costs: list[TurnCost]

    def _parts(self) -> tuple[list[TurnCost], list[TurnCost]]:
        """Return the first and the last third of the turns after the warm-up."""
        warm = self.costs[min(WARM_UP_TURNS, len(self.costs) // 3) :]
        return warm[: len(warm) // 3], warm[-len(warm) // 3 :]

    def cpu_ms(self) -> tuple[float, float]:
        """Return the CPU time of a turn in ms, early and late."""
        early, late = (1000 * (part[-1].cpu_seconds - part[0].cpu_seconds) / (len(part) - 1) for part in self._parts())
        return early, late

    def resident_growth(self) -> float:
        """Return by which part of itself the resident memory has grown from early to late."""
        early, late = (fmean(cost.resident_bytes for cost in part) for part in self._parts())
        return late / early - 1


def converse(turns: int) -> Conversation:
    """Start the app, send `turns` messages one after the other, and quit."""
    costs = []
    with tempfile.TemporaryDirectory() as folder:
        env = {name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")}
        env |= {f"XDG_{name}_HOME": folder for name in ("CONFIG", "DATA", "CACHE")}
        with TerminalProcess([sys.executable, "-c", _PROGRAM], env) as terminal:
            terminal.wait_for("ready")
            process = psutil.Process(terminal.process.pid)
            for number in range(turns):
                ready = terminal.output.count(b"ready")
                terminal.send(f"Message number {number}: say **this** and `that`, please.\r")
                terminal.wait_for(f"You said: Message number {number}:")
                terminal.wait_until(lambda ready=ready: terminal.output.count(b"ready") > ready, "the turn went on")  # type: ignore[misc]
                terminal.output.clear()
                terminal.output += b"ready"
                costs.append(_cost(process))
            terminal.send(b"\x11")
            terminal.wait()
    return Conversation(costs)


def _cost(process: psutil.Process) -> TurnCost:
    with process.oneshot():
        cpu = process.cpu_times()
        return TurnCost(cpu.user + cpu.system, process.memory_info().rss, process.num_threads(), process.num_fds())


def measure(runs: int) -> list[Figure]:  # noqa: ARG001 - one long run says more than several short ones
    """Return the figures."""
    conversation = converse(TURNS)
    early, late = conversation.cpu_ms()
    return [
        Figure("CPU of a turn, early", "ms", (early,)),
        Figure("CPU of a turn, late", "ms", (late,)),
        Figure("late to early", "ratio", (late / early,), goal=1.2),
        Figure("growth of memory", "%", (100 * conversation.resident_growth(),), goal=5),
    ]
