"""Run the turns of one conversation.

    user's Message ─▶ Session.turn ─▶ Router ─┬▶ stream_reply (model) ─┬▶ TextDelta … ─▶ TurnLog ─▶ TurnFinished
                                              └▶ Responder (skill) ────┘
                                                 on the model's thread

To stop a turn, leave its stream: cancel the task or close the iterator. The model stops within one token, and the
turn is kept with the text that was handed out. A prompt that is too long is trimmed by `context_window` and retried.
"""

import asyncio
import gc
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from assistant.async_bridge import ThreadStream
from assistant.conversation.commands import is_literal, parse_help_command, show_help, without_backslash
from assistant.conversation.context_window import ContextWindow
from assistant.conversation.model_command import parse_model_command, run_model_command
from assistant.conversation.model_thread import ModelThread, PausableReply
from assistant.conversation.set_command import OptionChoices, parse_set_command
from assistant.conversation.turn_log import TurnLog, TurnStore
from assistant.errors import ConfigError, ContextOverflow, HistoryError, ModelError, ParleyError
from assistant.events import (
    Event,
    Notice,
    ReasoningDelta,
    SkillResult,
    TextDelta,
    TextWasReasoning,
    TurnFinished,
    Usage,
)
from assistant.messages import Message, Reasoning, assistant, user
from assistant.models.base import ChatModel, CoreSharer, GenerationOptions, ReplyItem
from assistant.models.replies import ending_notice, stream_reply
from assistant.progress import Progress

TurnItem = ReplyItem | SkillResult | Notice
"""An item of the reply, or an event beside it."""

Responder = Callable[[threading.Event], Generator[TurnItem, None, Usage]]
"""Answers a message in place of the model: yields text of the reply and other events, and returns the usage.

It runs on the model's thread and ends soon after its argument, the stop event, is set.
"""


class Router(Protocol):
    """Decide what answers a message, and describe the commands."""

    def help_lines(self, topic: str) -> Sequence[str]:
        """Return sentences about the command that `topic` names, or about all commands."""
        ...

    def __call__(self, message: Message, earlier: Sequence[Message], *, commands: bool) -> Responder | None:
        """Return the responder for `message`, which follows `earlier`, or None for the model.

        Args:
            message: Message to answer.
            earlier: Conversation before it.
            commands: Whether a text like "/caption" is a command; False for spoken words.

        Raises:
            SkillError: The command cannot be run.
        """
        ...


class ModelSource(Protocol):
    """Fetches and loads models by name, for a session that changes its model."""

    def fetch(self, name: str, progress: Progress) -> None:
        """Download the model called `name` if needed. Raises `ParleyError`."""
        ...

    def load(self, name: str, progress: Progress) -> ChatModel:
        """Load the model called `name`. Raises `ParleyError`."""
        ...


class ResponseSink(Protocol):
    """Output that takes longer than writing the reply, such as speech."""

    async def finish(self) -> None:
        """Wait until the complete reply is delivered. Cancelled when the turn is stopped."""
        ...

    def delivered_text(self) -> str:
        """Return the part of the reply that has been delivered."""
        ...


@dataclass(frozen=True)
class TurnOutcome:
    """The part of a turn that the conversation keeps.

    Attributes:
        reply: The reply as kept, or None if the turn left no trace. `reply.interrupted` tells whether it was stopped.
        usage: Tokens and times of the reply.
    """

    reply: Message | None = None
    usage: Usage = field(default_factory=Usage)


class Turn:
    """One turn. Iterate it for its events, inside `contextlib.aclosing`, so that leaving early ends it at once."""

    def __init__(self, run: Callable[["Turn"], AsyncGenerator[Event, None]], *, is_command: bool = False) -> None:
        self.outcome = TurnOutcome()
        """The kept part of the turn, also after a stop or an error. Final once the stream has ended."""
        self.is_command = is_command
        """True for an instruction to the session such as `/model NAME`. It is not part of the conversation."""
        self._writing: PausableReply | None = None
        self._paused = False
        self._events = run(self)

    def pause(self, *, paused: bool) -> None:
        """Let the model wait, which leaves the processor to others, or go on. What is written already still arrives."""
        if paused != self._paused:
            self._paused = paused
            if self._writing is not None:
                self._writing.pause(paused=paused)

    def on_writing(self, reply: PausableReply) -> None:
        """Begin to write the reply; the session calls this. It waits if the turn is paused."""
        self._writing = reply
        if self._paused:
            reply.pause(paused=True)

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._events

    async def aclose(self) -> None:
        """Stop the turn. The model stops within one token; the text handed out so far is kept."""
        await self._events.aclose()


