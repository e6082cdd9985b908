"""A reply without text is an error that says why, whichever way a model fails to answer."""

import threading
from collections.abc import Generator, Sequence

import pytest

from assistant.errors import EmptyReply
from assistant.events import FinishReason, Usage
from assistant.messages import Message, user
from assistant.models.base import GenerationOptions
from assistant.models.replies import ending_notice, only_text, stream_reply
from assistant.models.reply_text import is_blank
from assistant.models.scripted import ScriptedModel
from tests.fakes.generation import complete_with_usage

OPTIONS = GenerationOptions(max_tokens=64)


class ChunkModel(ScriptedModel):
    """Reply with the given chunks and usage. With `stopping`, set the stop event after the last chunk."""

    def __init__(self, *chunks: str, usage: Usage | None = None, stopping: bool = False) -> None:
        super().__init__()
        self.chunks = chunks
        self.usage = usage or Usage()
        self.stopping = stopping

    def stream(
        self, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event
    ) -> Generator[str, None, Usage]:
        yield from self.chunks
        if self.stopping:
            stop.set()
        return self.usage


def read(model: ScriptedModel) -> list[str]:
    return list(only_text(stream_reply(model, [user("Hi")], OPTIONS, threading.Event())))


@pytest.mark.parametrize(
    "chunks",
    [
        (),
        ("",),
        (" ", "\n\n", "\t"),
        ("\u200b",),
        ("\ufeff", "\u2060"),
        ("\x1b", "\x07"),
        ("\u202e\u2066",),
        ("\u2028",),
    ],
)
def test_a_reply_without_a_visible_character_is_an_error(chunks: tuple[str, ...]) -> None:
    with pytest.raises(EmptyReply, match=r"scripted gave no text: ask again, or choose another model\."):
        read(ChunkModel(*chunks))


@pytest.mark.parametrize(
    ("reason", "detail", "reasoning", "message"),
    [
        ("length", "", 64, r"scripted only reasoned, and gave no answer within 64 tokens: raise --max-tokens, or "),
        ("length", "", 0, r"scripted gave no text within 64 tokens: raise --max-tokens\."),
        ("stop", "", 5, "scripted only reasoned, and gave no answer: ask again, or raise --max-tokens"),
        ("content_filter", "", 0, "The content filter of the server of scripted withheld the reply: ask otherwise"),
        ("refusal", "I \x1b[31mcan't\nhelp.", 0, r"scripted refused to answer \(“I \[31mcan't help\.”\): ask"),
        ("refusal", "", 0, "scripted refused to answer: ask otherwise"),
        ("tool_calls", "get_weather", 0, r"scripted called a tool \(get_weather\) although none was offered"),
        ("tool_calls", "", 0, "scripted called a tool although none was offered"),
    ],
)
def test_the_error_says_why_there_is_no_text(reason: FinishReason, detail: str, reasoning: int, message: str) -> None:
    usage = Usage(finish_reason=reason, finish_detail=detail, reasoning_tokens=reasoning)
    with pytest.raises(EmptyReply, match=message):
        read(ChunkModel("\n", usage=usage))


def test_white_space_before_the_first_word_comes_with_it() -> None:
    assert read(ChunkModel("\n", " ", "Hello", " ", "you", "\n")) == ["\n Hello", " ", "you", "\n"]


def test_a_stopped_reply_may_be_empty() -> None:
    assert read(ChunkModel("\n", stopping=True)) == []


def test_halves_of_a_character_are_joined_and_lone_halves_replaced() -> None:
    assert "".join(read(ChunkModel("a\ud83d", "\ude00b", "\udc00c", "\ud83d"))) == "a😀b\ufffdc\ufffd"
    assert read(ChunkModel("\ud83d", "\ude00")) == ["😀"]


@pytest.mark.parametrize(
    ("text", "blank"),
    [("", True), (" \u200d\n", True), ("\u2800\u3164\ufe0f", True), (".", False), ("é", False), ("😀", False)],
)
def test_blank_is_what_shows_nothing(text: str, blank: bool) -> None:
    assert is_blank(text) is blank


@pytest.mark.parametrize(
    ("usage", "notice"),
    [
        (Usage(reply_tokens=64, finish_reason="length"), "The reply was cut off at 64 tokens: raise --max-tokens"),
        (Usage(finish_reason="length"), "The reply was cut off at 64 tokens: raise --max-tokens"),
        (Usage(reply_tokens=9, finish_reason="length"), "The reply was cut off where the model or its server has"),
        (Usage(finish_reason="content_filter"), "The content filter of the server cut the reply off."),
        (Usage(finish_reason="refusal", finish_detail="No."), "The model refused to go on: “No.”"),
        (Usage(finish_reason="tool_calls", finish_detail="f"), "The model called a tool (f), although none was"),
    ],
)
def test_an_unusual_end_has_a_notice(usage: Usage, notice: str) -> None:
    assert (ending_notice(usage, OPTIONS) or "").startswith(notice)
    assert ending_notice(Usage(), OPTIONS) is None


def test_the_scripted_model_says_when_it_was_cut() -> None:
    model = ScriptedModel("one two three", "one two three")
    usages = [
        complete_with_usage(model.stream([user("Hi")], GenerationOptions(max_tokens=limit), threading.Event()))[1]
        for limit in (2, 3)
    ]
    assert [usage.finish_reason for usage in usages] == ["length", "stop"]
