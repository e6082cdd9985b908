"""Errors of servers and connections, and the API key."""

import logging
import ssl
from collections.abc import Callable

import pytest
import trustme

from assistant.errors import ConfigError, ModelError
from assistant.messages import user
from assistant.models.remote.model import RemoteModel
from tests.fakes import chat_server
from tests.fakes.chat_server import Behavior, ChatServer, connect, error_response, event_stream, raw_response
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


@pytest.mark.parametrize(
    "address",
    [
        "http://[::1/v1",
        "localhost:8000/v1",
        "ftp://host/v1",
        "http://",
        "http://host:99999/v1",
        "http://h/\x1b",
        "\udcff",
        "",
    ],
)
def test_an_invalid_address_is_reported(address: str) -> None:
    with pytest.raises(ConfigError, match="not the address of a server") as caught:
        RemoteModel.connect(address)
    assert str(caught.value).isprintable()


def test_an_address_with_a_password_is_refused_without_showing_it() -> None:
    with pytest.raises(ConfigError, match="cannot contain a user name or a password") as caught:
        RemoteModel.connect("https://me:hunter2@host/v1")
    assert "hunter2" not in str(caught.value)


def test_https_to_a_plain_port_is_called_what_it_is(server: ChatServer) -> None:
    with pytest.raises(ModelError, match=r"does not speak TLS, so nothing was sent: check the port, or .* http://"):
        RemoteModel.connect(server.url.replace("http:", "https:"), key=KEY, retry_delays=())


def test_http_to_a_tls_port_is_called_what_it_is(server: ChatServer) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with pytest.raises(ModelError, match="expects TLS: set the address with https://"):
        RemoteModel.connect(server.url, retry_delays=())


@pytest.mark.parametrize(
    "body",
    [b"Client sent an HTTP request to an HTTPS server.\n", b"<p>The plain HTTP request was sent to HTTPS port</p>"],
)
def test_a_server_that_says_it_wants_tls_is_understood(server: ChatServer, body: bytes) -> None:
    server.models_behavior = raw_response(body, "text/plain", 400)
    with pytest.raises(ModelError, match="expects TLS"):
        connect(server)


def test_an_address_without_its_version_is_completed_in_the_message(server: ChatServer) -> None:
    address = server.url.removesuffix("/v1")
    with pytest.raises(ModelError, match=rf"404 Not Found.*most end in /v1, as {address}/v1 does"):
        RemoteModel.connect(address, retry_delays=())


def test_a_forbidden_key_is_told_from_a_missing_one(server: ChatServer) -> None:
    server.models_behavior = error_response(403, "No access to this model.")
    with pytest.raises(ModelError, match=r"403 Forbidden \(No access to this model\): check the API key in PARLEY_API"):
        connect(server, key=KEY)


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


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_named_and_the_key_does_not_follow_it(server: ChatServer, status: int) -> None:
    with running(ChatServer()) as other:
        target = f"{other.url.replace('//', '//me:secret@')}/models?token=secret"
        server.models_behavior = lambda handler: handler.answer(status, b"", "text/plain", Location=target)
        server.behaviors.append(
            lambda handler: handler.answer(status, b"", "text/plain", Location="/v2/chat/completions")
        )
        with pytest.raises(
            ModelError, match=rf"{status} .* to {other.url}, which is not followed.*--base-url"
        ) as caught:
            connect(server, key=KEY)
        assert "secret" not in str(caught.value)
        assert str(caught.value).count("address") == 1, "one advice: set the right address"
        server.models_behavior = None
        with pytest.raises(ModelError, match=rf"{status} .* to http://127.0.0.1:{server.server_port}/v2, which"):
            complete(connect(server, key=KEY), HELLO)
        assert not other.headers


@pytest.mark.parametrize("location", ["http://[", "\x1b]0;title", f"http://h/{KEY}", "x" * 5000, "//"])
def test_the_target_of_a_redirect_is_shown_clean(server: ChatServer, location: str) -> None:
    server.models_behavior = lambda handler: handler.answer(302, b"", "text/plain", Location=location)
    with pytest.raises(ModelError, match="302 Found") as caught:
        connect(server, key=KEY)
    assert KEY not in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("echo", [KEY, KEY[:9] + "\x00" + KEY[9:], KEY[:9] + "\u202e" + KEY[9:]])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 500])
def test_no_message_shows_the_key(server: ChatServer, echo: str, status: int) -> None:
    model = connect(server, key=KEY)
    server.behaviors.append(error_response(status, f"Your key {echo} is wrong."))
    server.behaviors.append(event_stream({"error": {"message": f"Your key {echo}"}}))
    for _ in range(2):
        with pytest.raises(ModelError) as caught:
            complete(RemoteModel(model._client, "tiny-vlm", retry_delays=()), HELLO)
        assert KEY not in str(caught.value)


def test_a_proxy_is_not_used_for_the_loopback(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    assert connect(server).info.name == "tiny-vlm"


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Set a proxy in the environment, and nothing else that concerns proxies."""

    def set_proxy(address: str) -> None:
        for variable in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "no_proxy", "NO_PROXY"):
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setenv("http_proxy", address)
        monkeypatch.setenv("https_proxy", address)

    return set_proxy


def test_a_proxy_that_does_not_answer_is_named_without_its_password(proxied: Callable[[str], None]) -> None:
    proxied("http://me:hunter2@127.0.0.1:9")
    with pytest.raises(
        ModelError, match=r"The proxy 127\.0\.0\.1:9, set in the environment, does not answer"
    ) as caught:
        RemoteModel.connect("http://server.invalid/v1", retry_delays=())
    assert "hunter2" not in str(caught.value)


def test_a_proxy_that_refuses_is_named(server: ChatServer, proxied: Callable[[str], None]) -> None:
    proxied(f"http://127.0.0.1:{server.server_port}")
    with pytest.raises(ModelError, match=r"The proxy .* refused the connection to https://server"):
        RemoteModel.connect("https://server.invalid/v1", retry_delays=())


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
