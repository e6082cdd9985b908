"""Errors of servers and connections, and the API key."""

import logging
import ssl

import pytest
import trustme

from assistant.errors import ConfigError, ModelError
from assistant.messages import user
from assistant.models.remote.model import RemoteModel
from tests.fakes import chat_server
from tests.fakes.chat_server import Behavior, ChatServer, connect, error_response, raw_response
from tests.fakes.generation import complete
from tests.fakes.http_server import running

HELLO = user("Hello there.")
KEY = "sk-very-secret-1234"


@pytest.mark.parametrize(
    ("behavior", "message"),
    [
        (chat_server.garbled, "sent an invalid chunk"),
        (chat_server.cut_off, "broke off its answer"),
        (chat_server.huge, "sent an invalid event stream"),
        (chat_server.failing_half_way, r"stopped with an error \(CUDA out of memory\)"),
        (raw_response(b"<html>Welcome to nginx</html>", "text/html"), "answered with text/html instead of events"),
        (raw_response(b"x" * 8 * 2**20, "application/octet-stream"), "octet-stream instead of events"),
        (raw_response(b'{"error": {"message": "no such slot"}}', "application/json"), "no such slot"),
        (raw_response(b"\xff\xfe\x00\x01" * 100), "broke off"),
        (raw_response(b"data: [1, 2]\n\n"), "invalid chunk"),
        (raw_response(b'data: {"choices": [{"delta": {"content": 7}}]}\n\n'), "invalid chunk"),
        (
            raw_response(b'data: {"object": "error", "message": "Oh no", "code": 400}\n\n'),
            r"stopped with an error \(Oh no\)",
        ),
        (
            raw_response(b'{"detail": [{"msg": "Input should be a string"}]}', "application/json", 422),
            "422 .*be a string",
        ),
        (raw_response(b'{"error": "image input is not supported"}', "application/json", 400), "image input is not"),
        (raw_response(b"", "text/plain", 307), "307 Temporary Redirect: check the address"),
        (raw_response(b"", "text/plain", 599), "answered 599"),
        (chat_server.not_http, "broke off"),
    ],
)
def test_a_bad_response_is_reported_in_one_sentence(server: ChatServer, behavior: Behavior, message: str) -> None:
    server.behaviors.extend([behavior] * 4)
    model = connect(server)
    with pytest.raises(ModelError, match=message) as caught:
        complete(model, HELLO)
    assert "\n" not in str(caught.value)
    assert server.url in str(caught.value)
    assert len(str(caught.value)) < 600
    server.behaviors.clear()
    assert complete(model, HELLO) == "One two three four five."


def test_a_server_that_falls_silent_is_reported(server: ChatServer) -> None:
    server.behaviors.append(chat_server.silent_after_a_word)
    with pytest.raises(ModelError, match=r"has sent nothing for 0\.5 seconds"):
        complete(connect(server, read_timeout=0.5), HELLO)


def test_an_address_where_no_server_listens_is_reported() -> None:
    server = ChatServer()
    server.server_close()
    with pytest.raises(ModelError, match=r"No server answers at http://127\.0\.0\.1:\d+/v1: start it"):
        connect(server)


def test_a_host_name_that_does_not_exist_is_reported() -> None:
    with pytest.raises(ModelError, match="No server answers"):
        RemoteModel.connect("http://no-such-host.invalid/v1", retry_delays=())


def test_an_invalid_address_is_reported() -> None:
    with pytest.raises(ConfigError, match="not the address of a server"):
        RemoteModel.connect("http://[::1/v1")


def test_an_untrusted_certificate_is_refused(server: ChatServer) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with pytest.raises(ModelError, match="no valid certificate, so nothing was sent"):
        RemoteModel.connect(server.url.replace("http:", "https:"))


def test_the_key_is_sent_with_every_request_and_shown_nowhere(
    server: ChatServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    model = connect(server, key=KEY)
    server.behaviors.append(error_response(401, f"Incorrect API key provided: {KEY}."))
    with pytest.raises(ModelError, match="requires a valid API key") as caught:
        complete(model, HELLO)
    assert KEY not in str(caught.value)
    assert KEY not in caplog.text
    assert KEY not in repr(model)
    assert [headers["Authorization"] for headers in server.headers] == [f"Bearer {KEY}"] * 2


def test_a_missing_key_is_asked_for(server: ChatServer) -> None:
    server.models_behavior = error_response(401, "Unauthorized")
    with pytest.raises(ModelError, match="set it in the environment as PARLEY_API_KEY"):
        connect(server)
    assert "Authorization" not in server.headers[0]


@pytest.mark.parametrize("key", ["two\nlines", "ключ", " spaced"])
def test_an_invalid_key_is_reported_without_showing_it(server: ChatServer, key: str) -> None:
    with pytest.raises(ConfigError, match="API key contains characters") as caught:
        connect(server, key=key)
    assert key not in str(caught.value)


def test_the_key_does_not_follow_a_redirect(server: ChatServer) -> None:
    with running(ChatServer()) as other:
        server.models_behavior = lambda handler: handler.answer(307, b"", "text/plain", Location=f"{other.url}/models")
        with pytest.raises(ModelError, match="307"):
            connect(server, key=KEY)
        assert not other.headers


def test_a_proxy_is_not_used_for_the_loopback(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    assert connect(server).info.name == "tiny-vlm"


def test_an_invalid_proxy_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks9://127.0.0.1:9")
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ModelError, match="The proxy set in the environment cannot be used"):
        RemoteModel.connect("http://server.invalid/v1", retry_delays=())


def test_missing_certificates_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/file.pem")
    with pytest.raises(ConfigError, match="certificates set in SSL_CERT_FILE"):
        RemoteModel.connect("https://server.invalid/v1", retry_delays=())
