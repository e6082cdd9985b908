"""A reply ends when the server says so, and whatever else it sends is bounded."""

import gzip
import json
import threading
import time

import pytest

from assistant.errors import ModelError
from assistant.messages import user
from assistant.models.base import GenerationOptions
from assistant.models.remote import http_client, streamed_reply
from tests.fakes.chat_server import (
    Behavior,
    ChatServer,
    Handler,
    connect,
    delta,
    event_stream,
    raw_response,
    silent,
    then_endless,
    then_open,
)
from tests.fakes.generation import complete, complete_with_usage

HELLO = user("Hello there.")
WHOLE = [delta(content="Hello"), delta(content=".", finish_reason="stop")]
KEEP_ALIVE = b": still here\n\n"


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed_reply, "FINISH_GRACE", 0.2)


@pytest.mark.parametrize(
    "behavior",
    [
        then_open(event_stream(*WHOLE)),
        then_open(event_stream(*WHOLE, end=False)),
        then_open(event_stream(delta(content="Hello."))),
        then_endless(event_stream(*WHOLE), b'data: {"choices": [{"delta": {"content": " More."}}]}\n\n'),
        then_endless(event_stream(*WHOLE, end=False), KEEP_ALIVE),
        then_endless(event_stream(*WHOLE, end=False), b'data: {"choices": []}\n\n'),
        then_endless(event_stream(*WHOLE, end=False), b"data: \n\n"),
        then_endless(event_stream(*WHOLE, end=False), b"x" * 100_000),
        event_stream(*WHOLE, "not JSON"),
        event_stream(*WHOLE, {"error": {"message": "too late"}}, end=False),
        event_stream(*WHOLE, end=False),
    ],
    ids=[
        "open after the end marker",
        "open after the finish reason",
        "the end marker alone",
        "events after the end marker",
        "comments after the finish reason",
        "empty events after the finish reason",
        "blank data after the finish reason",
        "an endless line after the finish reason",
        "garbage after the finish reason",
        "an error after the finish reason",
        "closed without an end marker",
    ],
)
def test_a_whole_reply_ends_whatever_follows(server: ChatServer, behavior: Behavior) -> None:
    server.behaviors.append(behavior)
    assert complete(connect(server), HELLO) == "Hello."
    assert len(server.requests) == 1


def test_the_connection_is_closed_after_the_end_marker(server: ChatServer) -> None:
    server.behaviors.append(then_open(event_stream(*WHOLE)))
    assert complete(connect(server), HELLO) == "Hello."
    assert server.client_left.wait(20)


def test_token_counts_that_come_after_the_finish_reason_are_read(server: ChatServer) -> None:
    usage = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}
    server.behaviors.append(then_open(event_stream(*WHOLE, usage, end=False)))
    stream = connect(server).stream([HELLO], GenerationOptions(), threading.Event())
    assert complete_with_usage(stream)[1].prompt_tokens == 7


def drip(data: bytes) -> Behavior:
    """Send a piece of a reply every few milliseconds, for ever."""

    def answer(handler: Handler) -> None:
        handler.start_events()
        while True:
            handler.wfile.write(data)
            time.sleep(0.01)

    return answer


@pytest.mark.parametrize("data", [KEEP_ALIVE, b'data: {"choices": []}\n\n', b"data:\n\n", b"retry: 5\n\n", b"\n"])
def test_a_server_that_only_keeps_the_connection_open_is_reported(server: ChatServer, data: bytes) -> None:
    server.behaviors.append(drip(data))
    with pytest.raises(ModelError, match=r"has sent nothing for 0\.5 seconds, and keeps the connection open"):
        complete(connect(server, read_timeout=0.5), HELLO)
    assert server.client_left.wait(20)


def test_keep_alives_before_the_first_word_are_waited_for(server: ChatServer) -> None:
    def slow(handler: Handler) -> None:
        handler.start_events()
        for _ in range(20):
            handler.wfile.write(KEEP_ALIVE)
            time.sleep(0.01)
        for chunk in WHOLE:
            handler.send_chunk(chunk)

    server.behaviors.append(slow)
    assert complete(connect(server), HELLO) == "Hello."


