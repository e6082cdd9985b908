"""One conversation and its turns.

How a turn flows, whoever listens to it:

    user's Message ─▶ Session.turn ─▶ ChatModel.stream on the model's thread ─▶ TextDelta … ─▶ history ─▶ TurnFinished

There is one way to stop it: leave the stream (cancel the task, or close the iterator). The model then stops within
one token, and the reply is kept cut to what was handed out.

Where a prompt is too long for the model, or for its memory, the oldest is left out: first the pixels of pictures that a
later one has followed, then whole turns. What the model is no longer shown stays in the conversation.

A message may be answered by something other than the model, such as a skill: `router` decides. That runs on the
model's thread as well, and its words are the reply.
"""

import asyncio
import gc
import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from assistant.async_bridge import ThreadStream, stream_in_thread, wait_uncancelled
from assistant.conversation.model_command import parse_model_command, run_model_command
from assistant.errors import AssistantError, ConfigError, ContextOverflow, HistoryError, ModelError
from assistant.events import Event, Notice, SkillResult, TextDelta, TurnFinished, Usage
from assistant.messages import IMAGE_PLACEHOLDER, Image, Message, assistant, system
from assistant.models.base import ChatModel, GenerationOptions
from assistant.progress import Progress

Responder = Callable[[threading.Event], Generator[str | SkillResult | Notice, None, Usage]]
"""Answers a message in the model's place: yields pieces of the reply, and whatever else is to be known."""


class Router(Protocol):
    """Decides who answers a message."""

    def __call__(self, message: Message, earlier: Sequence[Message], *, commands: bool) -> Responder | None:
        """Return what answers `message`, which follows `earlier`, or None for the model.

        With `commands` False the message is plain words, whatever it begins with. Raises `SkillError`.
        """
        ...


class ModelSource(Protocol):
    """Where the models come from that a conversation can be answered by."""

    def fetch(self, name: str, progress: Progress) -> None:
        """Make sure that the model called `name` can be loaded. Raises `AssistantError`."""
        ...

    def load(self, name: str, progress: Progress) -> ChatModel:
        """Load it. Raises `AssistantError`."""
        ...


class TurnStore(Protocol):
    """Where finished and interrupted turns are kept; blocking, and durable when `append` returns."""

    def append(self, user: Message, reply: Message, usage: Usage) -> None:
        """Add one turn. Raises `HistoryError` if it cannot be written."""
        ...


class ResponseSink(Protocol):
    """How a reply reaches a person where that takes longer than writing it, as speech does."""

    async def finish(self) -> None:
        """Wait until all of the reply has reached them. Leaving the turn meanwhile cancels this."""
        ...

    def delivered_text(self) -> str:
        """What of the reply has reached them."""
        ...


@dataclass(frozen=True)
class TurnOutcome:
    """What the conversation keeps of a turn.

    Attributes:
        reply: The reply as kept, or None if the turn left no trace. `reply.interrupted` tells whether it was stopped.
        usage: Tokens and times of the reply.
    """

    reply: Message | None = None
    usage: Usage = field(default_factory=Usage)


class Turn:
    """One turn: iterate it for its events. `outcome` holds what was kept, also after a stop or an error.

    Iterate it inside `contextlib.aclosing`, so that leaving early ends the turn at once.
    """

    def __init__(self, run: Callable[["Turn"], AsyncGenerator[Event, None]], *, is_command: bool = False) -> None:
        self.outcome = TurnOutcome()
        """Final once the stream has ended, for whatever reason."""
        self.is_command = is_command
        """True for an instruction to the session such as `/model NAME`. The conversation keeps nothing of it."""
        self._events = run(self)

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._events

    async def aclose(self) -> None:
        """Stop the turn. The model stops within one token; the reply is kept as far as it was handed out."""
        await self._events.aclose()


@dataclass(frozen=True)
class _LeftOut:
    """How many of the oldest messages are left out of prompts, and of how many the pictures are."""

    messages: int = 0
    pictures: int = 0


