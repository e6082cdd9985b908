"""A server that refuses a parameter is asked again without it, and never again with it."""

import json
import threading
from copy import copy
from typing import Any

import pytest

from assistant.errors import ModelError
from assistant.messages import user
from assistant.models.base import GenerationOptions
from assistant.models.remote.dialect import Dialect
from assistant.models.remote.model import RemoteModel
from assistant.models.replies import stream_text
from tests.fakes.chat_server import Behavior, ChatServer, Handler, connect, delta, event_stream
from tests.fakes.generation import complete

HELLO = user("Hello there.")
REQUEST = {"max_tokens": 512, "temperature": 0.0, "seed": 3, "stream": True, "stream_options": {"include_usage": True}}


def error(message: str, **fields: object) -> str:
    return json.dumps({"error": {"message": message, "type": "invalid_request_error", **fields}})


def extra(name: str) -> dict[str, object]:
    """Return an error of pydantic, in the shape that vLLM and Mistral send."""
    return {"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted", "input": 3}


RENAME = error(
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
    param="max_tokens",
    code="unsupported_parameter",
)
NO_ZERO = "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) is supported."


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        (RENAME, "max_tokens"),
        (error("Unrecognized request argument supplied: stream_options"), "stream_options"),
        (error("Unknown parameter: 'stream_options'.", param="stream_options"), "stream_options"),
        (json.dumps({"detail": "Extra parameters ['stream_options'] are not allowed when not set"}), "stream_options"),
        (error("Validation error at #/stream_options: Extra inputs are not permitted"), "stream_options"),
        (json.dumps({"object": "error", "message": str([extra("seed")]), "code": 400}), "seed"),
        (json.dumps({"detail": [extra("seed")]}), "seed"),
        (json.dumps({"object": "error", "message": {"detail": [extra("stream_options")]}}), "stream_options"),
        (json.dumps({"object": "error", "message": json.dumps({"detail": [extra("seed")]})}), "seed"),
        (error(NO_ZERO, param="temperature", code="unsupported_value"), "temperature"),
        (error("Unsupported param: seed"), "seed"),
        ("unknown field `stream_options`, expected one of `model`, `messages`", "stream_options"),
    ],
)
def test_a_refused_parameter_is_left_out_or_renamed(body: str, refused: str) -> None:
    adapted = Dialect().adapted(body.encode(), REQUEST)
    assert adapted is not None
    sent = adapted.apply(REQUEST)
    assert refused not in sent
    assert set(REQUEST) - {refused} <= set(sent)
    assert ("max_completion_tokens" in sent) == (refused == "max_tokens")


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        error("The model is overloaded."),
        error("image input is not supported"),
        error("Invalid value for 'content': expected a string, got null."),
        error("System messages are not supported by this model."),
    ],
)
def test_other_errors_change_nothing(body: str) -> None:
    assert Dialect().adapted(body.encode(), REQUEST) is None


def test_a_value_that_the_user_chose_is_not_dropped_for_its_size() -> None:
    body = error("Input should be less than or equal to 1", param="temperature").encode()
    assert Dialect().adapted(body, {**REQUEST, "temperature": 1.5}) is None


def test_a_limit_that_is_too_large_is_lowered() -> None:
    body = error("max_tokens is too large: 512. This model supports at most 256 completion tokens.").encode()
    adapted = Dialect().adapted(body, REQUEST)
    assert adapted is not None
    assert adapted.apply(REQUEST)["max_tokens"] == 256


def test_a_refusal_that_names_nothing_leaves_out_all_that_is_optional() -> None:
    adapted = Dialect().adapted(b'{"detail": "Unexpected extra fields in the request: not allowed"}', REQUEST)
    assert adapted is not None
    assert adapted.apply(REQUEST) == {"max_tokens": 512, "stream": True}


def strict(*refused: str, wants: str = "max_tokens") -> Behavior:
    """Refuse a request with one of the parameters `refused`, and one whose limit is not called as it should."""

    def answer(handler: Handler) -> None:
        sent = handler.server.requests[-1]
        for name in refused:
            if name in sent:
                handler.answer_error(400, f"Unrecognized request argument supplied: {name}")
                return
        if wants not in sent:
            handler.answer(400, RENAME.encode(), "application/json")
        else:
            event_stream(delta("stop", content="Hi."))(handler)

    return answer


