"""Run blocking work on a thread that the end of the program does not wait for."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

Result = TypeVar("Result")


async def run_in_daemon_thread(work: Callable[[], Result]) -> Result:
    """Return the result of `work`, or raise what it raises.

    Cancelling abandons the thread. That suits loading a model: it has long steps that cannot be interrupted, and
    whatever they leave incomplete is made anew. `asyncio.to_thread` would keep the program from ending until then.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def resolve(set_outcome: Callable[[], None]) -> None:
        # Once nobody waits any more, the future is cancelled and the loop may be closed.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(lambda: None if future.done() else set_outcome())

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - raised where the result is awaited
            reason = error
            resolve(lambda: future.set_exception(reason))
        else:
            resolve(lambda: future.set_result(result))

    threading.Thread(target=run, name="build", daemon=True).start()
    return await future