class Session:
    """A conversation with one model. At most one turn runs at a time; a second one waits for the first.

    What others add to `notices` is passed on, and taken out, by the turn that runs or comes next. With `models` the
    model can be changed; the present one was loaded as `chosen` from there.
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
        router: Router | None = None,
        models: ModelSource | None = None,
        chosen: str = "",
    ) -> None:
        self.model = model
        self.options = options or GenerationOptions()
        self.messages = list(messages)
        """Every turn so far, oldest first, without the system message."""
        self._system = system
        self._left_out = self._told_left_out = _LeftOut()
        self._store = store
        self._unwritten: deque[tuple[Message, Message, Usage]] = deque()
        self.save_error: HistoryError | None = None
        """Why the latest turns are in memory only, while they are; each further turn tries to write them all."""
        self._told_unsaved = False
        self._notices = [] if notices is None else notices
        self._router = router
        self._models = models
        self._chosen = chosen
        self._lock = asyncio.Lock()
        self._executor = ThreadPoolExecutor(1, "model")

    def turn(
        self,
        message: Message,
        delivery: ResponseSink | None = None,
        *,
        advice: Callable[[], str] | None = None,
        commands: bool = True,
    ) -> Turn:
        """Answer `message`. Nothing happens before the turn is iterated.

        With `commands`, `/model NAME` changes the model and `/SKILL …` calls a skill. Pass False for spoken words.

        With `delivery`, the turn ends when that has finished, and a reply that is stopped is kept as far as it was
        delivered. `advice` is asked on the model's thread for instructions that hold for this turn alone.

        The stream raises what the model raises. A turn that failed before its first word leaves the conversation as it
        was; one that failed or was stopped later is kept with the reply as far as it got, marked interrupted. A store
        that cannot be written ends no conversation: it is a notice once, and `save_error`.
        """
        if commands and (name := parse_model_command(message.text)) is not None:
            return Turn(lambda _: run_model_command(self.change_model, name), is_command=True)
        return Turn(partial(self._run_turn, message, delivery, advice, commands))

    async def _run_turn(
        self,
        message: Message,
        delivery: ResponseSink | None,
        advice: Callable[[], str] | None,
        commands: bool,  # noqa: FBT001 - bound by `turn`, never passed by hand
        turn: Turn,
    ) -> AsyncGenerator[Event, None]:
        async with self._lock:
            pieces: list[str] = []
            stream: ThreadStream[str | SkillResult | Notice, Usage] | None = None
            kept = interrupted = True
            left_out = self._left_out
            try:
                while self._notices:
                    yield Notice(self._notices.pop(0))
                answerer = self._router(message, self.messages, commands=commands) if self._router is not None else None
                advised = await self._advised(advice)
                while True:
                    produce = answerer or partial(self.model.stream, self._prompt(message, advised), self.options)
                    try:
                        async with stream_in_thread(self._executor, produce) as stream:
                            async for piece in stream:
                                for event in self._events(piece, pieces):
                                    yield event
                        break
                    except ContextOverflow:
                        # With a part of the reply handed out, it cannot begin again.
                        if pieces or not self._make_room(message):
                            raise
                await _delivered(delivery)
                interrupted = False
            except Exception:
                kept = bool(pieces)
                if not kept:
                    self._left_out = left_out
                raise
            finally:
                if kept:
                    usage = (stream.result if stream is not None else None) or Usage()
                    reply = _as_far_as_shown("".join(pieces), delivery, interrupted=interrupted)
                    self.messages += [message, reply]
                    turn.outcome = TurnOutcome(reply, usage)
                    await self._save(message, reply, usage)
            if self._left_out != self._told_left_out:
                yield self._leaving_out()
            while self._notices:
                yield Notice(self._notices.pop(0))
            yield TurnFinished(reply, usage)

    async def _advised(self, advice: Callable[[], str] | None) -> str:
        if advice is None:
            return ""
        return await wait_uncancelled(asyncio.get_running_loop().run_in_executor(self._executor, advice))

    def _events(self, piece: str | SkillResult | Notice, pieces: list[str]) -> Iterator[Event]:
        """What to hand out for the next thing that the answerer yielded; words are put to the `pieces` of the reply."""
        if not isinstance(piece, str):
            yield piece
            return
        if self._left_out != self._told_left_out:
            yield self._leaving_out()
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
            await wait_uncancelled(asyncio.get_running_loop().run_in_executor(self._executor, self._replace, build))

    def _replace(self, build: Callable[[], ChatModel]) -> None:
        self.model.close()
        # Layers that refer to each other would otherwise stay until long after the next model was loaded beside them.
        gc.collect()
        self.model = build()
        # What was left out for the one before may fit this one.
        self._left_out = self._told_left_out = _LeftOut()

    async def change_model(self, name: str, progress: Progress) -> str:
        """Answer with the model that `name` calls from here on, and say so; without a name, say which one answers.

        It is fetched beside the present one and loaded in its place. If that fails, the one before is loaded again and
        the reason is raised.
        """
        if not name:
            return f"{self.model.info.name} answers. Another is chosen with /model NAME, as --model takes it."
        if self._models is None:
            raise ConfigError("The model of this conversation cannot be changed: start another one with --model.")
        async with self._lock:
            change = partial(self._change, self._models, name, progress)
            await wait_uncancelled(asyncio.get_running_loop().run_in_executor(self._executor, change))
        return f"{self.model.info.name} answers from here on."

    def _change(self, models: ModelSource, name: str, progress: Progress) -> None:
        models.fetch(name, progress)
        try:
            self._replace(partial(models.load, name, progress))
        except AssistantError as error:
            self._replace(partial(models.load, self._chosen, progress))
            raise ModelError(f"{error} {self.model.info.name} answers on.") from error
        self._chosen = name

    async def _save(self, message: Message, reply: Message, usage: Usage) -> None:
        if self._store is None:
            return
        self._unwritten.append((message, reply, usage))
        await wait_uncancelled(asyncio.get_running_loop().run_in_executor(None, self._write, self._store))

    def _write(self, store: TurnStore) -> None:
        try:
            while self._unwritten:
                store.append(*self._unwritten[0])
                self._unwritten.popleft()
        except HistoryError as error:
            self.save_error = error
            if not self._told_unsaved:
                self._told_unsaved = True
                self._notices.append(f"{error} The conversation goes on, but until that is put right it is not saved.")
        else:
            self.save_error = None
            self._told_unsaved = False

    def _leaving_out(self) -> Notice:
        self._told_left_out = self._left_out
        parts = []
        if turns := self._left_out.messages // 2:
            parts.append(f"its {_oldest(turns)} left out from here on")
        hidden = self.messages[self._left_out.messages : self._left_out.pictures]
        if pictures := sum(len(message.images) for message in hidden):
            which = "oldest picture is" if pictures == 1 else f"oldest {pictures} pictures are"
            parts.append(f"its {which} not looked at any more")
        return Notice(f"The conversation no longer fits the model: {', and '.join(parts)}.")

    def _prompt(self, message: Message, advised: str) -> list[Message]:
        instructions = [self._system] if self._system else []
        if advised:
            # Beside the user's own words a small model takes it for what they say, and answers that.
            instructions = [system("\n".join([*(each.text for each in instructions), advised]))]
        shown = [
            _without_pictures(earlier) if index < self._left_out.pictures else earlier
            for index, earlier in enumerate(self.messages)
            if index >= self._left_out.messages
        ]
        return [*instructions, *shown, message]

    def _make_room(self, message: Message) -> bool:
        """Leave more of what is oldest out of this and later prompts; False if nothing is left.

        Pictures go first, as long as a later one is shown; then turns. Each time a quarter of those there are, at least
        one: more than the least needed, because each drop costs a new prefill of all that remains.
        """
        left_out = self._left_out
        begin = max(left_out.messages, left_out.pictures)
        pictured = [index for index, earlier in enumerate(self.messages) if index >= begin and earlier.images]
        if older := pictured if message.images else pictured[:-1]:
            self._left_out = replace(left_out, pictures=older[max(1, len(older) // 4) - 1] + 1)
            return True
        turns = (len(self.messages) - left_out.messages) // 2
        if turns:
            self._left_out = replace(left_out, messages=left_out.messages + 2 * max(1, turns // 4))
        return turns > 0


def _without_pictures(message: Message) -> Message:
    return replace(
        message, parts=tuple(IMAGE_PLACEHOLDER if isinstance(part, Image) else part for part in message.parts)
    )


def _oldest(turns: int) -> str:
    return "oldest turn is" if turns == 1 else f"oldest {turns} turns are"


async def _delivered(delivery: ResponseSink | None) -> None:
    if delivery is not None:
        await delivery.finish()


def _as_far_as_shown(text: str, delivery: ResponseSink | None, *, interrupted: bool) -> Message:
    if interrupted and delivery is not None:
        text = delivery.delivered_text()
    return assistant(text, interrupted=interrupted)