def test_a_server_is_learned_once_and_copies_of_the_model_know(server: ChatServer) -> None:
    behavior = strict("stream_options", "seed", "temperature", wants="max_completion_tokens")
    server.behaviors.extend([behavior] * 20)
    notices: list[str] = []
    model = connect(server, on_notice=notices.append)
    assert complete(model, HELLO, seed=3, max_tokens=9, temperature=0) == "Hi."
    assert len(server.requests) == 5
    assert complete(copy(model), HELLO, seed=3, max_tokens=9, temperature=0) == "Hi."
    assert len(server.requests) == 6
    assert server.requests[-1].keys() == {"model", "messages", "max_completion_tokens", "stream"}
    assert server.requests[-1]["max_completion_tokens"] == 9
    assert notices == ["The server does not accept the seed: it is left out of the requests."]


def test_a_server_that_refuses_everything_is_soon_given_up(server: ChatServer) -> None:
    server.behaviors.extend([lambda handler: handler.answer(400, RENAME.encode(), "application/json")] * 50)
    with pytest.raises(ModelError, match="Unsupported parameter"):
        complete(connect(server), HELLO, seed=3)
    assert len(server.requests) < 10


def test_a_server_that_keeps_lowering_the_limit_is_given_up(server: ChatServer) -> None:
    def lower(handler: Handler) -> None:
        limit = handler.server.requests[-1]["max_tokens"]
        handler.answer_error(400, f"max_tokens is too large: this model supports at most {limit - 1} tokens.")

    server.behaviors.extend([lower] * 100)
    with pytest.raises(ModelError, match="max_tokens is too large"):
        complete(connect(server), HELLO, max_tokens=512)
    assert len(server.requests) < 12


def test_what_a_server_did_not_accept_in_the_end_is_not_remembered(server: ChatServer) -> None:
    server.behaviors.append(strict("seed"))
    server.behaviors.append(lambda handler: handler.answer_error(400, "the prompt is in a language that it lacks"))
    model = connect(server)
    with pytest.raises(ModelError, match="language that it lacks"):
        complete(model, HELLO, seed=3)
    assert complete(model, HELLO, seed=3)
    assert server.requests[-1]["seed"] == 3


SAMPLING: dict[str, Any] = {
    "temperature": 0.7,
    "top_p": 0.9,
    "top_k": 40,
    "min_p": 0.05,
    "repetition_penalty": 1.1,
    "presence_penalty": 0.5,
    "stop": ("###",),
}


def sample(model: RemoteModel) -> str:
    """Return the reply with all options set."""
    return "".join(stream_text(model, [HELLO], GenerationOptions(**SAMPLING), threading.Event()))


def test_every_option_is_sent(server: ChatServer) -> None:
    sample(connect(server))
    sent = server.requests[-1]
    assert {name: sent[name] for name in SAMPLING} == {**SAMPLING, "stop": ["###"]}
    # The name of the same thing in llama.cpp and LM Studio.
    assert sent["repeat_penalty"] == 1.1
    complete(connect(server), HELLO)
    assert not server.requests[-1].keys() & SAMPLING.keys()


def test_extensions_that_a_server_refuses_are_left_out_with_a_notice_each(server: ChatServer) -> None:
    refused = ("repeat_penalty", "min_p", "top_k", "repetition_penalty", "stop")
    server.behaviors.extend([strict(*refused)] * 6)
    notices: list[str] = []
    model = connect(server, on_notice=notices.append)
    assert sample(model) == "Hi."
    assert server.requests[-1].keys() & SAMPLING.keys() == {"temperature", "top_p", "presence_penalty"}
    assert notices == [
        f"The server does not accept {name}: it is left out of the requests."
        for name in ("min_p", "the repetition penalty", "top_k")
    ]
    server.behaviors.append(strict(*refused))
    assert sample(model) == "Hi."
    assert len(notices) == 3


def test_one_name_of_the_repetition_penalty_is_enough(server: ChatServer) -> None:
    server.behaviors.extend([strict("repeat_penalty")] * 2)
    notices: list[str] = []
    assert sample(connect(server, on_notice=notices.append)) == "Hi."
    assert server.requests[-1]["repetition_penalty"] == 1.1
    assert notices == []


def test_stop_strings_work_where_the_server_refuses_them(server: ChatServer) -> None:
    server.behaviors.append(strict("stop"))
    server.behaviors.append(event_stream(delta(content="one #"), delta(content="## two"), delta("stop")))
    options = GenerationOptions(stop=("###",))
    assert "".join(stream_text(connect(server), [HELLO], options, threading.Event())) == "one "
