"""The one thread that a session's model runs on: turns, and between them the preparation of the next prompt."""

import asyncio
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, TypeVar

from assistant.async_bridge import ThreadStream, stream_in_thread, wait_uncancelled
from assistant.errors import ParleyError
from assistant.messages import Message
from assistant.models.base import ChatModel, PausableModel, PromptPreparer

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class PausableReply:
    """A reply that is being written: the stream of what is written, and the model, which may compute ahead of it."""

    stream: ThreadStream[Any, Any]
    model: ChatModel

    def pause(self, *, paused: bool) -> None:
        """Let both wait, or go on."""
        self.stream.pause(paused=paused)
        if isinstance(self.model, PausableModel):
            self.model.pause(paused=paused)


class ModelThread:
    """Runs one thing at a time. A preparation ends as soon as anything else is to run."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, "model")
        self._preparation: Future[None] | None = None
        self._stop_preparing = threading.Event()
        self._closed = False

    def prepare(self, model: ChatModel, messages: Sequence[Message]) -> None:
        """Begin to prepare the prompt `messages`, in place of one that is being prepared. Does not wait.

        Nothing happens for a model that cannot prepare prompts, and after `close`.
        """
        if self._closed or not isinstance(model, PromptPreparer):
            return
        self._stop_preparing.set()
        stop = self._stop_preparing = threading.Event()
        self._preparation = self._executor.submit(_prepare, model, messages, stop)

    async def run(self, work: Callable[[], Result]) -> Result:
        """Run `work` and return its result. Once begun it is waited for, even if the caller is cancelled."""
        await self._end_preparation()
        return await wait_uncancelled(asyncio.get_running_loop().run_in_executor(self._executor, work))

    async def stream(
        self, produce: Callable[[threading.Event], Generator[Item, None, Result]]
    ) -> AbstractAsyncContextManager[ThreadStream[Item, Result]]:
        """Return the stream of what the generator `produce(stop)` yields: see `stream_in_thread`."""
        await self._end_preparation()
        return stream_in_thread(self._executor, produce)

    async def close(self, model: ChatModel) -> None:
        """Free the model and end the thread."""
        self._closed = True
        await self.run(model.close)
        self._executor.shutdown()

    async def _end_preparation(self) -> None:
        self._stop_preparing.set()
        preparation, self._preparation = self._preparation, None
        if preparation is not None:
            await wait_uncancelled(asyncio.wrap_future(preparation))


def _prepare(model: PromptPreparer, messages: Sequence[Message], stop: threading.Event) -> None:
    if stop.is_set():
        return
    try:
        model.prepare(messages, stop)
    except ParleyError:
        # What cannot be prepared cannot be answered either: the turn says so, if the user sends the message at all.
        return
