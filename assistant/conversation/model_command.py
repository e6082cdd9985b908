"""The command `/model NAME`: change the model from inside a conversation, with progress and the result as events."""

import asyncio
import re
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress

from assistant.async_bridge import wait_uncancelled
from assistant.errors import ParleyError
from assistant.events import Event, LoadProgress, Notice
from assistant.progress import Progress

_MODEL_COMMAND = re.compile(r"/model(?:\s+(.*))?", re.DOTALL)

ChangeModel = Callable[[str, Progress], Awaitable[str]]
"""Load the named model in place of the current one and return a sentence about it, like `Session.change_model`."""


def parse_model_command(text: str) -> str | None:
    """Return the NAME in "/model NAME", empty if it has none, or None if `text` is not this command."""
    found = _MODEL_COMMAND.fullmatch(text.strip())
    return None if found is None else (found[1] or "").strip()


async def run_model_command(change_model: ChangeModel, name: str) -> AsyncGenerator[Event, None]:
    """Change to the model `name`: yield `LoadProgress` meanwhile and a `Notice` at the end.

    Closing the generator makes the next progress report raise, which ends the loading. No model is loaded then, so
    close it only together with the session.
    """
    if name:
        # At once: the hub may be slow to answer, and a running turn is waited for.
        yield LoadProgress(f"changing to {name}", 0, 0)
    loop = asyncio.get_running_loop()
    reports: asyncio.Queue[LoadProgress | None] = asyncio.Queue()
    abandoned = threading.Event()

    def report(label: str, done_bytes: int, total_bytes: int) -> None:
        if abandoned.is_set():
            raise _AbandonedError
        loop.call_soon_threadsafe(reports.put_nowait, LoadProgress(label, done_bytes, total_bytes))

    change = asyncio.ensure_future(change_model(name, report))
    change.add_done_callback(lambda _: reports.put_nowait(None))
    try:
        while (step := await reports.get()) is not None:
            yield step
        yield Notice(await change)
    finally:
        abandoned.set()
        # Also if it has failed by now: asyncio logs an exception that nobody has retrieved.
        with suppress(ParleyError, _AbandonedError):
            await wait_uncancelled(change)


class _AbandonedError(Exception):
    """Nobody waits for the model any more. Raised into its loading, which ends there."""
