"""An event loop in a thread of its own, for plain calls to asynchronous code from anywhere."""

import asyncio
import threading
import weakref
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any, TypeVar

from assistant.errors import ParleyError

T = TypeVar("T")


class ClosedError(ParleyError):
    """The thread has ended, or belongs to the process that this one was forked from."""

    def __init__(self) -> None:
        super().__init__("This assistant is closed: create another one.")


class LoopThread:
    """Run coroutines on a private event loop. The thread ends with `stop`, with this object, or at exit."""

    def __init__(self, name: str) -> None:
        """Start the thread. `name` is its name."""
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=_run_loop, args=(self.loop,), name=name, daemon=True)
        self.thread.start()
        self._stop = weakref.finalize(self, _stop_loop, self.loop, self.thread)
        self._stopped = False
        # What is submitted before `stop` is run or cancelled before the loop ends; nothing is submitted after it.
        # Reentrant, because the garbage collector may close a stream in the middle of `submit`.
        self._lock = threading.RLock()

    @property
    def is_running(self) -> bool:
        """False after `stop`, and in a forked process, which has no copy of the thread."""
        return not self._stopped and self.thread.is_alive()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and wait for its result. Ctrl-C meanwhile cancels it. Raises `ClosedError` after `stop`."""
        tasks: list[asyncio.Task[Any] | None] = []
        abandoned = threading.Event()

        async def cancellable() -> T:
            tasks.append(asyncio.current_task())
            if abandoned.is_set():
                coroutine.close()
                raise asyncio.CancelledError
            return await coroutine

        try:
            return self.submit(cancellable()).result()
        except CancelledError:
            raise ClosedError from None
        except ClosedError:
            coroutine.close()
            raise
        except BaseException:
            # Not the future of `submit`: Ctrl-C may come after the coroutine has begun and before `submit` returns.
            abandoned.set()
            with suppress(RuntimeError):  # The loop is closed.
                self.loop.call_soon_threadsafe(_cancel, tasks)
            raise

    async def run_async(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and await its result from another loop. Cancelling the caller cancels it."""
        return await asyncio.wrap_future(self.submit(coroutine))

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> "Future[T]":
        """Start a coroutine and return its future. Raises `ClosedError` after `stop`."""
        with self._lock:
            if self.is_running:
                return asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        coroutine.close()
        raise ClosedError

    def stop(self) -> None:
        """End the thread. Coroutines that are running are cancelled."""
        with self._lock:
            self._stopped = True
        self._stop()


def _cancel(tasks: "list[asyncio.Task[Any] | None]") -> None:
    for task in tasks:
        if task is not None:
            task.cancel()


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    # Without a result, those who wait for a coroutine would wait for ever.
    if tasks := asyncio.all_tasks(loop):
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.close()


def _stop_loop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    # A forked process has the loop and not its thread.
    if not thread.is_alive():
        return
    loop.call_soon_threadsafe(loop.stop)
    # The garbage collector may call this on the thread itself.
    if thread is not threading.current_thread():
        thread.join()
