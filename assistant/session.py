"""One conversation and its turns.

How a turn flows, whoever listens to it:

    user's Message ─▶ Session.turn ─▶ ChatModel.stream on the model's thread ─▶ TextDelta … ─▶ history ─▶ TurnFinished

There is one way to stop it: leave the stream (cancel the task, or close the iterator). The model then stops within
one token, and the reply is kept cut to what was handed out.

A message may be answered by something other than the model, such as a skill: `divert` decides. That runs on the
model's thread as well, and its words are the reply.
"""

import asyncio
import gc
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Protocol

from assistant.errors import ContextOverflow, HistoryError
from assistant.events import Event, Notice, SkillResult, TextDelta, TurnFinished, Usage
from assistant.messages import Message, assistant
from assistant.models.base import ChatModel, GenerationOptions
from assistant.threads import ThreadStream, finish, stream_in_thread

Answerer = Callable[[threading.Event], Generator[str | SkillResult | Notice, None, Usage]]
"""Answers a message in the model's place: yields pieces of the reply, and whatever else is to be known."""

Divert = Callable[[Message, Sequence[Message]], Answerer | None]
"""Decides who answers a message, knowing all messages before it: None is the model. Raises `SkillError`."""


class TurnStore(Protocol):
    """Where finished and interrupted turns are kept; blocking, and durable when `append` returns."""

    def append(self, user: Message, reply: Message, usage: Usage) -> None:
        """Add one turn. Raises `HistoryError` if it cannot be written."""
        ...


class Delivery(Protocol):
    """How a reply reaches a person where that takes longer than writing it, as speech does."""

    async def finish(self) -> None:
        """Wait until all of the reply has reached them. Leaving the turn meanwhile cancels this."""
        ...

    def delivered(self) -> str:
        """What of the reply has reached them."""
        ...


