"""Responses, OpenAI's other API: chosen once where chat completions are missing, and read to the same items."""

import json
import threading
from copy import copy
from typing import Any

import pytest

from assistant.errors import EmptyReply, ModelError
from assistant.events import Usage
from assistant.messages import Image, Reasoning, ToolCall, assistant, system, user
from assistant.models.base import GenerationOptions, ReplyItem
from assistant.models.remote.chunks import Chunk, ServerUsage
from assistant.models.remote.model import RemoteModel
from assistant.models.remote.responses_api import ResponseEvents
from assistant.models.replies import stream_reply
from tests.fakes.chat_server import Behavior, ChatServer, Handler, connect, error_response, event_stream, not_found
from tests.fakes.generation import complete
from tests.fakes.skills import make_image

HELLO = user("Hello there.")
CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"


def event(kind: str, **fields: object) -> dict[str, object]:
    return {"type": f"response.{kind}", **fields}


def completed(**fields: object) -> dict[str, object]:
    return event("completed", response={"object": "response", "status": "completed", **fields})


def stream(*events: object) -> Behavior:
    """Answer with `events`, without the end marker of chat completions."""
    return event_stream(*events, end=False)


HI = stream(event("output_text.delta", delta="Hi"), event("output_text.delta", delta="."), completed())


def reply(model: RemoteModel, **options: Any) -> tuple[list[ReplyItem], Usage]:
    items: list[ReplyItem] = []
    replying = stream_reply(model, [HELLO], GenerationOptions(**options), threading.Event())
    while True:
        try:
            items.append(next(replying))
        except StopIteration as end:
            return items, end.value


@pytest.mark.parametrize(
    "refusal",
    [
        not_found,
        error_response(404, "This model is only supported in v1/responses and not in v1/chat/completions."),
        error_response(400, "Chat Completions do not know this model: use the Responses API."),
        error_response(405, "Method Not Allowed"),
    ],
)
def test_responses_are_used_where_chat_completions_are_missing_and_that_is_learned_once(
    server: ChatServer, refusal: Behavior
) -> None:
    server.behaviors.extend([refusal] * 9)
    server.responses = HI
    model = connect(server)
    assert complete(model, HELLO) == "Hi."
    assert complete(copy(model), HELLO) == "Hi."
    assert server.paths == [CHAT, RESPONSES, RESPONSES]


def test_a_server_with_neither_api_is_reported_by_its_first_answer(server: ChatServer) -> None:
    server.behaviors.append(error_response(404, "No such path here."))
    model = connect(server)
    with pytest.raises(ModelError, match=r"answered 404 Not Found \(No such path here\)"):
        complete(model, HELLO)
    assert server.paths == [CHAT, RESPONSES]
    assert complete(model, HELLO) == "One two three four five."


def test_a_model_that_is_missing_is_not_looked_for_elsewhere(server: ChatServer) -> None:
    server.responses = HI
    with pytest.raises(ModelError, match="has no model nobody"):
        complete(connect(server, model="nobody"), HELLO)
    assert server.paths == [CHAT]


def test_the_request_has_the_conversation_in_the_words_of_the_other_api(server: ChatServer) -> None:
    server.behaviors.append(not_found)
    server.responses = HI
    image: Image = make_image()
    messages = [system("Be brief."), user("What is it?", image), assistant("A dog."), HELLO]
    options = GenerationOptions(max_tokens=99, temperature=0.5, stop=("###",))
    "".join(item for item in connect(server).stream(messages, options, threading.Event()) if isinstance(item, str))
    sent = server.requests[-1]
    assert sent.keys() == {"model", "input", "max_output_tokens", "temperature", "stream", "store", "reasoning"}
    assert (sent["max_output_tokens"], sent["store"], sent["stream"]) == (99, False, True)
    instructions, first, answer, last = sent["input"]
    assert instructions == {"role": "system", "content": "Be brief."}
    assert [part["type"] for part in first["content"]] == ["input_image", "input_text"]
    assert first["content"][0]["image_url"].startswith("data:image/")
    assert answer["content"][0]["text"] == "A dog."
    assert last == {"role": "user", "content": "Hello there."}


def test_a_reply_without_reasoning_is_asked_for_in_the_words_of_the_other_api(server: ChatServer) -> None:
    server.behaviors.append(not_found)
    server.responses = HI
    reply(connect(server), reasoning="off")
    assert server.requests[-1]["reasoning"] == {"effort": "none"}
    assert "reasoning_effort" not in server.requests[-1]


def test_refused_parameters_are_left_out_here_too(server: ChatServer) -> None:
    def strict(handler: Handler) -> None:
        sent = handler.server.requests[-1]
        for name in ("reasoning", "seed", "store"):
            if name in sent:
                handler.answer_error(400, f"Unsupported parameter: '{name}' is not supported with this model.")
                return
        HI(handler)

    server.behaviors.append(not_found)
    server.responses = strict
    notices: list[str] = []
    model = connect(server, on_notice=notices.append)
    assert complete(model, HELLO, seed=3, max_tokens=50) == "Hi."
    assert server.requests[-1].keys() == {"model", "input", "max_output_tokens", "stream"}
    assert notices == ["The server does not accept the seed: it is left out of the requests."]


