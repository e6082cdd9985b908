"""Optional parts of a server's events never fail a reply, whatever they hold."""

import json
import threading
from typing import Any

import pytest

from assistant.errors import ModelError
from assistant.messages import user
from assistant.models.base import GenerationOptions
from assistant.models.remote.chunks import ServerUsage, parse_chunk
from assistant.models.remote.openai_api import parse_models
from assistant.models.replies import only_text, stream_reply
from tests.fakes.chat_server import ChatServer, connect, delta, event_stream, raw_response
from tests.fakes.generation import complete

HELLO = user("Hello there.")
HUGE = "9" * 5000


@pytest.mark.parametrize(
    "last",
    [
        {"choices": [], "usage": {"prompt_tokens": None}},
        {"choices": None, "usage": None, "id": None, "model": None, "created": None, "object": None},
        {"choices": [None], "usage": {"prompt_tokens": "12", "completion_tokens": 3.0}},
        {"choices": [{"delta": None}], "usage": {"prompt_tokens": -1, "completion_tokens": 1e300}},
        {"choices": [{"index": 0, "delta": {}, "logprobs": None}], "usage": []},
        {"choices": {}, "usage": "none", "timings": {"predicted_ms": "fast"}},
        {"usage": {"prompt_tokens": True, "prompt_tokens_details": None, "completion_tokens_details": 7}},
        {"choices": [{"delta": {"content": None, "tool_calls": None, "refusal": None}, "finish_reason": None}]},
        {"choices": [{"delta": {"tool_calls": [None, {"function": None}], "function_call": []}}]},
        {"error": None, "choices": []},
        {},
        f'{{"choices": [], "usage": {{"prompt_tokens": {HUGE}, "completion_tokens": -{HUGE}}}}}',
        '{"choices": [], "usage": {"prompt_tokens": NaN, "completion_tokens": Infinity}}',
    ],
)
def test_optional_parts_never_fail_a_reply(server: ChatServer, last: object) -> None:
    first = {**delta(content="Hi."), "id": 7, "created": "now", "model": None, "extra": [[]]}
    server.behaviors.append(event_stream(first, last))
    assert complete(connect(server), HELLO) == "Hi."


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (delta(content=[{"type": "text", "text": "Hi"}, {"type": "text", "text": " you"}, None, "."]), "Hi you."),
        (delta(content={"type": "text", "text": "Hi."}), "Hi."),
        (delta(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}]), ""),
        ({"choices": [{"index": 1, "delta": {"content": "B"}}, {"index": 0, "delta": {"content": "A"}}]}, "A"),
        ({"choices": [{"index": None, "delta": {"content": "A"}}, {"index": 1, "delta": {"content": "B"}}]}, "A"),
        ({"choices": [{"index": 1, "delta": {"content": "B"}}]}, ""),
        ({"choices": [{"message": {"role": "assistant", "content": "Whole."}, "finish_reason": "stop"}]}, "Whole."),
    ],
)
def test_text_is_found_in_every_shape(event: dict[str, Any], text: str) -> None:
    assert parse_chunk(json.dumps(event)).text == text


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("stop", "stop"),
        ("eos_token", "stop"),
        ("STOP", "stop"),
        ("length", "length"),
        ("MAX_TOKENS", "length"),
        ("model_length", "length"),
        ("function_call", "tool_calls"),
        ("content_filter", "content_filter"),
        ("SAFETY", "content_filter"),
        ("refusal", "refusal"),
        ("", None),
        ("null", None),
        (None, None),
        (0, None),
    ],
)
def test_finish_reasons_are_read_in_the_words_of_every_server(said: object, reason: str | None) -> None:
    assert parse_chunk(json.dumps({"choices": [{"delta": {}, "finish_reason": said}]})).finish_reason == reason


def test_usage_is_read_as_far_as_it_is_there() -> None:
    chunk = parse_chunk('{"usage": {"prompt_tokens": "9", "completion_tokens_details": {"reasoning_tokens": 3}}}')
    assert chunk.usage == ServerUsage(prompt_tokens=9, reasoning_tokens=3)
    assert parse_chunk('{"choices": [{"usage": {"prompt_tokens": 4}}]}').usage == ServerUsage(prompt_tokens=4)


@pytest.mark.parametrize(
    "text",
    ["[1, 2]", "null", "7", '"text"', "{", "", pytest.param("[" * 100_000, id="deep"), '{"choices": [{"delta": '],
)
def test_what_is_no_event_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_chunk(text)


@pytest.mark.parametrize(
    "event",
    [
        {"error": {"message": "out of\u001b]0;x\u0007 memory\nSecond line."}},
        {"error": "out of memory"},
        {"object": "error", "message": "out of memory", "code": 400},
        {"detail": "out of memory"},
        {"error": {"message": '{"detail": [{"msg": "out of memory"}]}'}},
        'event: error\ndata: {"message": "out of memory"}',
        delta(finish_reason="error"),
    ],
)
def test_an_error_inside_the_stream_is_an_error_with_a_clean_message(server: ChatServer, event: object) -> None:
    data = event if isinstance(event, str) else f"data: {json.dumps(event)}"
    first = f"data: {json.dumps(delta(content='One'))}"
    server.behaviors.append(raw_response(f"{first}\n\n{data}\n\n".encode()))
    with pytest.raises(ModelError, match="stopped with an error") as caught:
        complete(connect(server), HELLO)
    assert str(caught.value).isprintable()
    assert len(server.requests) == 1


def test_a_server_that_does_not_stream_is_understood(server: ChatServer) -> None:
    body = (
        b'{"object": "chat.completion", "choices": [{"message": {"content": "All at once."}, "finish_reason": "stop"}],'
        b' "usage": {"prompt_tokens": 3, "completion_tokens": 4}}'
    )
    server.behaviors.append(raw_response(body, "application/json; charset=utf-8"))
    assert complete(connect(server), HELLO) == "All at once."


def test_halves_of_a_character_are_joined_and_lone_halves_replaced(server: ChatServer) -> None:
    halves = ['{"choices": [{"delta": {"content": "Hi \\ud83d"}}]}', '{"choices": [{"delta": {"content": "\\ude00"}}]}']
    lone = ['{"choices": [{"delta": {"content": " \\udcff and \\ud83d"}}]}']
    server.behaviors.append(event_stream(*halves, *lone, delta("stop")))
    reply = stream_reply(connect(server), [HELLO], GenerationOptions(), threading.Event())
    assert "".join(only_text(reply)) == "Hi 😀 \ufffd and \ufffd"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"data": [{"id": "a", "max_model_len": "4096"}, {"id": "a"}, null, {"id": null}, 7]}', [("a", 0)]),
        (b'{"data": [{"id": "a", "meta": null, "context_length": 512.0}]}', [("a", 512)]),
        (b'{"data": [{"id": "a", "meta": {"n_ctx": 99}, "max_model_len": null, "context_length": -5}]}', [("a", 99)]),
        (b'{"data": null, "object": "list"}', []),
        (b'{"data": []}', []),
    ],
)
def test_odd_lists_of_models_are_read(body: bytes, expected: list[tuple[str, int]]) -> None:
    assert [(model.id, model.context_tokens) for model in parse_models(body)] == expected


def test_a_name_with_controls_is_shown_clean_and_sent_unchanged(server: ChatServer) -> None:
    server.models = ["m\x1b]0;PWNED\x07\u202ename"]
    model = connect(server)
    assert model.info.name == "m]0;PWNEDname"
    assert complete(model, HELLO)
    assert server.requests[0]["model"] == server.models[0]
    assert complete(connect(server, model="m]0;PWNEDname"), HELLO)
