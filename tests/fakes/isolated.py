"""Call a function in a process of its own, which native code may end: a crash there is an error here."""

import multiprocessing
import resource
import signal
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Generic, Self, TypeVar

from assistant.errors import ParleyError

Argument = TypeVar("Argument")

PATIENCE_SECS = 60.0
"""Time after which a call is taken for one that never ends."""
MAX_PROCESSOR_SECS = 10.0
MAX_BYTES = 2 * 10**9


class Isolated(Generic[Argument]):
    """A function in another process, which serves call after call and is replaced after a crash."""

    def __init__(self, function: Callable[[Argument], object]) -> None:
        """Create it; the process starts with the first call. `function` is found by its name in its module."""
        self._function = function
        self._process: BaseProcess | None = None
        self._connection: Connection

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def __call__(self, argument: Argument) -> None:
        """Call the function.

        Raises:
            ParleyError: The function has raised one.
            AssertionError: It has raised something else, ended the process, or taken too much time or memory.
        """
        if self._process is None:
            self._start()
        self._connection.send(argument)
        if not self._connection.poll(PATIENCE_SECS):
            self._end()
            raise AssertionError(f"it is not done after {PATIENCE_SECS:.0f} s")
        try:
            is_ours, error, secs, grown = self._connection.recv()
        except EOFError:
            raise AssertionError(self._describe_end()) from None
        if secs > MAX_PROCESSOR_SECS or grown > MAX_BYTES:
            self._end()
            raise AssertionError(f"it took {secs:.1f} s of the processor and {grown / 1e9:.1f} GB. {error}")
        if error:
            raise ParleyError(error) if is_ours else AssertionError(error)

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._function), daemon=True)
        self._process.start()
        theirs.close()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._connection.close()
            self._process = None

    def _describe_end(self) -> str:
        assert self._process is not None
        self._process.join()
        code = self._process.exitcode or 0
        self._end()
        return f"the process ended by {signal.Signals(-code).name}" if code < 0 else f"the process ended with {code}"


def _serve(connection: Connection, function: Callable[[Argument], object]) -> None:
    """Call `function` with each argument that is sent, and send back how that ended."""
    before = _peak_bytes()
    while True:
        argument = connection.recv()
        started = time.process_time()
        is_ours, error = True, ""
        try:
            function(argument)
        except ParleyError as raised:
            error = str(raised)
        except Exception as raised:  # noqa: BLE001 - reported to the other process
            is_ours, error = False, "".join(traceback.format_exception(raised)[-4:])
        connection.send((is_ours, error, time.process_time() - started, _peak_bytes() - before))


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
