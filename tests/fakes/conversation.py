"""Fakes for tests of conversations: stores, failing models, a source of models, and runners for turns."""

import asyncio
import threading
from collections.abc import Generator, Sequence
from contextlib import aclosing

from assistant.conversation.session import Session
from assistant.conversation.turn import Turn
from assistant.errors import ContextOverflow, HistoryError, ModelError
from assistant.events import Event, Notice, TextDelta, Usage
from assistant.messages import Image, Message, user
from assistant.models.base import GenerationOptions
from assistant.models.scripted import ScriptedModel
from assistant.progress import Progress

CAT = Image(b"not decoded here", "image/png", 4, 3, "cat.png")


class RecordingStore:
    """Keep turns in a list as (user text, reply text, interrupted). Refuse them while `full`."""

    def __init__(self, *, full: bool = False) -> None:
        self.turns: list[tuple[str, str, bool]] = []
        self.usages: list[Usage] = []
        self.full = full

    def append(self, user: Message, reply: Message, usage: Usage) -> None:
        if self.full:
            raise HistoryError("The history cannot be written: the disk is full.")
        self.turns.append((user.text, reply.text, reply.interrupted))
        self.usages.append(usage)


class FailingModel(ScriptedModel):
    """Stream the scripted text and then raise `error`."""

    def __init__(self, text: str, error: ModelError | None = None) -> None:
        super().__init__(text)
        self._error = error or ModelError("The model ran out of memory: attach fewer pictures.")

    def stream(
        self, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event
    ) -> Generator[str, None, Usage]:
        yield from super().stream(messages, options, stop)
        raise self._error


class PreparingModel(ScriptedModel):
    """Prepare a prompt until it is stopped or may end, and keep a list of what was called."""

    def __init__(self, *, error: Exception | None = None) -> None:
        super().__init__()
        self.calls: list[tuple[str, tuple[Message, ...]]] = []
        self.begun = threading.Event()
        self.may_end = threading.Event()
        self._error = error

    def prepare(self, messages: Sequence[Message], stop: threading.Event) -> None:
        self.calls.append(("prepare", tuple(messages)))
        self.begun.set()
        while not (stop.is_set() or self.may_end.is_set()):
            stop.wait(0.01)
        if self._error is not None:
            raise self._error
        self.calls.append(("stopped" if stop.is_set() else "prepared", tuple(messages)))

    def stream(
        self, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event
    ) -> Generator[str, None, Usage]:
        self.calls.append(("stream", tuple(messages)))
        return (yield from super().stream(messages, options, stop))


class AttentiveModel(ScriptedModel):
    """Remember when it was paused, whether it shares its cores, and which questions it prepared."""

    def __init__(self, *replies: str, token_seconds: float = 0.0) -> None:
        super().__init__(*replies, token_seconds=token_seconds)
        self.pauses: list[bool] = []
        self.shares: list[bool] = []
        self.prepared: list[Message] = []

    def share_cores(self, *, shared: bool) -> None:
        self.shares.append(shared)

    def pause(self, *, paused: bool) -> None:
        self.pauses.append(paused)

    def prepare(self, messages: Sequence[Message], stop: threading.Event) -> None:
        self.prepared.append(messages[-1])


class OverflowingModel(ScriptedModel):
    """Have a context that holds `max_turns` messages of the user, whatever their length."""

    def __init__(self, max_turns: int) -> None:
        super().__init__()
        self.max_turns = max_turns

    def stream(
        self, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event
    ) -> Generator[str, None, Usage]:
        count = sum(message.role == "user" for message in messages)
        if count > self.max_turns:
            raise ContextOverflow(count, self.max_turns)
        return (yield from super().stream(messages, options, stop))


class StallingModel(ScriptedModel):
    """Before each reply that is enqueued as an empty text, set `stalled` and wait for the stop event."""

    def __init__(self, *replies: str, context_tokens: int = 4096) -> None:
        super().__init__(*replies, context_tokens=context_tokens)
        self.stalled = threading.Event()

    def stream(
        self, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event
    ) -> Generator[str, None, Usage]:
        for chunk in (stream := super().stream(messages, options, stop)):
            if not chunk:
                self.stalled.set()
                assert stop.wait(60), "nobody stopped the turn"
                stream.close()
                break
            yield chunk
        return Usage()


class FakeModelSource:
    """Models by name. The model "large" can be fetched but not loaded.

    `log` records every call; a load adds ", the old one freed" if `current` is closed at that moment.
    """

    def __init__(self, current: ScriptedModel | None = None, **models: ScriptedModel) -> None:
        self.log: list[str] = []
        self._current = current
        self._models = models

    def fetch(self, name: str, progress: Progress) -> None:
        if name not in self._models and name != "large":
            raise ModelError(f"There is no model {name}.")
        progress("fetching", 1, 2)
        self.log.append(f"fetch {name}")

    def load(self, name: str, progress: Progress) -> ScriptedModel:
        self.log.append(f"load {name}" + (", the old one freed" if self._current and self._current.closed else ""))
        if name == "large":
            raise ModelError("There is not enough memory for large.")
        return self._models[name]


class FakeSink:
    """Deliver `delivered` of every reply, and finish once `may_finish` is set."""

    def __init__(self, delivered: str = "") -> None:
        self.may_finish = asyncio.Event()
        self.waiting = asyncio.Event()
        self._delivered = delivered

    async def finish(self) -> None:
        self.waiting.set()
        await self.may_finish.wait()

    def delivered_text(self) -> str:
        return self._delivered


async def collect(turn: Turn) -> list[Event]:
    """Return all events of a turn."""
    async with aclosing(turn) as events:
        return [event async for event in events]


async def run_turn(session: Session, message: Message) -> list[Event]:
    """Answer `message` and return the events of the turn."""
    return await collect(session.turn(message))


async def ask(session: Session, text: str) -> str:
    """Answer `text` and return the text of the reply."""
    return reply_text(await run_turn(session, user(text)))


def reply_text(events: Sequence[Event]) -> str:
    """Return the text that a turn streamed."""
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def notices(events: Sequence[Event]) -> list[str]:
    """Return the texts of a turn's notices."""
    return [event.text for event in events if isinstance(event, Notice)]


def texts(messages: Sequence[Message]) -> list[str]:
    """Return the text of each message."""
    return [message.text for message in messages]
