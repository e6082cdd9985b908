"""One turn: what answers it, where its reply goes, and what is kept of it."""

import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from assistant.conversation.model_thread import PausableReply
from assistant.events import Event, Notice, SkillResult, Usage
from assistant.messages import Message, assistant
from assistant.models.base import ReplyItem

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


@dataclass
class ReplySoFar:
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


class ModelRouter:
    """Route every message to the model."""

    def help_lines(self, topic: str) -> Sequence[str]:  # noqa: ARG002 - there is one command
        return ["/model NAME lets another model answer.", "/set NAME VALUE changes how replies are generated."]

    def __call__(self, message: Message, earlier: Sequence[Message], *, commands: bool) -> None:
        """Return None: the model answers."""
