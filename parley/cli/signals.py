"""SIGTERM and SIGHUP end a command as Ctrl-C does: what was shown is kept, and the exit code names the signal.

    handled    while a command line runs: installs the handler
    run        runs a coroutine, which a signal cancels

Elsewhere the handler raises `SystemExit`, so that every `with` and `finally` on the way out is run. Ctrl-C itself is
left to Python and asyncio.
"""

import os
import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")

_REPEAT_SECONDS = 0.25
"""`timeout` and closing terminals send a signal twice. Two within this time count as one."""

# Windows has no SIGHUP.
_NUMBERS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


def exit_code(number: int) -> int:
    """Return the exit code of a process that the signal `number` ended, as in shells."""
    return 128 + number


class _Handler:
    """The handler of both signals.

    Attributes:
        received: The first signal, or None.
        cancel: Ends what runs now; None raises `SystemExit` instead.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.cancel: Callable[[], None] | None = None
        self._received_at = 0.0

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.received is not None:
            if now - self._received_at > _REPEAT_SECONDS:
                # Somebody does not want to wait for what is being saved.
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            return
        self.received, self._received_at = number, now
        if self.cancel is None:
            raise SystemExit(exit_code(number))
        self.cancel()


# Signals belong to the process, and so does their handler.
_handler = _Handler()


@contextmanager
def handled() -> Iterator[None]:
    """Handle the signals inside the block, and leave it with the exit code of the first that has come.

    A signal that is ignored, as `nohup` does it, stays ignored.
    """
    _handler.received = None
    numbers = [number for number in _NUMBERS if signal.getsignal(number) is not signal.SIG_IGN]
    for number in numbers:
        signal.signal(number, _handler)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
        if _handler.received is not None:
            # Whatever the interrupted code has made of it.
            raise SystemExit(exit_code(_handler.received))


def run(runner: "asyncio.Runner", coroutine: Coroutine[Any, Any, T]) -> T:
    """Run `coroutine` to its end. The first signal cancels it.

    Raises:
        SystemExit: A signal came, and the coroutine has ended.
    """
    import asyncio

    async def cancellable() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def cancel() -> None:
            # The call log says which signal it was.
            task.cancel(signal.Signals(_handler.received).name if _handler.received else None)
            # The loop sleeps until something happens in it.
            loop.call_soon_threadsafe(lambda: None)

        _handler.cancel = cancel
        try:
            return await coroutine
        finally:
            _handler.cancel = None

    try:
        result = runner.run(cancellable())
    except asyncio.CancelledError:
        if _handler.received is None:
            raise
        raise SystemExit(exit_code(_handler.received)) from None
    if _handler.received is not None:
        raise SystemExit(exit_code(_handler.received))
    return result
