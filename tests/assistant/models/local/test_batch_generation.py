"""Conversations answered in a batch get the replies that each would get alone."""

import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from assistant.errors import ContextOverflow, EmptyReply
from assistant.events import Usage
from assistant.messages import Image, Message, assistant, system, user
from assistant.models.base import BatchModel, GenerationOptions
from assistant.models.local.model import LocalModel
from assistant.models.replies import stream_text
from tests.fakes.tiny_models import clear_caches

WORDS = ("What is in this picture?", "A dog", "runs over the grass, and a child looks on.", "Who? 日本 😀")


@pytest.fixture(scope="module", params=["llava", "adapted", "qwen"])
def models(request: pytest.FixtureRequest) -> tuple[LocalModel, LocalModel]:
    """Two copies of a model."""
    folder: Path = request.getfixturevalue(f"{request.param}_folder")
    one, other = (LocalModel.load(str(folder), device="cpu", quantize="none") for _ in range(2))
    return one, other


@pytest.fixture
def model(models: tuple[LocalModel, LocalModel]) -> LocalModel:
    clear_caches(models[0])
    return models[0]


@pytest.fixture
def single(models: tuple[LocalModel, LocalModel]) -> LocalModel:
    clear_caches(models[1])
    return models[1]


def alone(model: LocalModel, messages: Sequence[Message], options: GenerationOptions) -> str:
    try:
        return "".join(stream_text(model, messages, options, threading.Event()))
    except EmptyReply:
        return ""


def batch(
    model: BatchModel, conversations: Sequence[Sequence[Message]], options: GenerationOptions | None = None
) -> list[str]:
    options = options or GenerationOptions(max_tokens=24)
    return [reply.text for reply in model.generate_batch(conversations, options, threading.Event())]


def make_conversations(make_image: Callable[[int], Image]) -> list[list[Message]]:
    """Make more conversations than fit into a batch, of all lengths, with none, one and two images."""
    conversations = [
        [user(WORDS[number % len(WORDS)] * (1 + number % 2), *[make_image(number)] * (number % 3))]
        for number in range(14)
    ]
    follow_up = [system("Be brief."), user("Look!", make_image(1)), assistant("A dog."), user("And now?")]
    return [*conversations, follow_up]


@pytest.mark.parametrize(
    "options",
    [
        GenerationOptions(max_tokens=24),
        GenerationOptions(max_tokens=12, temperature=1.5, seed=7),
        GenerationOptions(max_tokens=12, temperature=1.0, seed=3, top_k=40, top_p=0.9, repetition_penalty=1.3),
    ],
)
def test_each_reply_is_the_one_given_alone(
    options: GenerationOptions, model: LocalModel, single: LocalModel, make_image: Callable[[int], Image]
) -> None:
    conversations = make_conversations(make_image)
    expected = [alone(single, messages, options) for messages in conversations]
    assert len(set(expected)) > len(expected) // 2
    assert len({len(text) for text in expected}) > 1, "replies end at different times"
    assert batch(model, conversations, options) == expected
    # Again with a warm cache, in another order, between single replies.
    assert alone(model, conversations[3], options) == expected[3]
    assert batch(model, conversations[::-1], options) == expected[::-1]
    assert alone(model, conversations[0], options) == expected[0]


def test_each_reply_says_why_it_ends(model: LocalModel) -> None:
    conversations = [[user("A dog runs")], [user("Who? 日本 😀")]]
    options = GenerationOptions(max_tokens=3)
    replies = model.generate_batch(conversations, options, threading.Event())
    for messages, reply in zip(conversations, replies, strict=True):
        usage = end_of(stream_text(model, messages, options, threading.Event()))
        assert (reply.usage.finish_reason, reply.usage.reply_tokens) == (usage.finish_reason, usage.reply_tokens)
    assert "length" in {reply.usage.finish_reason for reply in replies}


def test_a_reply_ends_at_a_stop_string_as_it_does_alone(
    model: LocalModel, single: LocalModel, make_image: Callable[[int], Image]
) -> None:
    whole = GenerationOptions(max_tokens=24)
    conversations = make_conversations(make_image)[:5]
    texts = [alone(single, messages, whole) for messages in conversations]
    longest = max(texts, key=len)
    middle = longest[len(longest) // 2 : len(longest) // 2 + 2]
    options = replace(whole, stop=(middle,))
    replies = model.generate_batch(conversations, options, threading.Event())
    assert [reply.text for reply in replies] == [alone(single, messages, options) for messages in conversations]
    assert [reply.text for reply in replies] != texts
    for messages, reply, text in zip(conversations, replies, texts, strict=True):
        assert middle not in reply.text
        if reply.text:
            usage = end_of(stream_text(single, messages, options, threading.Event()))
            assert (reply.usage.finish_reason, reply.usage.reply_tokens) == (usage.finish_reason, usage.reply_tokens)
        if middle in text[: len(text) // 2]:
            assert reply.usage.reply_tokens < 24


def end_of(stream: Generator[str, None, Usage]) -> Usage:
    """Read a reply to its end and return its usage."""
    while True:
        try:
            next(stream)
        except StopIteration as end:
            usage: Usage = end.value
            return usage


def test_replies_may_outgrow_the_capacity_reserved_first(model: LocalModel, single: LocalModel) -> None:
    conversations = [[user("dog " * count)] for count in (5, 120, 30)]
    options = GenerationOptions(max_tokens=10_000)
    assert batch(model, conversations, options) == [alone(single, messages, options) for messages in conversations]


def test_one_prompt_that_does_not_fit_refuses_the_batch(model: LocalModel) -> None:
    with pytest.raises(ContextOverflow):
        batch(model, [[user("Look!")], [user("dog " * 600)]])
    assert batch(model, [[user("Look!")]])[0]


def test_an_empty_batch_has_no_replies(model: LocalModel) -> None:
    assert batch(model, []) == []


def test_stop_ends_all_replies(model: LocalModel) -> None:
    stop = threading.Event()
    stop.set()
    replies = model.generate_batch([[user("Look!")]] * 3, GenerationOptions(), stop)
    assert [reply.text for reply in replies] == ["", "", ""]


def test_a_decoder_without_batches_has_batch_size_1(llava_folder: Path, qwen_folder: Path) -> None:
    assert LocalModel.load(str(llava_folder), device="cpu", quantize="int8").batch_size > 1
    assert LocalModel.load(str(qwen_folder), device="cpu", quantize="none").batch_size == 1
