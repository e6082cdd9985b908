"""Links: a real server on this machine, and every way in which one may not be followed."""

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import trustme

from assistant.attachments.url_fetch import Address, Download, fetch, is_public, resolve
from assistant.errors import AttachmentError

HOME = ipaddress.ip_address("127.0.0.1")
Answer = Callable[[BaseHTTPRequestHandler], None]


class Server(ThreadingHTTPServer):
    """Answers each path with the function registered for it, and remembers what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, Answer] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.names: list[str | None] = []
        self.url = f"http://pictures.example:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that hang up in the middle are what is tested here."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append((self.path, dict(self.headers)))
        self.server.answers[self.path](self)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""


def body(data: bytes, *, length: int | None = None) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data) if length is None else length))
        handler.end_headers()
        handler.wfile.write(data)

    return answer


def status(code: int, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code, "\x1b[2J spoofed reason")
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()

    return answer


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(Server()) as running:
        yield running


def to_home(host: str, port: int) -> list[Address]:
    """Names of the tests lead to the test's server; everything else resolves as always."""
    return [HOME] if host.endswith(".example") else resolve(host, port)


def home_is_public(address: Address) -> bool:
    return address == HOME or is_public(address)


def get(url: str, max_bytes: int = 10_000, deadline_seconds: float = 5, **options: object) -> Download:
    options = {"resolve": to_home, "is_allowed": home_is_public} | options
    return fetch(url, max_bytes=max_bytes, deadline_seconds=deadline_seconds, **options)  # type: ignore[arg-type]


def refusal(url: str, **options: object) -> str:
    with pytest.raises(AttachmentError) as caught:
        get(url, **options)  # type: ignore[arg-type]
    sentence = str(caught.value)
    assert sentence.isprintable()
    assert sentence.endswith(".")
    assert "127.0.0.1" not in sentence.removeprefix("127.0.0.1")
    return sentence


def test_an_image_is_fetched_with_its_name_and_host(server: Server) -> None:
    server.answers["/a%20b/cat%201.jpg?size=large&q=%C3%A4"] = body(b"picture")
    assert get(f"{server.url}/a b/cat%201.jpg?size=large&q=ä#top") == Download(b"picture", "cat 1.jpg")
    ((_, headers),) = server.requests
    assert headers["Host"] == f"pictures.example:{server.server_port}"
    assert headers["User-Agent"] == "parley"


def test_an_url_without_a_path_is_named_after_its_host(server: Server) -> None:
    server.answers["/"] = body(b"picture")
    assert get(server.url).name == "pictures.example"


@pytest.mark.parametrize(
    "address",
    """127.0.0.1 127.9.9.9 10.0.0.1 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 224.0.0.1 240.0.0.1
    255.255.255.255 192.0.0.8 192.88.99.1 198.18.0.1 203.0.113.1 ::1 :: fe80::1 fe80::1%eth0 fc00::1 fec0::1 ff02::1
    2001:db8::1 2001:0:1::1 2002:7f00:1:: 3fff::1 5f00::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:7f00:1
    64:ff9b::7f00:1 64:ff9b::a00:1 64:ff9b:1::1""".split(),
)
def test_local_addresses_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_internet_addresses_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "0"])
def test_every_notation_of_the_loopback_address_is_refused(host: str, server: Server) -> None:
    server.answers["/"] = body(b"secret")
    with pytest.raises(AttachmentError, match=r"is inside a private or local network|was not found"):
        fetch(f"http://{host}:{server.server_port}/")
    assert server.requests == []


def test_one_local_address_among_public_ones_is_refused() -> None:
    answers = [ipaddress.ip_address("8.8.8.8"), ipaddress.ip_address("10.0.0.1")]
    assert "is inside a private or local network" in refusal("http://two.example", resolve=lambda *_: answers)


def test_a_name_is_resolved_only_once(server: Server) -> None:
    server.answers["/"] = body(b"picture")
    asked: list[str] = []

    def rebinding(host: str, port: int) -> list[Address]:
        asked.append(host)
        return [HOME] if len(asked) == 1 else [ipaddress.ip_address("10.0.0.1")]

    assert get(server.url, resolve=rebinding).data == b"picture"
    assert asked == ["pictures.example"]


def test_the_next_address_is_tried_if_one_does_not_answer(server: Server) -> None:
    server.answers["/"] = body(b"picture")
    closed = ipaddress.ip_address("127.0.0.9")
    found = get(server.url, resolve=lambda *_: [closed, HOME], is_allowed=lambda _: True)
    assert found.data == b"picture"


def test_redirects_are_followed(server: Server) -> None:
    server.answers["/1"] = status(301, Location="/2")
    server.answers["/2"] = status(302, Location=f"http://other.example:{server.server_port}/3/dog.png")
    server.answers["/3/dog.png"] = body(b"picture")
    assert get(f"{server.url}/1") == Download(b"picture", "dog.png")
    assert server.requests[-1][1]["Host"].startswith("other.example")


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("http://169.254.169.254/latest/meta-data", "169.254.169.254 is inside a private or local network"),
        ("http://[::ffff:10.0.0.1]/", "is inside a private or local network"),
        ("file:///etc/passwd", "is no http or https link"),
        ("ftp://other.example/x", "is no http or https link"),
        ("http://user:secret@other.example/", "carries a user name or password"),
        ("http://[broken", "not a valid address"),
        ("http://other.example:99999/", "not a valid address"),
    ],
)
def test_each_redirect_is_checked_again(location: str, words: str, server: Server) -> None:
    server.answers["/"] = status(302, Location=location)
    sentence = refusal(server.url)
    assert words in sentence
    assert "secret" not in sentence


