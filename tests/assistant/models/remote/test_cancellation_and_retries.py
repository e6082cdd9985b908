"""Requests to a server that are stopped, and requests that are tried again."""

import threading
import time
from collections.abc import Callable

import pytest

from assistant.errors import ModelError
from assistant.messages import user
from assistant.models.base import GenerationOptions
from assistant.models.remote.model import RemoteModel
from assistant.models.replies import only_text
from tests.fakes import chat_server
from tests.fakes.chat_server import Behavior, ChatServer, connect, error_response
from tests.fakes.generation import complete
from tests.fakes.http_server import running

HELLO = user("Hello there.")
DEADLINE = 30
"""Seconds until a test gives up; every wait here ends much earlier."""


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("behavior", "expected"),
    [
        (chat_server.silent, []),
        (chat_server.silent_after_headers, []),
        (chat_server.silent_after_a_word, ["One"]),
    ],
)
def test_stop_closes_the_connection_while_the_server_is_silent(
    server: ChatServer, behavior: Behavior, expected: list[str]
) -> None:
    server.behaviors.append(behavior)
    model = connect(server)
    stop = threading.Event()
    received: list[str] = []

    def read() -> None:
        received.extend(only_text(model.stream([HELLO], GenerationOptions(), stop)))

    reading = threading.Thread(target=read)
    reading.start()
    assert server.silent.wait(DEADLINE)
    wait_until(lambda: received == expected)
    stop.set()
    reading.join(DEADLINE)
    assert not reading.is_alive()
    assert server.client_left.wait(DEADLINE)
    assert received == expected


def test_closing_a_stream_closes_the_connection(server: ChatServer) -> None:
    server.behaviors.append(chat_server.silent_after_a_word)
    stream = connect(server).stream([HELLO], GenerationOptions(), threading.Event())
    assert next(stream) == "One"
    stream.close()
    assert server.client_left.wait(DEADLINE)


def test_stop_ends_the_wait_before_another_attempt(server: ChatServer) -> None:
    server.behaviors.append(error_response(503, Retry_After="50"))
    model = connect(server)
    stop = threading.Event()

    def stop_after_the_first_attempt() -> None:
        wait_until(lambda: server.requests)
        stop.set()

    stopping = threading.Thread(target=stop_after_the_first_attempt)
    stopping.start()
    started = time.monotonic()
    assert complete(model, HELLO, stop=stop) == ""
    assert time.monotonic() - started < DEADLINE
    stopping.join()
    assert len(server.requests) == 1


def test_the_progress_callback_can_end_the_wait_for_a_server() -> None:
    class Left(Exception):
        pass

    def leave(label: str, done_bytes: int, total_bytes: int) -> None:
        assert "asking the server" in label
        raise Left

    listener = ChatServer()  # accepts connections and answers none
    with pytest.raises(Left):
        RemoteModel.connect(listener.url, progress=leave)
    listener.server_close()


@pytest.mark.parametrize(
    "behavior",
    [
        error_response(429),
        error_response(500, "CUDA error"),
        error_response(503),
        chat_server.hanging_up,
        chat_server.cut_off_before_a_word,
    ],
)
def test_temporary_errors_are_retried(server: ChatServer, behavior: Behavior) -> None:
    server.behaviors.extend([behavior, behavior])
    assert complete(connect(server), HELLO) == "One two three four five."
    assert len(server.requests) == 3


def test_the_next_attempt_waits_as_long_as_the_server_asks(server: ChatServer) -> None:
    server.behaviors.append(error_response(429, Retry_After="1"))
    started = time.monotonic()
    assert complete(connect(server), HELLO)
    assert time.monotonic() - started >= 1


@pytest.mark.parametrize("retry_after", ["3600", "Fri, 31 Dec 2100 23:59:59 GMT"])
def test_a_long_delay_is_reported_instead_of_waited_for(server: ChatServer, retry_after: str) -> None:
    server.behaviors.append(error_response(429, "Quota exceeded.", Retry_After=retry_after))
    with pytest.raises(ModelError, match=r"429 Too Many Requests \(Quota exceeded\): try again in \d+ seconds"):
        complete(connect(server), HELLO)
    assert len(server.requests) == 1


@pytest.mark.parametrize("retry_after", ["soon", "-5", "Wed, 21 Oct 2015 07:28:00 GMT", ""])
def test_an_invalid_or_past_retry_after_is_ignored(server: ChatServer, retry_after: str) -> None:
    server.behaviors.append(error_response(429, Retry_After=retry_after))
    assert complete(connect(server), HELLO)


def test_the_fourth_attempt_is_the_last(server: ChatServer) -> None:
    server.behaviors.extend([error_response(503, "Loading model")] * 9)
    with pytest.raises(ModelError, match=r"503 Service Unavailable \(Loading model\): try again later"):
        complete(connect(server), HELLO)
    assert len(server.requests) == 4


def test_a_reply_that_has_begun_is_never_retried(server: ChatServer) -> None:
    server.behaviors.append(chat_server.cut_off)
    with pytest.raises(ModelError, match="broke off"):
        complete(connect(server), HELLO)
    assert len(server.requests) == 1


def test_a_server_that_starts_late_is_found() -> None:
    server = ChatServer(listening=False)
    threading.Timer(0.3, server.server_activate).start()
    with running(server):
        model = RemoteModel.connect(server.url, retry_delays=(0.1,) * 10 * DEADLINE)
    assert model.info.name == "tiny-vlm"
