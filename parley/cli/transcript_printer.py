"""Print the events of a conversation as text: the transcript to one stream, notices to another."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager

from assistant.conversation.session import Session
from assistant.errors import ParleyError
from assistant.events import (
    Event,
    Notice,
    ReasoningDelta,
    SpeechFinished,
    TextDelta,
    TextWasReasoning,
    TurnFinished,
    Usage,
    UserTranscript,
)
from assistant.messages import Message
from assistant.models.base import ChatModel, OpensReasoning
from assistant.progress import OnNotice
from parley.cli.terminal import is_terminal

WriteText = Callable[[str], object]
"""Shows the next piece of text at once."""


class TranscriptPrinter:
    """Prints one typed turn, or a spoken conversation: call it with each event.

    Attributes:
        reply_text: The reply so far.
        reasoning: What the model thought before it.
        usage: Tokens and times of the reply, once it is complete.
        finished: True once the reply is complete.
    """

    def __init__(
        self,
        write: WriteText,
        notify: OnNotice,
        *,
        show_speakers: bool = False,
        write_reasoning: WriteText = lambda _: None,
        hold_reply: bool = False,
    ) -> None:
        """Create a printer.

        Args:
            write: Receives the transcript.
            notify: Receives notices, each between two lines of the transcript.
            show_speakers: Print both sides, one line a message, each with its speaker. A notice then ends the line
                of a reply that is being spoken; otherwise it waits for the end of the reply.
            write_reasoning: Receives the reasoning before a reply, and a newline at its end. By default it is not
                shown: it may be longer than everything else.
            hold_reply: Write the reply at its end, for a program that reads it: what seems to be text may turn out to
                be reasoning, and cannot be taken back.
        """
        self.reply_text = ""
        self.reasoning = ""
        self.usage = Usage()
        self.finished = False
        self._write = write
        self._notify = notify
        self._show_speakers = show_speakers
        self._write_reasoning = write_reasoning
        self._reasoning_line_open = False
        self._hold_reply = hold_reply
        self._line_open = False
        self._held_notices: list[str] = []

    async def run(self, session: Session, message: Message) -> None:
        """Run the turn that answers `message` and print it. Raises what the turn raises, after ending the line."""
        try:
            async with aclosing(session.turn(message)) as turn:
                async for event in turn:
                    self(event)
        except (ParleyError, asyncio.CancelledError):
            self.end_line()
            raise

    def __call__(self, event: Event) -> None:
        """Print `event`."""
        match event:
            case UserTranscript(text):
                self.end_line()
                self._write(f"You: {text}\n")
            case TextDelta(text):
                self._print_reply(text)
            case ReasoningDelta(text):
                self._print_reasoning(text)
            case TextWasReasoning():
                self._take_text_for_reasoning()
            case Notice(text):
                self._print_notice(text)
            case TurnFinished(_, usage):
                self.usage = usage
                self.finished = True
                # An empty reply takes a line too, so that the n-th line of the output answers the n-th of the input.
                self._line_open |= not self._show_speakers
                self.end_line()
            case SpeechFinished():
                self.end_line()

    def end_line(self) -> None:
        """End a line that is incomplete, then print the notices that waited for that."""
        if self._hold_reply and self._line_open:
            self._write(self.reply_text)
        if self._line_open:
            self._write("\n")
        self._line_open = False
        while self._held_notices:
            self._notify(self._held_notices.pop(0))

    def _print_reasoning(self, text: str) -> None:
        # The template of many models begins with an empty line.
        text = text if self.reasoning else text.lstrip()
        self.reasoning += text
        if text:
            self._write_reasoning(text)
            self._reasoning_line_open = not text.endswith("\n")

    def _take_text_for_reasoning(self) -> None:
        self.reasoning += self.reply_text
        self.reply_text = ""
        if self._hold_reply:
            return
        self._held_notices.append("The text above was the model's reasoning; its reply begins here.")
        self.end_line()

    def _print_reply(self, text: str) -> None:
        if self._reasoning_line_open:
            self._write_reasoning("\n")
            self._reasoning_line_open = False
        self.reply_text += text
        if self._show_speakers:
            # A reply of several lines would look like several speakers.
            text = text.replace("\n", " ")
            if not self._line_open:
                text = f"Parley: {text.lstrip()}"
        if not self._hold_reply:
            self._write(text)
        self._line_open = True

    def _print_notice(self, text: str) -> None:
        self._held_notices.append(text)
        if self._show_speakers or not self._line_open:
            self.end_line()


def hold_reply(model: ChatModel) -> bool:
    """Return True if a program reads the output, and `model` may take text back that turns out to be reasoning."""
    return isinstance(model, OpensReasoning) and not is_terminal(sys.stdout)


@contextmanager
def warn_if_unsaved(session: Session, notify: OnNotice) -> Iterator[OnNotice]:
    """Warn after the block, however it ends, if the last turns are not saved.

    Yields:
        A replacement for `notify`. No warning follows if the reason has gone through it already.
    """
    sentences: list[str] = []

    def notify_once(sentence: str) -> None:
        sentences.append(sentence)
        notify(sentence)

    try:
        yield notify_once
    finally:
        if session.save_error is not None and not any(str(session.save_error) in sentence for sentence in sentences):
            notify(f"The last turns are not saved. {session.save_error}")
