"""Bridge between blocking engines and the event loop.

An engine runs as a plain generator on its own thread. Its items reach the loop through a queue that belongs to one
stream, so that nothing of an abandoned turn can appear in the next.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Generator
from concurrent.futures import Executor
from contextlib import asynccontextmanager, suppress
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class ThreadStream(Generic[Item, Result]):
    """Async iterator over a generator that runs on another thread."""

    result: Result | None
    """Return value of the generator once it has ended, also after a stop; None if it raised."""

    def __init__(
        self,
        queue: "asyncio.Queue[tuple[Item] | None]",
        work: "asyncio.Future[Result]",
        may_run: threading.Event,
    ) -> None:
        self.result = None
        self._queue = queue
        self._work = work
        self._may_run = may_run

    def pause(self, *, paused: bool) -> None:
        """Let the generator wait before its next item, or go on."""
        if paused:
            self._may_run.clear()
        else:
            self._may_run.set()

    async def __aiter__(self) -> AsyncIterator[Item]:
        # None marks the end of the stream. Items are wrapped in a one-tuple, so that None can be an item.
        while (boxed := await self._queue.get()) is not None:
            yield boxed[0]
        self.result = await wait_uncancelled(self._work)


@asynccontextmanager
async def stream_in_thread(
    executor: Executor, produce: Callable[[threading.Event], Generator[Item, None, Result]]
) -> AsyncIterator[ThreadStream[Item, Result]]:
    """Run the generator `produce(stop)` on `executor`.

    Leaving the block, for whatever reason, sets `stop` and waits until the generator has ended, also a paused one. An
    exception of the generator is raised out of the iteration.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[tuple[Item] | None] = asyncio.Queue()
    stop = threading.Event()
    may_run = threading.Event()
    may_run.set()

    def run() -> Result:
        try:
            generator = produce(stop)
            while True:
                may_run.wait()
                loop.call_soon_threadsafe(queue.put_nowait, (next(generator),))
        except StopIteration as end:
            result: Result = end.value
            return result
        finally:
            loop.call_soon_threadsafe(queue.put_nowait, None)

    work = loop.run_in_executor(executor, run)
    stream = ThreadStream(queue, work, may_run)
    try:
        yield stream
    finally:
        stop.set()
        may_run.set()
        # Suppressed: the iteration has raised it already, or was abandoned before it could.
        with suppress(Exception):
            try:
                await wait_uncancelled(work)
            finally:
                stream.result = work.result()


async def wait_uncancelled(work: "asyncio.Future[Result]") -> Result:
    """Wait for `work` to the end, even if this task is cancelled meanwhile; raise the cancellation after that."""
    cancelled = False
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
    return work.result()
