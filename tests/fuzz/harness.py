"""Run a part of the program on many damaged, odd and hostile inputs.

A kind of input is a function that makes one input from a random generator and a function that uses it as a user would.
Every input has a number; its generator is seeded with the kind and the number, so that a number is enough to make it
again. Numbers that once found a fault are kept in `seeds/KIND.txt` and run first.

A fault is anything but a result or an error of the program's own in at most three lines: another exception, more than
10 s, more than 2 GB, or lost data, for which `use` raises `AssertionError`.
"""

import os
import random
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeVar

import psutil

from assistant.errors import ParleyError

T = TypeVar("T")

DEFAULT_INPUTS = 200
"""Inputs of each kind in `make test-slow`; `make fuzz N=…` takes another number."""
MAX_SECS = 10.0
"""Processor time of one input."""
WAITING_FACTOR = 6.0
"""An input may take this many times `MAX_SECS` on the clock: other programs take their share of the processor."""
MAX_BYTES = 2 * 10**9
LIMIT_BYTES = 3 * MAX_BYTES
"""Memory that inputs get: an input that wants all of it ends with an error, and not with the machine."""
MAX_LINES = 3
SEEDS = Path(__file__).parent / "seeds"


@dataclass
class Report:
    """Outcome of a run.

    Attributes:
        kind: Name of the kind of input.
        outcomes: Number of inputs for each outcome: "result", or the name of an error class.
        faults: A description of each fault, with the number of its input.
    """

    kind: str
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        outcomes = ", ".join(f"{name} {count}" for name, count in self.outcomes.most_common())
        return f"{self.kind}: {self.outcomes.total()} inputs, {len(self.faults)} faults ({outcomes})"


def fuzz(kind: str, make_input: Callable[[random.Random], T], use: Callable[[T], object]) -> None:
    """Make inputs and use each of them. Prints the counts, and fails with the first five faults.

    The environment variable FUZZ_INPUTS sets how many; FUZZ_FIRST sets the number of the first one, to run others than
    the last time.

    Args:
        kind: Name of the kind, and of its file of seeds.
        make_input: Returns one input. Must take all its randomness from its argument.
        use: Uses the input through a public function or a command. Returns on success; may raise `ParleyError` and
            nothing else.
    """
    count = int(os.environ.get("FUZZ_INPUTS", DEFAULT_INPUTS))
    first = int(os.environ.get("FUZZ_FIRST", "0"))
    report = Report(kind)
    with _limited_memory(), _MemoryWatch() as watch:
        for number in [*kept_seeds(kind), *range(first, first + count)]:
            value = make_input(random.Random(f"{kind} {number}"))
            if description := _use_one(report, watch, use, value):
                report.faults.append(f"input {number}: {value!r:.300}: {description}")
    print(f"\n{report}")
    assert not report.faults, f"{report}\n" + "\n".join(report.faults[:5])


def kept_seeds(kind: str) -> list[int]:
    """Return the numbers of inputs that once found a fault."""
    path = SEEDS / f"{kind}.txt"
    if not path.exists():
        return []
    # A line may say after its number what the fault was.
    return [int(line.split()[0]) for line in path.read_text("utf-8").splitlines() if line.strip()]


def _use_one(report: Report, watch: "_MemoryWatch", use: Callable[[T], object], value: T) -> str:
    """Use `value` and return a description of its fault, or an empty string."""
    watch.begin()
    start, processor_start = time.monotonic(), time.process_time()
    try:
        use(value)
        outcome, description = "result", ""
    except ParleyError as error:
        outcome = type(error).__name__
        lines = str(error).count("\n") + 1
        description = "" if lines <= MAX_LINES else f"the message has {lines} lines: {str(error)[:300]!r}"
    except Exception as error:  # noqa: BLE001 - any other error is the fault that is looked for
        outcome = type(error).__name__
        description = "".join(traceback.format_exception(error)[-4:])
    report.outcomes[outcome] += 1
    if outcome in ("OutOfMemory", "MemoryError"):
        description = f"it wants more than {LIMIT_BYTES / 1e9:.0f} GB. {description}"
    processor_secs, secs = time.process_time() - processor_start, time.monotonic() - start
    if processor_secs > MAX_SECS or secs > WAITING_FACTOR * MAX_SECS:
        description = f"it took {secs:.1f} s, {processor_secs:.1f} s of the processor. {description}"
    if (growth := watch.growth()) > MAX_BYTES:
        description = f"it took {growth / 1e9:.1f} GB. {description}"
    return description


