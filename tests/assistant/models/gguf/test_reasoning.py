"""Reasoning that llama.cpp tells from the reply, by the model's template."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from assistant.errors import EmptyReply
from assistant.messages import Reasoning, ToolCall, user
from assistant.models.base import GenerationOptions, ReplyItem
from assistant.models.gguf.model import GgufModel
from assistant.models.gguf.reply import Reply
from assistant.models.gguf.requests import continuation
from assistant.models.replies import stream_reply
from tests.fakes.generation import complete
from tests.fakes.tiny_gguf import TEMPLATE

LoadModel = Callable[..., GgufModel]

THINKING = TEMPLATE + (
    "{% if add_generation_prompt %}{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n"
    "{% else %}<think>\n{% endif %}{% endif %}"
)


def read(model: GgufModel, **options: Any) -> list[ReplyItem]:
    chosen = GenerationOptions(max_tokens=12, temperature=0, **options)
    return [*stream_reply(model, [user("What is it?")], chosen, threading.Event())]


def test_a_reply_begins_in_the_reasoning_that_the_template_opens(load_model: LoadModel) -> None:
    model = load_model(template=THINKING)
    with pytest.raises(EmptyReply, match="only reasoned, and gave no answer within 12 tokens"):
        read(model)
    assert complete(model, user("Hi")).startswith("<think>")


def test_reasoning_can_be_turned_off(load_model: LoadModel) -> None:
    model = load_model(template=THINKING)
    items = read(model, reasoning="off")
    assert items
    assert all(isinstance(item, str) for item in items)
    assert not complete(model, user("Hi"), reasoning="off").startswith("<think>")


def chunk(**delta: Any) -> dict[str, Any]:
    return {"choices": [{"delta": delta}]}


def test_reasoning_text_and_calls_are_told_apart() -> None:
    reply = Reply(100)
    assert reply.add(chunk(reasoning_content="It is red.")) == [Reasoning("It is red.")]
    assert reply.add(chunk(content="Red.")) == ["Red."]
    piece = {"index": 0, "id": "a", "function": {"name": "weather", "arguments": '{"city": '}}
    assert reply.add(chunk(tool_calls=[piece])) == []
    end: dict[str, Any] = {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": '"Oslo"}'}}]}}]}
    end["choices"][0]["finish_reason"] = "tool_calls"
    assert reply.add(end) == [ToolCall("weather", '{"city": "Oslo"}', "a")]
    assert reply.usage().finish_reason == "tool_calls"


def test_reasoning_that_was_interrupted_begins_anew_and_is_not_shown_twice() -> None:
    reply = Reply(100)
    reply.add(chunk(reasoning_content="It is"))
    request = continuation({"messages": [], "max_tokens": 10}, reply)
    assert request["messages"] == []
    assert reply.add(chunk(reasoning_content="It ")) == []
    assert reply.add(chunk(reasoning_content="is red.")) == [Reasoning(" red.")]
    reply.add(chunk(content="Red and"))
    request = continuation({"messages": [], "max_tokens": 10}, reply)
    assert request["chat_template_kwargs"] == {"enable_thinking": False}
