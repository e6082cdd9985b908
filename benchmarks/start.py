"""Measure start-up times and the memory of a loaded model, each in processes of its own.

What is compared runs in turns: `parley --help` with a bare interpreter. Importing torch alone is the lower limit of
`pocket-small`; `pocket` needs it for images only. Every file has been read once before, so these are the starts of a
program in daily use, not the first one after booting.
"""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import sysconfig
import tempfile
import termios
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.one_turn import READY

PARLEY = str(Path(sysconfig.get_path("scripts")) / "parley")
PYTHON = sys.executable
HELP_GOAL_MS = 150.0
"""Time that `parley --help` may take beyond that of a bare interpreter."""
READY_GOAL_SECS = 6.0
"""Time from the start of the app until it can answer, with everything in the cache."""
MEMORY_GOAL_MB = 3000.0
"""Peak resident memory of the bundled chat model after a turn with an image."""
MODELS = ("pocket", "pocket-small")

ROWS, COLUMNS, CELL_WIDTH, CELL_HEIGHT = 30, 100, 10, 20
TIMEOUT_SECS = 300.0
"""A start that takes longer has failed."""

# Text of the empty screen, and the state shown once a question would be answered.
FIRST_PAINT_TEXT, READY_TEXT = b"talk about your pictures", b"ready"
# Replies of a colour terminal without graphics to queries about its type. Programs wait for them.
TERMINAL_REPLIES = {b"\x1b[c": b"\x1b[?62;22c"}
QUIT = b"\x11"


def measure(runs: int) -> list[Figure]:
    """Return all figures, fast ones from `3 * runs` starts and slow ones from `runs`.

    The bundled models are fetched and assembled first if needed.

    Raises:
        CalledProcessError: A command failed.
        RuntimeError: The app or the model did not start.
    """
    subprocess.run([PARLEY, "pull", "pocket"], check=True, stdout=subprocess.DEVNULL)
    by_model = [figure for model in MODELS for figure in (*measure_app(runs, model), *measure_model(runs, model))]
    return [*measure_help(3 * runs), *measure_import(runs), *by_model]


def measure_help(runs: int) -> list[Figure]:
    """Time `parley --help` and the interpreter that runs it, in turns."""
    time_command([PYTHON, "-c", "pass"])
    time_command([PARLEY, "--help"])
    bare, shown = [], []
    for _ in range(runs):
        bare.append(1000 * time_command([PYTHON, "-c", "pass"]))
        shown.append(1000 * time_command([PARLEY, "--help"]))
    over = tuple(one - other for one, other in zip(shown, bare, strict=True))
    return [
        Figure("bare python", "ms", tuple(bare)),
        Figure("parley --help", "ms", tuple(shown)),
        Figure("parley --help over bare python", "ms", over, HELP_GOAL_MS),
    ]


def measure_import(runs: int) -> list[Figure]:
    """Time importing torch alone, the lower limit of the start of anything that needs it."""
    return [Figure("import torch", "s", tuple(time_command([PYTHON, "-c", "import torch"]) for _ in range(runs)))]


def measure_app(runs: int, model: str) -> list[Figure]:
    """Time the terminal app from the start of its process until it is painted, and until `model` can answer."""
    time_app(model)
    painted, answering = zip(*(time_app(model) for _ in range(runs)), strict=True)
    return [
        Figure(f"app with {model}: first paint", "s", painted),
        Figure(f"app with {model}: ready to answer", "s", answering, READY_GOAL_SECS),
    ]


def measure_model(runs: int, model: str) -> list[Figure]:
    """Time loading a bundled model without the app, and its memory after one turn with an image."""
    turns = [time_model(model) for _ in range(runs)]
    return [
        Figure(f"{model}: ready from the cache", "s", tuple(turn.ready for turn in turns)),
        Figure(f"{model}: first answer about an image", "s", tuple(turn.answered - turn.ready for turn in turns)),
        Figure(f"{model}: memory before the first image", "MB", tuple(turn.memory for turn in turns)),
        Figure(f"{model}: peak memory after it", "MB", tuple(turn.peak for turn in turns), MEMORY_GOAL_MB),
    ]


def time_command(command: list[str]) -> float:
    """Return the seconds that `command` takes. Raises `CalledProcessError` if it fails."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


@dataclass(frozen=True)
class Turn:
    """One process: seconds until its model is loaded and has answered, and MB resident at both moments."""

    ready: float
    answered: float
    memory: float
    peak: float


def time_model(model: str) -> Turn:
    """Load a model and ask it about an image, in a process of its own."""
    command = [PYTHON, "-m", "benchmarks.one_turn", model]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        loaded = process.stdout.readline().split()
        if loaded[:1] != [READY]:
            raise RuntimeError("The model did not load: see the message above.")
        ready = time.perf_counter() - started
        peak = process.stdout.readline()
        answered = time.perf_counter() - started
    if process.returncode:
        raise RuntimeError("The model did not answer: see the message above.")
    return Turn(ready, answered, float(loaded[1]), float(peak))


def time_app(model: str) -> tuple[float, float]:
    """Return the seconds from the start of the app until its first paint, and until it can answer.

    The app runs on a pseudo-terminal that replies like a plain colour terminal. The times end with the arrival of the
    text at the terminal and do not include drawing it.
    """
    leader, follower = pty.openpty()
    fcntl.ioctl(
        follower, termios.TIOCSWINSZ, struct.pack("4H", ROWS, COLUMNS, COLUMNS * CELL_WIDTH, ROWS * CELL_HEIGHT)
    )
    with tempfile.TemporaryDirectory() as data:
        environment = os.environ | {"PARLEY_DATA_DIR": data, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        started = time.perf_counter()
        process = subprocess.Popen(
            [PARLEY, "--model", model],
            stdin=follower,
            stdout=follower,
            stderr=follower,
            env=environment,
            start_new_session=True,
        )
        os.close(follower)
        try:
            terminal = Terminal(leader)
            painted = terminal.wait_for(FIRST_PAINT_TEXT) - started
            answering = terminal.wait_for(READY_TEXT) - started
            os.write(leader, QUIT)
            terminal.drain()
            process.wait(TIMEOUT_SECS)
        finally:
            process.kill()
            process.wait()
            os.close(leader)
    return painted, answering


class Terminal:
    """The leading end of a pseudo-terminal: collects the output and answers queries."""

    def __init__(self, leader: int) -> None:
        self._leader = leader
        self._output = b""
        self._answered_up_to = 0

    def wait_for(self, text: bytes) -> float:
        """Wait for `text` and return the time by `time.perf_counter`. Raises `RuntimeError` if it never comes."""
        deadline = time.perf_counter() + TIMEOUT_SECS
        while text not in self._output:
            if not self._read(deadline):
                raise RuntimeError(f"The app did not get as far as showing {text.decode()!r}.")
        return time.perf_counter()

    def drain(self) -> None:
        """Read until the program has ended, so that it never blocks on a full pipe."""
        deadline = time.perf_counter() + TIMEOUT_SECS
        while self._read(deadline):
            pass

    def _read(self, deadline: float) -> bool:
        """Read the next output; False at its end or after the deadline."""
        if not select.select([self._leader], [], [], max(0.0, deadline - time.perf_counter()))[0]:
            return False
        try:
            chunk = os.read(self._leader, 65536)
        except OSError:  # Linux reports the end of the program this way.
            return False
        self._output += chunk
        for query, reply in TERMINAL_REPLIES.items():
            at = self._output.find(query, self._answered_up_to)
            if at >= 0:
                self._answered_up_to = at + len(query)
                os.write(self._leader, reply)
        return bool(chunk)