@contextmanager
def _limited_memory() -> Iterator[None]:
    """Refuse memory beyond `LIMIT_BYTES` more than this process has, where the system can."""
    if sys.platform != "linux":
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (psutil.Process().memory_info().data + LIMIT_BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


class _MemoryWatch:
    """Measures every 50 ms how far the resident memory of this process has grown since `begin`."""

    def __enter__(self) -> Self:
        self._process = psutil.Process()
        self._ended = threading.Event()
        self.begin()
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def begin(self) -> None:
        """Measure the growth from here on."""
        self._start = self._peak = self._process.memory_info().rss

    def growth(self) -> int:
        """Return the largest growth in bytes."""
        self._peak = max(self._peak, self._process.memory_info().rss)
        growth: int = self._peak - self._start
        return growth

    def _watch(self) -> None:
        while not self._ended.wait(0.05):
            self.growth()


# Mutations, for kinds that start from valid files and texts


def mutate_bytes(rng: random.Random, data: bytes, max_changes: int = 8) -> bytes:
    """Return `data` with 1 to `max_changes` random changes: flipped, inserted, removed, repeated, cut, extreme."""
    result = bytearray(data)
    for _ in range(rng.randint(1, max_changes)):
        at = rng.randrange(len(result) + 1)
        length = rng.choice((1, 1, 2, 4, 16, 256))
        change = rng.randrange(7)
        if change == 0 and at < len(result):
            result[at] ^= 1 << rng.randrange(8)
        elif change == 1:
            result[at:at] = rng.randbytes(length)
        elif change == 2:
            del result[at : at + length]
        elif change == 3:
            result[at:at] = result[at : at + length] * rng.choice((1, 2, 50))
        elif change == 4:
            result[at : at + length] = rng.randbytes(length)
        elif change == 5:
            extreme = rng.choice(
                (b"\x00" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00", b"\x01\x00\x00\x00")
            )
            result[at : at + 4] = extreme
        elif rng.random() < 0.3:
            del result[at:]
    return bytes(result)


ODD_PIECES = (
    *(
        "\x00",
        "\x07",
        "\x1b[31m",
        "\x1b]52;c;AAAA\x07",
        "\x85",
        "\x9b",
        "\u202e",
        "\u2066",
        "\ufeff",
        "\ud800",
        "\udcff",
    ),
    *("👨‍👩‍👧", "e\u0301\u0301\u0301", "שלום", "ﷺ", "日本語", "\u2028", "\n", "\r\n", "\t", " ", "\u202f"),
    *("'", '"', "`", "\\", "$(x)", "%s", "{}", "../", "/", "~", "-", "--", "@", "#", "a.png", "a" * 5000),
    *("<think>", "</think>", "<|im_end|>", "[INST]", "\\(x\\)", "```", "| a | b |", "data:image/png;base64,"),
)
"""Pieces of text that have broken programs."""


def odd_text(rng: random.Random, max_pieces: int = 12) -> str:
    """Return a text of odd pieces, plain words and random characters."""
    pieces: list[str] = []
    for _ in range(rng.randint(0, max_pieces)):
        kind = rng.random()
        if kind < 0.4:
            pieces.append(rng.choice(ODD_PIECES))
        elif kind < 0.8:
            pieces.append(rng.choice(("what", "is this", "photo.png", "/caption", "42", "Hello.", "ü")))
        else:
            pieces.append(chr(rng.randrange(0x110000)))
        pieces.append(rng.choice(("", " ", " ")))
    return "".join(pieces)


def odd_json(rng: random.Random, keys: Sequence[str] = (), depth: int = 3) -> object:
    """Return a random JSON value; objects take most of their keys from `keys`."""
    kind = rng.randrange(9 if depth else 7)
    if kind == 7:
        return [odd_json(rng, keys, depth - 1) for _ in range(rng.randint(0, 4))]
    if kind == 8:
        names = [
            rng.choice(keys) if keys and rng.random() < 0.8 else odd_text(rng, 1) for _ in range(rng.randint(0, 4))
        ]
        return {name: odd_json(rng, keys, depth - 1) for name in names}
    scalars = (None, True, rng.randint(-(2**70), 2**70), rng.randint(-2, 3), rng.random(), odd_text(rng, 3), "")
    return scalars[kind]