def test_endless_redirects(server: Server) -> None:
    server.answers["/"] = status(307, Location="/")
    assert "redirects more than 5 times" in refusal(server.url)
    assert len(server.requests) == 6


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://pictures.example/cat.jpg", "is no http or https link"),
        ("http://", "is no http or https link"),
        ("http://me:secret@pictures.example/", "carries a user name or password: take it out."),
        ("http://me@pictures.example/", "carries a user name or password"),
        ("http://[::1", "not a valid address"),
        ("http://pictures.example:x/", "not a valid address"),
        ("http://pictures.example:0/", "is no http or https link"),
        ("http://no-such-name.invalid/x?key=secret", "was not found"),
        (f"http://{'x' * 300}.org/", "was not found"),
    ],
)
def test_unusable_urls(url: str, words: str) -> None:
    sentence = refusal(url)
    assert words in sentence
    assert "secret" not in sentence


def test_missing_images(server: Server) -> None:
    server.answers["/x?key=secret"] = status(404)
    assert refusal(f"{server.url}/x?key=secret") == "http://pictures.example/x answered 404 Not Found: check the link."
    server.answers["/y"] = status(599)
    assert "answered 599:" in refusal(f"{server.url}/y")


def test_a_body_is_refused_by_its_content_length(server: Server) -> None:
    server.answers["/"] = body(b"", length=10_001)
    assert "is larger than" in refusal(server.url)


def test_a_body_is_refused_while_it_streams(server: Server) -> None:
    sent = 0

    def endless(handler: BaseHTTPRequestHandler) -> None:
        nonlocal sent
        handler.send_response(200)
        handler.end_headers()
        while sent < 2**30:
            sent += handler.wfile.write(b"x" * 10_000)

    server.answers["/"] = endless
    assert "is larger than" in refusal(server.url)
    assert sent < 2**27


def test_chunked_bodies_are_counted(server: Server) -> None:
    def chunks(count: int) -> Answer:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.protocol_version = "HTTP/1.1"
            handler.send_response(200)
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            for _ in range(count):
                handler.wfile.write(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
            handler.wfile.write(b"0\r\n\r\n")

        return answer

    server.answers["/small"] = chunks(10)
    server.answers["/large"] = chunks(11)
    assert get(f"{server.url}/small").data == b"x" * 10_000
    assert "is larger than" in refusal(f"{server.url}/large")


def test_a_truncated_body(server: Server) -> None:
    server.answers["/"] = body(b"half", length=8)
    assert "was cut short on the way" in refusal(server.url)


@pytest.mark.parametrize("part", ["status", "headers", "body"])
def test_a_slow_server_is_left_at_the_deadline(part: str, server: Server) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        start = {"status": b"", "headers": b"HTTP/1.0 200 OK\r\n", "body": b"HTTP/1.0 200 OK\r\n\r\n"}[part]
        handler.wfile.write(start)
        for _ in range(3000):
            handler.wfile.write(b"x")
            time.sleep(0.02)

    server.answers["/"] = drip
    started = time.monotonic()
    assert "took too long to answer" in refusal(server.url, deadline_seconds=0.3)
    assert time.monotonic() - started < 30, "the server would send for a minute"


@pytest.mark.parametrize("answer", [b"", b"\0\1\2\3", b"HTTP/1.0 abc\r\n\r\n", b"HTTP/1.0 200 OK\r\n" + b"x" * 70_000])
def test_responses_that_are_no_http(answer: bytes, server: Server) -> None:
    def speak(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(answer)

    server.answers["/"] = speak
    assert "could not be fetched: check the link and the network connection." in refusal(server.url)


def test_no_server_answers() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    assert "could not be fetched" in refusal(f"http://pictures.example:{port}/")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure_server(authority: trustme.CA) -> Iterator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("pictures.example").configure_cert(context)
    server = Server()
    context.sni_callback = lambda _socket, name, _context: server.names.append(name)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.url = f"https://pictures.example:{server.server_port}"
    server.answers["/"] = body(b"picture")
    with serving(server):
        yield server


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def test_https_verifies_the_host_name_of_the_url(secure_server: Server, trusting: ssl.SSLContext) -> None:
    assert get(secure_server.url, context=trusting).data == b"picture"
    assert secure_server.names == ["pictures.example"]
    other = secure_server.url.replace("pictures", "other")
    assert "other.example has no valid certificate" in refusal(other, context=trusting)


def test_an_unknown_certificate_authority_is_refused(secure_server: Server) -> None:
    assert "pictures.example has no valid certificate" in refusal(secure_server.url)
