"""The text of a reply ends before a stop string, however it arrives, and where it repeats itself."""

import threading
from collections.abc import Generator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.errors import EmptyReply
from assistant.events import Usage
from assistant.messages import Message, user
from assistant.models.base import GenerationOptions
from assistant.models.replies import ending_notice, stream_reply
from assistant.models.reply_text import ReplyText
from assistant.models.scripted import ScriptedModel
from tests.fakes.generation import complete_with_usage


class CountingModel(ScriptedModel):
    """Write the chunks over and over until it is stopped; `written` counts them."""

    def __init__(self, *chunks: str, limit: int = 100_000) -> None:
        super().__init__()
        self.chunks = chunks
        self.limit = limit
        self.written = 0

    def stream(
        self,
        messages: Sequence[Message],
        options: GenerationOptions,
        stop: threading.Event,
    ) -> Generator[str, None, Usage]:
        while not stop.is_set() and self.written < self.limit:
            yield self.chunks[self.written % len(self.chunks)]
            self.written += 1
        return Usage(7, 0, self.written, finish_reason="length")


def read(model: ScriptedModel, *stop_strings: str, prompt: str = "Hi") -> tuple[str, Usage]:
    options = GenerationOptions(stop=stop_strings)
    return complete_with_usage(stream_reply(model, [user(prompt)], options, threading.Event()))


@given(
    st.text("abn#\n é😀", max_size=40),
    st.lists(st.text("abn#\n é😀", min_size=1, max_size=4), max_size=4),
    st.lists(st.integers(1, 5), min_size=1, max_size=40),
)
def test_a_stop_string_is_found_however_the_text_is_cut(text: str, strings: list[str], sizes: list[int]) -> None:
    reply = ReplyText(strings)
    shown, rest = "", text
    for size in [*sizes, 100]:
        shown += reply.push(rest[:size])
        rest = rest[size:]
    shown += reply.flush()
    positions = [text.find(string) for string in strings if string in text]
    expected = text[: min(positions, default=len(text))]
    # White space alone is no reply.
    assert shown == (expected if expected.strip() else "")
    assert (reply.ending == "stop string") == bool(positions)


def test_a_stop_string_ends_the_model_and_is_not_shown() -> None:
    model = CountingModel("one", " two", " ST", "OP", " three")
    text, usage = read(model, "STOP", "never")
    assert text == "one two "
    assert model.written < 6
    assert (usage.prompt_tokens, usage.finish_reason) == (7, "stop")
    assert ending_notice(usage, GenerationOptions()) is None


def test_the_beginning_of_a_stop_string_is_shown_once_the_reply_ends_with_it() -> None:
    assert read(CountingModel("one", " ST", limit=2), "STOP")[0] == "one ST"


def test_a_reply_that_begins_with_a_stop_string_is_an_error() -> None:
    with pytest.raises(EmptyReply, match="begins with a stop string: choose another stop string"):
        read(CountingModel(" ", "###", "Hello"), "###")


def test_a_reply_in_a_loop_is_ended_with_a_notice() -> None:
    model = CountingModel("A gentle rain", ",\n")
    text, usage = read(model)
    assert text.startswith("A gentle rain,\nA gentle rain")
    assert 3 <= text.count("rain") <= 20
    assert model.written < 50
    assert (usage.prompt_tokens, usage.finish_reason) == (7, "loop")
    assert (ending_notice(usage, GenerationOptions()) or "").startswith("The reply repeated itself and was ended:")


def test_a_reply_of_white_space_without_end_is_an_error() -> None:
    model = CountingModel("\n", " ")
    with pytest.raises(EmptyReply, match="nothing but white space"):
        read(model)
    assert model.written < 1000


def test_a_word_that_was_asked_for_fifty_times_comes_fifty_times() -> None:
    text, usage = read(CountingModel("banana", " ", limit=100), prompt="Repeat the word Banana 50 times.")
    assert (text.count("banana"), usage.finish_reason) == (50, "length")
    assert read(CountingModel("banana", " ", limit=100))[1].finish_reason == "loop"


def test_stopping_the_reply_stops_the_model() -> None:
    stop = threading.Event()
    model = CountingModel("a", "b", "c ", "d.")
    stream = stream_reply(model, [user("Hi")], GenerationOptions(), stop)
    next(stream)
    stop.set()
    assert complete_with_usage(stream)[1].finish_reason == "length"
    assert model.written < 5