class Session:
    """A conversation with one model. At most one turn runs at a time; a second one waits for the first.

    What others add to `notices` is passed on, and taken out, by the turn that runs or comes next.
    """

    def __init__(
        self,
        model: ChatModel,
        *,
        options: GenerationOptions | None = None,
        system: Message | None = None,
        messages: Sequence[Message] = (),
        store: TurnStore | None = None,
        notices: list[str] | None = None,
        divert: Divert | None = None,
    ) -> None:
        self.model = model
        self.options = options or GenerationOptions()
        self.messages = list(messages)
        """Every turn so far, oldest first, without the system message."""
        self._system = system
        # How many of the oldest messages are left out of prompts, and of how many that was told.
        self._forgotten = 0
        self._told_forgotten = 0
        self._store = store
        self._unwritten: deque[tuple[Message, Message, Usage]] = deque()
        self.unsaved: HistoryError | None = None
        """Why the latest turns are in memory only, while they are; each further turn tries to write them all."""
        self._told_unsaved = False
        self._notices = [] if notices is None else notices
        self._divert = divert
        self._lock = asyncio.Lock()
        self._executor = ThreadPoolExecutor(1, "model")

    async def turn(self, message: Message, delivery: Delivery | None = None) -> AsyncGenerator[Event, None]:
        """Answer `message`. Iterate it inside `contextlib.aclosing`, so that leaving early ends the turn at once.

        With `delivery`, the turn ends when that has finished, and a reply that is stopped is kept as far as it was
        delivered.

        Raises what the model raises. A turn that failed before its first word leaves the conversation as it was;
        one that failed or was stopped later is kept with the reply as far as it got, marked interrupted. A store
        that cannot be written ends no conversation: it is a notice once, and `unsaved`.
        """
        async with self._lock:
            pieces: list[str] = []
            stream: ThreadStream[str | SkillResult | Notice, Usage] | None = None
            kept = interrupted = True
            forgotten = self._forgotten
            try:
                while self._notices:
                    yield Notice(self._notices.pop(0))
                answerer = self._divert(message, self.messages) if self._divert is not None else None
                while True:
                    produce = answerer or partial(self.model.stream, self._prompt(message), self.options)
                    try:
                        async with stream_in_thread(self._executor, produce) as stream:
                            async for piece in stream:
                                for event in self._events(piece, pieces):
                                    yield event
                        break
                    except ContextOverflow:
                        if not self._drop_oldest_turns():
                            raise
                await _delivered(delivery)
                interrupted = False
            except Exception:
                kept = bool(pieces)
                if not kept:
                    self._forgotten = forgotten
                raise
            finally:
                if kept:
                    usage = (stream.result if stream is not None else None) or Usage()
                    reply = _as_far_as_shown("".join(pieces), delivery, interrupted=interrupted)
                    self.messages += [message, reply]
                    await self._save(message, reply, usage)
            if self._forgotten > self._told_forgotten:
                yield self._forgetting()
            while self._notices:
                yield Notice(self._notices.pop(0))
            yield TurnFinished(reply, usage)

    def _events(self, piece: str | SkillResult | Notice, pieces: list[str]) -> Iterator[Event]:
        """What to hand out for the next thing that the answerer yielded; words are put to the `pieces` of the reply."""
        if not isinstance(piece, str):
            yield piece
            return
        if self._forgotten > self._told_forgotten:
            yield self._forgetting()
        pieces.append(piece)
        yield TextDelta(piece)

    async def close(self) -> None:
        """Wait for a running turn to end, then free the model."""
        async with self._lock:
            await asyncio.get_running_loop().run_in_executor(self._executor, self.model.close)
            self._executor.shutdown()

    async def switch(self, build: Callable[[], ChatModel]) -> None:
        """Answer with the model that `build` makes from here on, all turns so far included.

        The one before is freed first, for there may not be room for two. Raises what `build` raises; nothing answers
        then until a later switch succeeds.
        """
        async with self._lock:
            await finish(asyncio.get_running_loop().run_in_executor(self._executor, self._replace, build))

    def _replace(self, build: Callable[[], ChatModel]) -> None:
        self.model.close()
        # Layers that refer to each other would otherwise stay until long after the next model was loaded beside them.
        gc.collect()
        self.model = build()
        # What was left out for the one before may fit this one.
        self._forgotten = self._told_forgotten = 0

    async def _save(self, message: Message, reply: Message, usage: Usage) -> None:
        if self._store is None:
            return
        self._unwritten.append((message, reply, usage))
        await finish(asyncio.get_running_loop().run_in_executor(None, self._write, self._store))

    def _write(self, store: TurnStore) -> None:
        try:
            while self._unwritten:
                store.append(*self._unwritten[0])
                self._unwritten.popleft()
        except HistoryError as error:
            self.unsaved = error
            if not self._told_unsaved:
                self._told_unsaved = True
                self._notices.append(f"{error} The conversation goes on, but until that is put right it is not saved.")
        else:
            self.unsaved = None
            self._told_unsaved = False

    def _forgetting(self) -> Notice:
        self._told_forgotten = self._forgotten
        turns = self._forgotten // 2
        what = "oldest turn is" if turns == 1 else f"oldest {turns} turns are"
        return Notice(f"The conversation no longer fits the model: its {what} left out from here on.")

    def _prompt(self, message: Message) -> list[Message]:
        instructions = [self._system] if self._system else []
        return [*instructions, *self.messages[self._forgotten :], message]

    def _drop_oldest_turns(self) -> bool:
        """Leave the oldest quarter of the turns, at least one, out of this and later prompts; False if none is left.

        More than the least needed, because each drop costs a new prefill of all that remains.
        """
        turns = (len(self.messages) - self._forgotten) // 2
        self._forgotten += 2 * max(1, turns // 4) if turns else 0
        return turns > 0


async def _delivered(delivery: Delivery | None) -> None:
    if delivery is not None:
        await delivery.finish()


def _as_far_as_shown(text: str, delivery: Delivery | None, *, interrupted: bool) -> Message:
    if interrupted and delivery is not None:
        text = delivery.delivered()
    return assistant(text, interrupted=interrupted)
