"""Run the turns of one conversation.

    user's Message ─▶ Session.turn ─▶ Router ─┬▶ stream_reply (model) ─┬▶ TextDelta … ─▶ TurnLog ─▶ TurnFinished
                                              └▶ Responder (skill) ────┘
                                                 on the model's thread

To stop a turn, leave its stream: cancel the task or close the iterator. The model stops within one token, and the
turn is kept with the text that was handed out. A prompt that is too long is trimmed by `context_window` and retried.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from functools import partial

from assistant.async_bridge import ThreadStream
from assistant.conversation.commands import is_literal, parse_help_command, show_help, without_backslash
from assistant.conversation.context_window import ContextWindow
from assistant.conversation.current_model import CurrentModel, ModelSource
from assistant.conversation.model_command import parse_model_command, run_model_command
from assistant.conversation.model_thread import ModelThread, PausableReply
from assistant.conversation.set_command import OptionChoices, parse_set_command
from assistant.conversation.turn import (
    ModelRouter,
    ReplySoFar,
    ResponseSink,
    Router,
    Turn,
    TurnItem,
    TurnOutcome,
)
from assistant.conversation.turn_log import TurnLog, TurnStore
from assistant.errors import ContextOverflow, HistoryError
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
from assistant.messages import Message, Reasoning, user
from assistant.models.base import ChatModel, GenerationOptions
from assistant.models.replies import ending_notice, stream_reply
from assistant.progress import Progress


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
        self._current = CurrentModel(model, models, model_name)
        self._choices = OptionChoices(options or GenerationOptions(), option_origins)
        self._notices = [] if notices is None else notices
        self._log = TurnLog(messages, store, self._notices.append)
        self._context = ContextWindow(system)
        self._router: Router = router or ModelRouter()
        self._lock = asyncio.Lock()
        self._thread = ModelThread()

    @property
    def model(self) -> ChatModel:
        """The model that answers."""
        return self._current.model

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
        self._current.share_cores(shared=shared)

    async def _run_turn(
        self,
        message: Message,
        sink: ResponseSink | None,
        turn_instructions: Callable[[], str] | None,
        commands: bool,  # noqa: FBT001 - bound by `turn`, never passed by hand
        turn: Turn,
    ) -> AsyncGenerator[Event, None]:
        async with self._lock:
            reply_so_far = ReplySoFar()
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

    def _events(self, item: TurnItem, reply: ReplySoFar) -> Iterator[Event]:
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

    async def change_model(self, name: str, progress: Progress) -> str:
        """Load another model in place of the current one: see `CurrentModel.change`.

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
        async with self._lock:
            before = self.model
            try:
                await self._thread.run(partial(self._current.change, name, progress))
            finally:
                if self.model is not before:
                    # Another model may have a longer context.
                    self._context.reset()
        # The new model has read nothing of the conversation.
        self.prepare()
        return f"{self.model.info.name} answers from here on."
