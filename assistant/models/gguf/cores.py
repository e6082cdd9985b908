"""Keep llama.cpp's threads on the cores that others leave free.

Its threads wait for each other some hundred times a token. With one other busy program on two cores, each wait takes as
long as that program's turn on the processor: 6 tokens a second instead of the 16 of one thread (1.5 billion parameters,
2026-11-30). The number of threads cannot be changed while a model is loaded, but two threads on one core make 15. So
while others are busy, all threads are moved to half of the cores. Linux only, and not on more than `_MAX_CORES`.

Threads inherit the name of the thread that starts them: that is how those of llama.cpp are found.
"""

import itertools
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")

_MAX_CORES = 4
"""With more cores, one busy program takes a small part of them. Not measured there."""
_INTERVAL_SECONDS = 0.4
"""Time over which the use of the cores is measured."""
_STALE_SECONDS = 5.0
_BUSY, _FREE = 0.4, 0.2
"""Cores that others use, above and below which llama.cpp leaves cores to them, and takes them back."""
_DELAYED = 0.2
"""Seconds a second for which these threads wait for a core if others compete with them. Low priorities do not."""
_PROBE_SECONDS = 5.0
"""Time after which all cores are tried again: whoever fills a core that was left free may not need it."""
_TASKS = Path("/proc/self/task")
_STAT = Path("/proc/stat")
_numbers = itertools.count()


@dataclass(frozen=True)
class _Sample:
    """A time, and the seconds until then: used by all programs, used by these threads, and waited by these threads."""

    time: float
    busy: float
    own: float
    delay: float


class CoreSharing:
    """The threads of one model, and the cores they may use."""

    def __init__(self) -> None:
        self.name = f"llama.cpp {next(_numbers)}"[:15]
        """Name of the threads, of which Linux keeps 15 characters."""
        self._cores = available_cores()
        self._others_are_busy = False
        self._moved_at = 0.0
        self._sample: _Sample | None = None

    def start(self, work: Callable[[], Result]) -> Result:
        """Return the result of `work`. The threads that it starts get the name."""
        with ThreadPoolExecutor(1) as executor:
            return executor.submit(self._run_named, work).result()

    def follow(self) -> None:
        """Leave cores to others if they are busy, and take them back if not. Cheap; called with every token."""
        if not 1 < len(self._cores) <= _MAX_CORES:
            return
        now = time.monotonic()
        earlier = self._sample
        if earlier is not None and now - earlier.time < _INTERVAL_SECONDS:
            return
        self._sample = sample = self._measure(now)
        if sample is None or earlier is None or now - earlier.time > _STALE_SECONDS:
            return
        seconds = now - earlier.time
        others = (sample.busy - earlier.busy - (sample.own - earlier.own)) / seconds
        if self._others_are_busy:
            busy = others > _FREE and now - self._moved_at < _PROBE_SECONDS
        else:
            busy = others > _BUSY and (sample.delay - earlier.delay) / seconds > _DELAYED
        if busy != self._others_are_busy:
            self._moved_at = now
            self.make_room(others_are_busy=busy)

    def make_room(self, *, others_are_busy: bool) -> None:
        """Move the threads to half of the cores, or let them use all."""
        if others_are_busy == self._others_are_busy:
            return
        self._others_are_busy = others_are_busy
        cores = self._cores[len(self._cores) // 2 :] if others_are_busy else self._cores
        for thread in self.threads():
            # It may just have ended.
            with suppress(OSError):
                os.sched_setaffinity(thread, cores)

    def threads(self) -> list[int]:
        """Return the ids of the threads."""
        found = []
        with suppress(OSError):
            for task in _TASKS.iterdir():
                with suppress(OSError):
                    if (task / "comm").read_text().rstrip("\n") == self.name:
                        found.append(int(task.name))
        return found

    def _run_named(self, work: Callable[[], Result]) -> Result:
        with suppress(OSError):
            (_TASKS / str(threading.get_native_id()) / "comm").write_text(self.name)
        return work()

    def _measure(self, now: float) -> "_Sample | None":
        """Return what has been used until now; None where the system does not say."""
        try:
            ticks = os.sysconf("SC_CLK_TCK")
            lines = _STAT.read_text().splitlines()
            busy = 0
            for core in self._cores:
                fields = next(line for line in lines if line.startswith(f"cpu{core} ")).split()[1:9]
                # All but idle time and waiting for a disk.
                busy += sum(map(int, fields)) - int(fields[3]) - int(fields[4])
            own, delay = map(sum, zip(*map(_thread_seconds, self.threads()), strict=True))
        except (OSError, StopIteration, ValueError, IndexError):
            return None
        return _Sample(now, busy / ticks, own, delay)


def available_cores() -> list[int]:
    """Return the numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _thread_seconds(thread: int) -> tuple[float, float]:
    """Return the seconds for which a thread has computed, and has waited for a core; 0 if it has ended."""
    try:
        computed, waited = (_TASKS / str(thread) / "schedstat").read_text().split()[:2]
    except OSError:
        return 0.0, 0.0
    return int(computed) / 1e9, int(waited) / 1e9