def test_a_short_limit_is_kept_although_the_api_has_a_longer_one(server: ChatServer) -> None:
    server.behaviors.append(not_found)
    server.responses = stream(*(event("output_text.delta", delta=f"{number} ") for number in range(16)), completed())
    items, usage = reply(connect(server), max_tokens=3)
    assert server.requests[-1]["max_output_tokens"] == 16
    assert "".join(item for item in items if isinstance(item, str)).split() == ["0", "1", "2"]
    assert usage.finish_reason == "length"


def test_reasoning_calls_and_usage_are_reported(server: ChatServer) -> None:
    call = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "look", "arguments": '{"at": "sky"}'}
    usage = {
        "input_tokens": 20,
        "input_tokens_details": {"cached_tokens": 16},
        "output_tokens": 9,
        "output_tokens_details": {"reasoning_tokens": 5},
    }
    server.behaviors.append(not_found)
    server.responses = stream(
        event("created", response={"object": "response", "status": "in_progress"}),
        event("reasoning_summary_part.added", summary_index=0),
        event("reasoning_summary_text.delta", delta="First."),
        event("reasoning_summary_part.added", summary_index=1),
        event("reasoning_summary_text.delta", delta="Then."),
        event("output_text.delta", delta="I look."),
        event("output_item.added", output_index=1, item={**call, "arguments": ""}),
        event("function_call_arguments.delta", output_index=1, delta='{"at": "sky"}'),
        event("output_item.done", output_index=1, item=call),
        completed(usage=usage, output=[{"type": "message", "content": [{"type": "output_text", "text": "I look."}]}]),
    )
    items, figures = reply(connect(server))
    assert "".join(item.text for item in items if isinstance(item, Reasoning)) == "First.\n\nThen."
    assert [item for item in items if isinstance(item, str)] == ["I look."]
    assert items[-1] == ToolCall("look", '{"at": "sky"}', "call_1")
    assert (figures.prompt_tokens, figures.cached_tokens) == (20, 16)
    assert (figures.reply_tokens, figures.reasoning_tokens, figures.finish_reason) == (9, 5, "tool_calls")


def test_a_refusal_is_quoted(server: ChatServer) -> None:
    server.behaviors.append(not_found)
    server.responses = stream(
        event("refusal.delta", delta="I would "), event("refusal.delta", delta="not."), completed()
    )
    with pytest.raises(EmptyReply, match=r"refused to answer \(“I would not\.”\)"):
        reply(connect(server))


def test_a_reply_cut_at_the_limit_or_by_a_filter_says_so(server: ChatServer) -> None:
    server.behaviors.append(not_found)
    model = connect(server)
    for reason, expected in (("max_output_tokens", "length"), ("content_filter", "content_filter")):
        cut = {"status": "incomplete", "incomplete_details": {"reason": reason}}
        server.responses = stream(event("output_text.delta", delta="Some"), event("incomplete", response=cut))
        assert reply(model)[1].finish_reason == expected


@pytest.mark.parametrize(
    "failure",
    [
        event("failed", response={"status": "failed", "error": {"code": "server_error", "message": "Out of memory"}}),
        {"type": "error", "message": "Out of memory"},
        {"object": "response", "status": "failed", "error": {"message": "Out of memory"}},
    ],
)
def test_a_failure_ends_in_the_words_of_the_server(server: ChatServer, failure: dict[str, object]) -> None:
    server.behaviors.append(not_found)
    server.responses = stream(failure)
    with pytest.raises(ModelError, match="stopped with an error"):
        complete(connect(server, retry_delays=()), HELLO)


def test_a_stream_without_its_end_is_broken_off(server: ChatServer) -> None:
    server.behaviors.append(not_found)
    server.responses = stream(event("output_text.delta", delta="Some"))
    with pytest.raises(ModelError, match="broke off its answer"):
        complete(connect(server, retry_delays=()), HELLO)


def test_a_server_that_does_not_stream_is_read_as_well() -> None:
    whole = {
        "object": "response",
        "status": "completed",
        "error": None,
        "output": [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "So."}]},
            {"type": "message", "content": [{"type": "output_text", "text": "Hi."}]},
            {"type": "function_call", "id": "fc", "name": "look", "arguments": "{}"},
        ],
        "usage": {"input_tokens": 3, "output_tokens": 1},
    }
    assert ResponseEvents().parse(json.dumps(whole)) == Chunk(
        "Hi.",
        "So.",
        tool_calls=({"id": "fc", "function": {"name": "look", "arguments": "{}"}},),
        finish_reason="stop",
        usage=ServerUsage(3, 1),
    )


@pytest.mark.parametrize("odd", ["[]", "null", "7", '"text"'])
def test_what_is_no_event_is_an_error(odd: str) -> None:
    with pytest.raises(ValueError, match="no JSON object"):
        ResponseEvents().parse(odd)


def test_events_with_odd_parts_are_read_as_far_as_they_make_sense() -> None:
    events = ResponseEvents()
    odds: list[object] = [None, 3, [], {}, "x", [None, 3, {"content": 5, "summary": {}}]]
    for odd in odds:
        for kind in ("output_text.delta", "output_item.done", "reasoning_summary_part.added", "completed"):
            fields = {"delta": odd, "item": odd, "summary_index": odd, "response": odd}
            assert not events.parse(json.dumps(event(kind, **fields))).failed
        assert events.parse(json.dumps(completed(output=odd, usage=odd, incomplete_details=odd))).text == ""
