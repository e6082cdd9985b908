"""The reply of one turn of an `Assistant`, read piece by piece from other threads."""

import asyncio
import threading
from collections.abc import AsyncGenerator
from typing import Any

from assistant.events import TextWasReasoning
from parley.loop_thread import ClosedError


class TextStream:
    """The reply of one turn. Its methods run on the private loop, each in a task of its own."""

    def __init__(self, texts: AsyncGenerator[str | TextWasReasoning, None]) -> None:
        self.text = ""
        """The reply so far. Text that was yielded and turned out to be reasoning is no part of it."""
        self.thread = threading.get_ident()
        self.task = current_task()
        self._texts = texts
        self._is_closed = False
        # A step that is cancelled takes a moment to stop the model; closing waits for it.
        self._step = asyncio.Lock()

    async def next(self) -> str | None:
        """Return the next piece of the reply, or None at its end."""
        async with self._step:
            if self._is_closed:
                # The reply is incomplete, and must not seem to end here.
                raise ClosedError
            while isinstance(item := await anext(self._texts, None), TextWasReasoning):
                self.text = ""
            self.text += item or ""
            return item

    async def aclose(self) -> None:
        """Stop the turn, and return when the model has stopped."""
        async with self._step:
            self._is_closed = True
            await self._texts.aclose()


def current_task() -> "asyncio.Task[Any] | None":
    """Return the task that runs in this thread, None if no event loop does."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
