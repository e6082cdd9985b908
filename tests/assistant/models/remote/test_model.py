"""A model on a server: which one is used, what is sent, and what comes back."""

import asyncio
import io
import random
import threading
from collections.abc import Callable

import PIL.Image
import pytest

from assistant.conversation.session import Session
from assistant.errors import ContextOverflow, ModelError
from assistant.events import Event, Usage
from assistant.messages import Audio, Image, Message, assistant, system, user
from assistant.models.base import GenerationOptions
from assistant.models.remote.model import RemoteModel
from tests.fakes import chat_server
from tests.fakes.chat_server import ChatServer, connect, error_response, raw_response
from tests.fakes.conversation import ask, notices, run_turn
from tests.fakes.generation import complete, complete_with_usage

HELLO = user("Hello there.")


def usage_of(model: RemoteModel) -> Usage:
    return complete_with_usage(model.stream([HELLO], GenerationOptions(), threading.Event()))[1]


def test_the_only_model_of_a_server_is_used(server: ChatServer) -> None:
    model = connect(server)
    assert (model.info.name, model.info.context_tokens) == ("tiny-vlm", 4096)
    assert model.info.device == f"127.0.0.1:{server.server_port}"
    assert complete(model, HELLO) == "One two three four five."


def test_one_of_several_models_has_to_be_named(server: ChatServer) -> None:
    server.models = ["large", "small"]
    with pytest.raises(ModelError, match=r"several models: choose with --model one of large, small\."):
        connect(server)
    assert complete(connect(server, model="small"), HELLO)
    assert server.requests[-1]["model"] == "small"


def test_embedding_models_are_not_chosen(server: ChatServer) -> None:
    server.models = ["text-embedding-nomic", "qwen"]
    assert connect(server).info.name == "qwen"


@pytest.mark.parametrize(
    ("name", "supports_grounding"),
    [("Qwen/Qwen3-VL-8B-Instruct", True), ("qwen3vl:4b", True), ("qwen2.5-vl", False)],
)
def test_grounding_models_are_recognized_by_name(server: ChatServer, name: str, supports_grounding: bool) -> None:
    server.models = [name]
    assert connect(server).info.supports_grounding == supports_grounding


def test_a_server_without_models_is_an_error(server: ChatServer) -> None:
    server.models = []
    with pytest.raises(ModelError, match="has no model loaded"):
        connect(server)


def test_a_model_that_is_not_listed_is_refused_by_the_server(server: ChatServer) -> None:
    model = connect(server, model="absent")
    with pytest.raises(ModelError, match=r"has no model absent .*does not exist.*--model"):
        complete(model, HELLO)


@pytest.mark.parametrize(("status", "message"), [(404, "404 Not Found.*--model"), (500, "500 Internal")])
def test_a_server_without_a_list_needs_a_model_name(server: ChatServer, status: int, message: str) -> None:
    server.models_behavior = raw_response(b"", "text/plain", status)
    assert complete(connect(server, model="tiny-vlm"), HELLO)
    with pytest.raises(ModelError, match=message):
        connect(server)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"data": [{}]}', b'{"data": {"id": "x"}}', b"", b"\xff" * 50])
def test_an_invalid_list_of_models_is_an_error(server: ChatServer, body: bytes) -> None:
    server.models_behavior = raw_response(body, "text/html")
    with pytest.raises(ModelError, match="has no list of models"):
        connect(server)


def test_the_request_has_the_messages_and_options(server: ChatServer) -> None:
    complete(connect(server), system("Be brief."), HELLO, max_tokens=7, temperature=0.5, seed=3)
    sent = server.requests[-1]
    assert sent["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello there."},
    ]
    assert (sent["max_tokens"], sent["temperature"], sent["seed"], sent["stream"]) == (7, 0.5, 3, True)
    complete(connect(server), HELLO)
    assert "seed" not in server.requests[-1]


