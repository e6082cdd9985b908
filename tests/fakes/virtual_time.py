"""An event loop whose clock jumps to the next timer as soon as nothing else is to be done.

Threads still take real time. While one works, the clock goes on in small steps, so that a thread that waits for a timer
of the loop does not wait for ever.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor
from typing import Any, TypeVar

T = TypeVar("T")

_STEP_SECONDS = 0.05
"""Of the clock, while a thread works."""
_PATIENCE_SECONDS = 0.0005
"""Real time for which a working thread is waited for before the clock goes on."""
_DEADLOCK_SECONDS = 20.0


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """The loop. `asyncio.Runner(loop_factory=VirtualTimeLoop)` uses it."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._working = 0
        super().__init__(_VirtualSelector(self))

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._now

    @property
    def working(self) -> bool:
        """True while a thread works for the loop."""
        return self._working > 0

    def advance(self, seconds: float) -> None:
        """Move the clock."""
        self._now += seconds

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> "asyncio.Future[T]":
        """Count the work while it runs."""
        future = super().run_in_executor(executor, func, *args)
        self._working += 1
        future.add_done_callback(self._on_done)
        return future

    def _on_done(self, _: object) -> None:
        self._working -= 1


class _VirtualSelector(selectors.BaseSelector):
    """Waits by moving the clock of its loop."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        self._inner = selectors.DefaultSelector()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if ready := self._inner.select(0):
            return ready
        if timeout is None:
            ready = self._inner.select(_DEADLOCK_SECONDS)
            assert ready, "the loop waits for something that never comes"
            return ready
        if timeout > 0:
            if self._loop.working:
                if ready := self._inner.select(_PATIENCE_SECONDS):
                    return ready
                timeout = min(timeout, _STEP_SECONDS)
            self._loop.advance(timeout)
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._inner.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._inner.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._inner.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._inner.get_map()

    def close(self) -> None:
        self._inner.close()


def run_virtually(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop of its own."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(coroutine)
