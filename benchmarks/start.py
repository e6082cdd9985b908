"""How long a start takes and how much memory a loaded model needs, each in processes started for it.

What is compared runs side by side: `parley --help` takes turns with a bare interpreter, and the model's load with
importing torch alone, which nothing that uses it can be faster than. Every file has been read once before, so these
are the starts of a program used daily, not the first one after the machine was switched on.
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
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.one_turn import READY

PARLEY = str(Path(sysconfig.get_path("scripts")) / "parley")
PYTHON = sys.executable
HELP_GOAL_MS = 150.0
"""How much longer than a bare interpreter `parley --help` may take."""

ROWS, COLUMNS, CELL_WIDTH, CELL_HEIGHT = 30, 100, 10, 20
PATIENCE = 300.0
"""Seconds after which a start has failed."""

# The first words on an empty screen, and the state shown once a question would be answered.
PAINTED, ANSWERING = b"talk about your pictures", b"ready"
# What a plain colour terminal without graphics replies when it is asked what it is. Left unanswered, programs wait.
REPLIES = {b"\x1b[c": b"\x1b[?62;22c"}
QUIT = b"\x11"


def measure(runs: int) -> list[Figure]:
    """All figures, cheap ones from `3 * runs` starts and heavy ones from `runs`.

    The bundled model is fetched and assembled first if it is not there. Raises `CalledProcessError` or
    `RuntimeError` if something does not start at all.
    """
    subprocess.run([PARLEY, "pull", "pocket"], check=True, stdout=subprocess.DEVNULL)
    return [*help_figures(3 * runs), *app_figures(runs), *model_figures(runs)]


def help_figures(runs: int) -> list[Figure]:
    """`parley --help` against the interpreter that runs it, in turns."""
    seconds_of([PYTHON, "-c", "pass"])
    seconds_of([PARLEY, "--help"])
    bare, shown = [], []
    for _ in range(runs):
        bare.append(1000 * seconds_of([PYTHON, "-c", "pass"]))
        shown.append(1000 * seconds_of([PARLEY, "--help"]))
    over = tuple(one - other for one, other in zip(shown, bare, strict=True))
    return [
        Figure("bare python", "ms", tuple(bare)),
        Figure("parley --help", "ms", tuple(shown)),
        Figure("parley --help over bare python", "ms", over, HELP_GOAL_MS),
    ]


def app_figures(runs: int, model: str = "pocket") -> list[Figure]:
    """The terminal app, from the start of its process: painted, and able to answer with `model`."""
    app_seconds(model)
    painted, answering = zip(*(app_seconds(model) for _ in range(runs)), strict=True)
    return [
        Figure("app: first paint", "s", painted),
        Figure("app: model ready behind it", "s", answering),
    ]


def model_figures(runs: int) -> list[Figure]:
    """The bundled model without an app: ready to answer, and the peak of memory once it has answered."""
    importing, ready, peaks = [], [], []
    for _ in range(runs):
        importing.append(seconds_of([PYTHON, "-c", "import torch"]))
        seconds, peak = load_and_answer()
        ready.append(seconds)
        peaks.append(peak)
    return [
        Figure("import torch", "s", tuple(importing)),
        Figure("model ready from the cache", "s", tuple(ready)),
        Figure("peak memory after a turn with a picture", "MB", tuple(peaks)),
    ]


def seconds_of(command: list[str]) -> float:
    """How long a command runs."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def load_and_answer() -> tuple[float, float]:
    """Seconds from the start of a process until its model is loaded, and its peak of memory in MB after one turn."""
    command = [PYTHON, "-m", "benchmarks.one_turn"]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        if process.stdout.readline().strip() != READY:
            raise RuntimeError("The model did not load: see the message above.")
        ready = time.perf_counter() - started
        peak = process.stdout.read()
    if process.returncode:
        raise RuntimeError("The model did not answer: see the message above.")
    return ready, float(peak)


def app_seconds(model: str) -> tuple[float, float]:
    """Seconds from the start of the app until its first screen is written out, and until it would answer.

    It runs on a pseudo-terminal that replies like a plain colour terminal. What is timed is the arrival of the words
    at the terminal; how long a terminal takes to draw them is not in it.
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
            painted = terminal.wait_for(PAINTED) - started
            answering = terminal.wait_for(ANSWERING) - started
            os.write(leader, QUIT)
            terminal.drain()
            process.wait(PATIENCE)
        finally:
            process.kill()
            process.wait()
            os.close(leader)
    return painted, answering


class Terminal:
    """The other end of a pseudo-terminal: keeps what is written to it and answers what it is asked."""

    def __init__(self, leader: int) -> None:
        self._leader = leader
        self._written = b""
        self._replied = 0

    def wait_for(self, words: bytes) -> float:
        """When `words` were there, on the clock of `time.perf_counter`. Raises `RuntimeError` if they never come."""
        deadline = time.perf_counter() + PATIENCE
        while words not in self._written:
            if not self._read(deadline):
                raise RuntimeError(f"The app did not get as far as showing {words.decode()!r}.")
        return time.perf_counter()

    def drain(self) -> None:
        """Read until the program has gone, so that it never waits for its words to be read."""
        deadline = time.perf_counter() + PATIENCE
        while self._read(deadline):
            pass

    def _read(self, deadline: float) -> bool:
        """Take in what comes next; False if nothing will."""
        if not select.select([self._leader], [], [], max(0.0, deadline - time.perf_counter()))[0]:
            return False
        try:
            some = os.read(self._leader, 65536)
        except OSError:  # On Linux, how a pseudo-terminal says that its program has gone.
            return False
        self._written += some
        for question, reply in REPLIES.items():
            at = self._written.find(question, self._replied)
            if at >= 0:
                self._replied = at + len(question)
                os.write(self._leader, reply)
        return bool(some)