def test_images_are_sent_before_the_text(server: ChatServer, make_image: Callable[[int], Image]) -> None:
    complete(connect(server), user("Look!", make_image(1)), assistant("I see."), user("And now?"))
    content = server.requests[-1]["messages"][0]["content"]
    assert [part["type"] for part in content] == ["image_url", "text"]
    with PIL.Image.open(io.BytesIO(server.images()[0])) as sent:
        assert sent.size == (40, 30)
        assert sent.convert("RGB").tobytes() == random.Random(1).randbytes(40 * 30 * 3)


def test_audio_is_refused_before_anything_is_sent(server: ChatServer) -> None:
    with pytest.raises(ModelError, match="type the message instead"):
        complete(connect(server), Message("user", (Audio(b"\0" * 4, 16_000),)))
    assert not server.requests


def test_usage_is_counted_by_the_server(server: ChatServer) -> None:
    usage = usage_of(connect(server))
    assert (usage.prompt_tokens, usage.reply_tokens) == (2, 5)
    assert 0 < usage.first_token_seconds <= usage.total_seconds


def test_usage_is_counted_in_chunks_if_the_server_reports_none(server: ChatServer) -> None:
    server.reports_usage = False
    assert usage_of(connect(server)).reply_tokens == 5


def test_usage_includes_the_tokens_in_the_servers_cache(server: ChatServer) -> None:
    chunk = (
        b'data: {"choices": [{"delta": {"content": "Hi"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 9,'
        b' "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 8}}}\n\n'
    )
    server.behaviors.append(raw_response(chunk))
    assert usage_of(connect(server)).cached_tokens == 8


def test_a_reply_is_cut_to_the_requested_length(server: ChatServer) -> None:
    server.behaviors.append(chat_server.endless)
    assert complete(connect(server), HELLO, max_tokens=20).count("and") == 20
    assert server.client_left.wait(20)


def test_a_reply_without_an_end_marker_is_complete(server: ChatServer) -> None:
    server.behaviors.append(chat_server.without_an_end_marker)
    assert complete(connect(server), HELLO) == "One two"


def test_the_oldest_turns_are_left_out_of_a_full_context(server: ChatServer) -> None:
    server.context_tokens = 512

    async def talk() -> list[Event]:
        session = Session(connect(server), options=GenerationOptions(max_tokens=16))
        turns = [await run_turn(session, user(f"{number} " + "dog " * 80)) for number in range(8)]
        await session.close()
        return [event for turn in turns for event in turn]

    assert "no longer fits the model" in notices(asyncio.run(talk()))[0]
    sent = [message["content"] for message in server.requests[-1]["messages"]]
    assert sent[-1].startswith("7 ")
    assert not any(content.startswith("0 ") for content in sent)


def test_a_context_overflow_of_unknown_length_is_reported(server: ChatServer) -> None:
    server.behaviors.append(error_response(400, "Requested tokens exceed context window"))
    with pytest.raises(ContextOverflow, match="longer than the model has room for"):
        complete(connect(server), HELLO)


@pytest.mark.parametrize(
    "behavior",
    [
        raw_response(b"too large", "text/plain", 413),
        raw_response(
            b'data: {"error": {"message": "the request exceeds the available context size", "n_ctx": 256}}\n\n'
        ),
    ],
    ids=["the request itself is too large", "found out after the reply began"],
)
def test_other_forms_of_context_overflow_are_recognized(server: ChatServer, behavior: chat_server.Behavior) -> None:
    server.behaviors.append(behavior)
    with pytest.raises(ContextOverflow):
        complete(connect(server), HELLO)


def test_the_part_of_a_reply_before_a_failure_stays_in_the_conversation(server: ChatServer) -> None:
    async def talk() -> None:
        session = Session(connect(server))
        server.behaviors.append(chat_server.cut_off)
        with pytest.raises(ModelError, match="broke off"):
            await ask(session, "Count.")
        assert session.messages[-1] == assistant("One two three", interrupted=True)
        await ask(session, "Go on.")
        assert [message["content"] for message in server.requests[-1]["messages"]] == [
            "Count.",
            "One two three",
            "Go on.",
        ]
        await session.close()

    asyncio.run(talk())