def packed(handler: Handler) -> None:
    """Send 100 MB of events, packed into a few kilobytes."""
    event = b"data: " + json.dumps(WHOLE[0]).encode() + b"\n\n"
    body = gzip.compress(event * (100 * 2**20 // len(event)))
    handler.answer(200, body, "text/event-stream", Content_Encoding="gzip")


def endless_header(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Header: ")
    while True:
        handler.wfile.write(b"x" * 10_000)


def endless_headers(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        handler.wfile.write(b"X-Header: x\r\n" * 1000)


def broken_chunks(handler: Handler) -> None:
    handler.wfile.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\ngarbage"
    )


@pytest.mark.parametrize(
    ("behavior", "message"),
    [
        (then_endless(event_stream(delta(content="One"), end=False), b"x" * 100_000), "invalid event stream"),
        (then_endless(event_stream(end=False), b"data: x\n" * 10_000), "invalid event stream"),
        (packed, "packed with gzip"),
        (endless_header, "broke off"),
        (endless_headers, "broke off"),
        (broken_chunks, "broke off"),
        (raw_response(b"<html>" + b"x" * 2**20, "text/html"), "text/html instead of events"),
        (raw_response(b"data: x", "text/event-stream"), "broke off|invalid chunk"),
        (raw_response(b"data: " + b"[" * 100_000 + b"\n\n", "text/event-stream"), "invalid chunk"),
        (raw_response(b'{"error": ' + b"[" * 100_000, "application/json", 400), "400 Bad Request"),
        (raw_response(b"", "\x1b]0;title"), r"answered with"),
    ],
    ids=[
        "a line without end",
        "an event without end",
        "a packed flood",
        "a header without end",
        "headers without end",
        "damaged chunked encoding",
        "a web page",
        "an event without its blank line",
        "deep nesting",
        "deep nesting in an error",
        "a content type with controls",
    ],
)
def test_hostile_responses_are_errors_within_bounds(server: ChatServer, behavior: Behavior, message: str) -> None:
    server.behaviors.append(behavior)
    with pytest.raises(ModelError, match=message) as caught:
        complete(connect(server, retry_delays=()), HELLO)
    assert str(caught.value).isprintable()


def test_a_stream_without_end_is_cut_off(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "_MAX_STREAM_BYTES", 10**6)
    server.behaviors.append(then_endless(event_stream(end=False), KEEP_ALIVE * 1000))
    with pytest.raises(ModelError, match="sends without end"):
        complete(connect(server), HELLO)


def test_a_list_of_models_that_never_ends_is_given_up(server: ChatServer) -> None:
    server.models_behavior = drip(b" ")
    with pytest.raises(ModelError, match="no list of models"):
        connect(server, read_timeout=0.5)


def test_one_chunk_cannot_be_longer_than_the_reply_may_be(server: ChatServer) -> None:
    server.behaviors.append(event_stream(delta(content="x" * 900_000), delta(content="more")))
    text, usage = complete_with_usage(
        connect(server).stream([HELLO], GenerationOptions(max_tokens=10), threading.Event())
    )
    assert len(text) == 2560
    assert usage.finish_reason == "length"


def test_reasoning_without_end_is_cut_off(server: ChatServer) -> None:
    reasoning = f"data: {json.dumps(delta(reasoning_content='Hm. '))}\n\n".encode()
    server.behaviors.append(then_endless(event_stream(end=False), reasoning))
    stream = connect(server).stream([HELLO], GenerationOptions(max_tokens=10), threading.Event())
    text, usage = complete_with_usage(stream)
    assert (text, usage.finish_reason) == ("", "length")
    assert usage.reasoning_tokens > 0


def test_a_stop_while_a_server_is_silent_needs_no_reply(server: ChatServer) -> None:
    server.behaviors.append(silent)
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    assert complete(connect(server), HELLO, stop=stop) == ""