class Session:
    """A conversation with one model. One turn runs at a time; a second one waits for the first."""

    # More than six parameters: each is an independent, optional part, and all but tests pass them in one place
    # (parley.factory.session).
    def __init__(
        self,
        model: ChatModel,
        *,
        options: GenerationOptions | None = None,
        option_origins: Mapping[str, str] | None = None,
        system: Message | None = None,
        messages: Sequence[Message] = (),
        store: TurnStore | None = None,
        notices: list[str] | None = None,
        router: Router | None = None,
        models: ModelSource | None = None,
        model_name: str = "",
    ) -> None:
        """Create a session.

        Args:
            model: Answers the turns; the session closes it.
            options: Options of every reply, until `/set` changes them.
            option_origins: Where those come from that are no default, by name.
            system: Instructions before the conversation.
            messages: Earlier turns, oldest first.
            store: Store for new turns; None keeps them in memory only.
            notices: Queue of notices for the user. Whatever is added to it is emitted, and removed, by the running or
                the next turn.
            router: Decides whether a skill answers a message; None always asks the model.
            models: Source of other models; None means that the model cannot be changed.
            model_name: Name by which `models` loaded `model`.
        """
        self.model = model
        self._choices = OptionChoices(options or GenerationOptions(), option_origins)
        self._notices = [] if notices is None else notices
        self._log = TurnLog(messages, store, self._notices.append)
        self._context = ContextWindow(system)
        self._router: Router = router or _ModelRouter()
        self._models = models
        self._model_name = model_name
        self._lock = asyncio.Lock()
        self._thread = ModelThread()

    @property
    def options(self) -> GenerationOptions:
        """Options of the next reply."""
        return self._choices.current

    @property
    def messages(self) -> list[Message]:
        """Every turn so far, oldest first, without the system message."""
        return self._log.messages

    @property
    def system(self) -> Message | None:
        """Instructions before the conversation, or None."""
        return self._context.instructions

    @property
    def save_error(self) -> HistoryError | None:
        """Reason why the latest turns are in memory only, or None if all are saved. Each new turn saves them all."""
        return self._log.save_error

    def turn(
        self,
        message: Message,
        sink: ResponseSink | None = None,
        *,
        turn_instructions: Callable[[], str] | None = None,
        commands: bool = True,
    ) -> Turn:
        """Answer `message`. Nothing happens before the turn is iterated.

        A turn that fails before its first word leaves the conversation unchanged, and so does an empty reply, which is
        an error. One that fails later or is stopped is kept with the reply so far, marked interrupted. A store that
        cannot be written does not end the turn: it causes one notice, and `save_error`.

        Args:
            message: Message of the user.
            sink: Where the reply is delivered. The turn ends when the sink has finished, and a stopped reply is kept as
                far as it was delivered.
            turn_instructions: Returns additional instructions for this turn only; called on the model's thread.
            commands: Whether `/help`, `/model NAME`, `/set` and `/SKILL …` are commands. Pass False for spoken words.

        Returns:
            The turn. Its stream raises what the model raises.
        """
        if commands and (name := parse_model_command(message.text)) is not None:
            return Turn(lambda _: run_model_command(self.change_model, name), is_command=True)
        if commands and (words := parse_set_command(message.text)) is not None:
            return Turn(lambda _: self._choices.run(words, self.model), is_command=True)
        if commands and (topic := parse_help_command(message.text)) is not None:
            return Turn(lambda _: show_help(self._router.help_lines(topic)), is_command=True)
        if commands and is_literal(message.text):
            message, commands = without_backslash(message), False
        return Turn(partial(self._run_turn, message, sink, turn_instructions, commands))

    def prepare(self, message: Message | None = None) -> None:
        """Let the model process the conversation, while the user still writes or speaks. Does not wait.

        The next turn ends the preparation, and finds done what was done. While a turn runs, nothing happens.

        Args:
            message: Next message as far as it is known, such as the images attached so far.
        """
        if not self._lock.locked():
            self._thread.prepare(self.model, self._context.prompt(self.messages, message or user("")))

    def share_cores(self, *, shared: bool) -> None:
        """Let the model leave a core of the processor to others, such as speech, or take it back. Does not wait."""
        if isinstance(self.model, CoreSharer):
            self.model.share_cores(shared=shared)

    async def _run_turn(
        self,
        message: Message,
        sink: ResponseSink | None,
        turn_instructions: Callable[[], str] | None,
        commands: bool,  # noqa: FBT001 - bound by `turn`, never passed by hand
        turn: Turn,
    ) -> AsyncGenerator[Event, None]:
        async with self._lock:
            reply_so_far = _ReplySoFar()
            stream: ThreadStream[TurnItem, Usage] | None = None
            kept = interrupted = True
            trim = self._context.trim
            try:
                while self._notices:
                    yield Notice(self._notices.pop(0))
                responder = self._router(message, self.messages, commands=commands)
                instructions = "" if turn_instructions is None else await self._thread.run(turn_instructions)
                while True:
                    prompt = self._context.prompt(self.messages, message, instructions)
                    produce = responder or partial(stream_reply, self.model, prompt, self.options)
                    try:
                        async with await self._thread.stream(produce) as stream:
                            turn.on_writing(PausableReply(stream, self.model))
                            async for item in stream:
                                for event in self._events(item, reply_so_far):
                                    yield event
                        break
                    except ContextOverflow:
                        # A reply that was partly handed out cannot start again.
                        if reply_so_far.has_begun or not self._context.shrink(self.messages, message):
                            raise
                if sink is not None:
                    await sink.finish()
                interrupted = False
            except Exception:
                kept = bool(reply_so_far.text)
                if not kept:
                    self._context.trim = trim
                raise
            finally:
                if kept:
                    usage = (stream.result if stream is not None else None) or Usage()
                    reply = reply_so_far.message(sink, interrupted=interrupted)
                    turn.outcome = TurnOutcome(reply, usage)
                    await self._log.append(message, reply, usage)
            for late_notice in self._late_notices(usage):
                yield late_notice
            yield TurnFinished(reply, usage)

    def _events(self, item: TurnItem, reply: "_ReplySoFar") -> Iterator[Event]:
        """Yield the events for one item of the responder, and add it to `reply`."""
        match item:
            case str():
                if notice := self._context.take_notice(self.messages):
                    yield Notice(notice)
                reply.text.append(item)
                yield TextDelta(item)
            case Reasoning():
                reply.reasoning.append(item.text)
                yield ReasoningDelta(item.text)
            case TextWasReasoning():
                reply.take_text_for_reasoning()
                yield item
            case SkillResult() | Notice():
                yield item
            # No tools are offered: a call is reported with the end of the reply.

    def _late_notices(self, usage: Usage) -> Iterator[Notice]:
        if notice := ending_notice(usage, self.options):
            yield Notice(notice)
        if notice := self._context.take_notice(self.messages):
            yield Notice(notice)
        while self._notices:
            yield Notice(self._notices.pop(0))

    async def close(self) -> None:
        """Wait for a running turn to end, then free the model."""
        async with self._lock:
            await self._thread.close(self.model)

    def _replace(self, build: Callable[[], ChatModel]) -> None:
        self.model.close()
        # Layers refer to each other in cycles; without this they are still in memory while the next model loads.
        gc.collect()
        self.model = build()
        self._context.reset()

    async def change_model(self, name: str, progress: Progress) -> str:
        """Load another model in place of the current one.

        The new model is downloaded before the current one is freed, since both may not fit into memory. If loading
        fails, the current one is loaded again.

        Args:
            name: Name of the model as `--model` takes it; empty to ask which model answers.
            progress: Receives download and loading progress.

        Returns:
            A sentence for the user about which model answers.

        Raises:
            ConfigError: This session cannot change its model.
            ModelError: The model cannot be fetched or loaded.
        """
        if not name:
            return f"{self.model.info.name} answers. Another is chosen with /model NAME, as --model takes it."
        if self._models is None:
            raise ConfigError("The model of this conversation cannot be changed: start another one with --model.")
        async with self._lock:
            await self._thread.run(partial(self._change, self._models, name, progress))
        return f"{self.model.info.name} answers from here on."

    def _change(self, models: ModelSource, name: str, progress: Progress) -> None:
        models.fetch(name, progress)
        try:
            self._replace(partial(models.load, name, progress))
        except ParleyError as error:
            self._replace(partial(models.load, self._model_name, progress))
            raise ModelError(f"{error} {self.model.info.name} answers on.") from error
        self._model_name = name


class _ModelRouter:
    """Route every message to the model."""

    def help_lines(self, topic: str) -> Sequence[str]:  # noqa: ARG002 - there is one command
        return ["/model NAME lets another model answer.", "/set NAME VALUE changes how replies are generated."]

    def __call__(self, message: Message, earlier: Sequence[Message], *, commands: bool) -> None:
        """Return None: the model answers."""


@dataclass
class _ReplySoFar:
    """What has been handed out of a reply."""

    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)

    @property
    def has_begun(self) -> bool:
        return bool(self.text or self.reasoning)

    def take_text_for_reasoning(self) -> None:
        """Handle `TextWasReasoning`."""
        self.reasoning += self.text
        self.text.clear()

    def message(self, sink: ResponseSink | None, *, interrupted: bool) -> Message:
        """Return the reply to keep: as far as it was delivered, if it was interrupted."""
        text = sink.delivered_text() if interrupted and sink is not None else "".join(self.text)
        return assistant(text, reasoning="".join(self.reasoning).strip(), interrupted=interrupted)
