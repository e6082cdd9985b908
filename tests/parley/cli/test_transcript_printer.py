"""Conversations as text."""

import asyncio

import pytest

from assistant.conversation.session import Session
from assistant.errors import ModelError
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
from assistant.messages import assistant, user
from assistant.models.scripted import ScriptedModel
from parley.cli.transcript_printer import TranscriptPrinter, warn_if_unsaved
from tests.fakes.conversation import FailingModel, RecordingStore


def printed(*events: Event, show_speakers: bool = False) -> str:
    """Return the transcript with notices in brackets."""
    chunks: list[str] = []
    printer = TranscriptPrinter(chunks.append, lambda text: chunks.append(f"[{text}]"), show_speakers=show_speakers)
    for event in events:
        printer(event)
    return "".join(chunks)


FINISHED = TurnFinished(assistant("A cat."), Usage(reply_tokens=3))


def test_notice_waits_for_the_end_of_a_typed_reply() -> None:
    assert printed(Notice("first"), TextDelta("A "), Notice("second"), TextDelta("cat."), FINISHED) == (
        "[first]A cat.\n[second]"
    )


def test_empty_reply_takes_a_line() -> None:
    assert printed(FINISHED) == "\n"


def test_spoken_conversation_has_one_line_for_each_message() -> None:
    events: list[Event] = [
        UserTranscript("What is it?"),
        TextDelta("\nA"),
        TextDelta("\ncat."),
        FINISHED,
        SpeechFinished("A cat.", interrupted=False),
        UserTranscript("Thanks."),
    ]
    assert printed(*events, show_speakers=True) == "You: What is it?\nParley: A cat.\nYou: Thanks.\n"


def test_notice_ends_the_line_of_a_spoken_reply() -> None:
    events: list[Event] = [
        TextDelta("A"),
        Notice("The speaker has gone."),
        TextDelta("cat."),
        SpeechFinished("A", interrupted=True),
    ]
    assert printed(*events, show_speakers=True) == "Parley: A\n[The speaker has gone.]Parley: cat.\n"


def test_reply_and_usage_are_available_after_a_turn() -> None:
    printer = TranscriptPrinter(lambda _: None, lambda _: None)
    asyncio.run(printer.run(Session(ScriptedModel("A grey cat.")), user("What is it?")))
    assert printer.reply_text == "A grey cat."
    assert printer.usage.reply_tokens == 3
    assert printer.finished


def test_failed_turn_ends_its_line_and_is_not_finished() -> None:
    chunks: list[str] = []
    printer = TranscriptPrinter(chunks.append, chunks.append)
    with pytest.raises(ModelError):
        asyncio.run(printer.run(Session(FailingModel("A cat")), user("What is it?")))
    assert "".join(chunks) == "A cat\n"
    assert not printer.finished


@pytest.mark.parametrize("reported", [False, True])
def test_unsaved_turns_are_reported_once(reported: bool) -> None:
    notices: list[str] = []
    session = Session(ScriptedModel("A cat."), store=RecordingStore(full=True))
    with warn_if_unsaved(session, notices.append) as notify:
        printer = TranscriptPrinter(lambda _: None, notify if reported else lambda _: None)
        asyncio.run(printer.run(session, user("What is it?")))
    [notice] = notices
    assert notice.startswith("The last turns are not saved.") != reported


def test_reasoning_is_printed_apart_from_the_reply() -> None:
    replies: list[str] = []
    thoughts: list[str] = []
    printer = TranscriptPrinter(replies.append, replies.append, write_reasoning=thoughts.append)
    for event in (ReasoningDelta("\nIt is "), ReasoningDelta("red."), TextDelta("Red."), FINISHED):
        printer(event)
    assert "".join(replies) == "Red.\n"
    assert "".join(thoughts) == "It is red.\n"
    assert (printer.reasoning, printer.reply_text) == ("It is red.", "Red.")


def test_text_that_was_reasoning_is_no_part_of_the_reply() -> None:
    chunks: list[str] = []
    printer = TranscriptPrinter(chunks.append, lambda text: chunks.append(f"[{text}]"))
    for event in (TextDelta("It is red."), TextWasReasoning(), TextDelta("Red."), FINISHED):
        printer(event)
    assert "".join(chunks) == "It is red.\n[The text above was the model's reasoning; its reply begins here.]Red.\n"
    assert (printer.reasoning, printer.reply_text) == ("It is red.", "Red.")


def test_a_program_that_reads_the_reply_gets_no_reasoning() -> None:
    chunks: list[str] = []
    printer = TranscriptPrinter(chunks.append, lambda text: chunks.append(f"[{text}]"), hold_reply=True)
    for event in (TextDelta("It is red."), TextWasReasoning(), TextDelta("Re"), TextDelta("d."), FINISHED):
        printer(event)
    assert chunks == ["Red.", "\n"]


def test_a_held_reply_that_is_stopped_is_printed_as_far_as_it_came() -> None:
    chunks: list[str] = []
    printer = TranscriptPrinter(chunks.append, chunks.append, hold_reply=True)
    printer(TextDelta("A cat"))
    printer.end_line()
    assert "".join(chunks) == "A cat\n"
