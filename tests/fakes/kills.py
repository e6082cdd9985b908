"""Processes that are killed at random points."""

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection

KILLS = int(os.environ.get("KILLS", "5"))
"""Kills of each kind and signal."""
SIGNALS = [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP]


def killed_runs(
    number: int, work: Callable[[Callable[[object], None]], None], longest_seconds: float
) -> Iterator[list[object]]:
    """Start `work` in a process KILLS times, send it the signal `number` at a random moment, and yield what it sent.

    Args:
        number: The signal.
        work: Called in the process with a function that sends a value, which is yielded if it was sent completely.
        longest_seconds: Longest time from the first value to the signal.
    """
    context = multiprocessing.get_context("fork")
    rng = random.Random(number)
    for _ in range(KILLS):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_run, args=(work, sender))
        process.start()
        sender.close()
        received = [receiver.recv()]
        time.sleep(rng.random() * longest_seconds)
        assert process.pid is not None
        os.kill(process.pid, number)
        try:
            while True:
                received.append(receiver.recv())
        except EOFError:
            pass
        process.join()
        assert process.exitcode == -number, "it ended before it was killed"
        yield received[1:]


def _run(work: Callable[[Callable[[object], None]], None], sender: Connection) -> None:
    for number in SIGNALS[1:]:
        signal.signal(number, signal.SIG_DFL)
    sender.send("ready")
    work(sender.send)
    time.sleep(60)
