"""HTTP requests to a model server that can be cancelled at any moment, even before the first byte of a response.

    request -> connected -> 200 -> server-sent events as they come -> end
                  |          |             |
                  +----------+-------------+--> `ServerError`: what happened, what the server said, whether to retry

The client is asynchronous, because only a coroutine can be cancelled while it waits for the network. Callers are
synchronous: each request has an event loop of its own, which runs only while the caller waits for the next event and
closes the connection when the caller leaves. Whatever a server sends, sizes are bounded.
"""

import asyncio
import ssl
import threading
import zlib
from collections.abc import AsyncIterator, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import asynccontextmanager, contextmanager, suppress
from http import HTTPStatus
from typing import Any

import httpx2

from assistant import __version__
from assistant.errors import ConfigError, first_line
from assistant.models.remote.http_errors import LOOPBACK, Redactor, response_error, tls_expected, transport_error
from assistant.models.remote.retries import POLL_SECONDS, IsCancelled, ServerError
from assistant.text_cleaning import clean_line

CONNECT_TIMEOUT = 10.0
"""Seconds."""
READ_TIMEOUT = 600.0
"""Seconds without a byte from the server. A long prompt on a busy machine takes minutes until the first token."""

_MAX_EVENT_BYTES = 2**20
_MAX_STREAM_BYTES = 256 * 2**20
_MAX_BODY_BYTES = 4 * 2**20
_PROBE_TIMEOUT = 2.0
"""Seconds for a TLS handshake that tells why there was no answer."""
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


class ApiClient:
    """An HTTP client for the API below one base URL. Requests raise `ServerError`.

    Attributes:
        base_url: Address of the API, usually ending in `/v1`, for display: without a query.
        host: Host name and port, for display.
        words: Cleans what is quoted of the server's words.
        read_timeout: Seconds without a byte after which a request fails.
        key_variable: Environment variable that holds the key, for messages; empty if the settings name none.
    """

    def __init__(
        self,
        base_url: str,
        key: str | None = None,
        *,
        read_timeout: float = READ_TIMEOUT,
        key_variable: str = "PARLEY_API_KEY",
    ) -> None:
        """Create a client; nothing is sent yet.

        Args:
            base_url: Address of the API.
            key: API key, sent with every request and removed from every message of the server.
            read_timeout: Seconds without a byte after which a request fails.
            key_variable: Environment variable that holds the key, for messages.

        Raises:
            ConfigError: `base_url` is not a URL, or `key` not a possible header value.
        """
        if key is not None and not (key.isascii() and key.isprintable() and key == key.strip()):
            raise ConfigError("The API key contains characters that no key has, such as a line break: set it again.")
        self._url = _parse_url(base_url)
        self.base_url = str(self._url.copy_with(query=None, fragment=None)).rstrip("/")
        self.host = self._url.netloc.decode()
        self.words = Redactor(key)
        self.read_timeout = read_timeout
        self.key_variable = key_variable
        self._headers = {"User-Agent": f"parley/{__version__}", "Accept-Encoding": "identity"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        # Created once: reading all certificates of the system takes longer than most requests.
        self._ssl_context = _default_ssl_context() if self._url.scheme == "https" else False

    def get(self, path: str, is_cancelled: IsCancelled) -> bytes:
        """Return the body at `path`, at most a few megabytes; empty if cancelled."""
        left = threading.Event()
        # In a thread, because the caller may be inside an event loop, and event loops cannot nest.
        with ThreadPoolExecutor(1) as executor:
            body = executor.submit(self._get, path, left.is_set)
            try:
                while not body.done() and not is_cancelled():
                    wait([body], POLL_SECONDS)
            finally:
                left.set()
            return body.result()

    def stream_events(
        self, path: str, body: dict[str, Any], is_cancelled: IsCancelled
    ) -> Generator[httpx2.ServerSentEvent, None, None]:
        """Post `body` as JSON to `path` and yield each server-sent event with data as it comes.

        A server that answers with JSON instead has its body yielded as the only event. Ends with the stream or when
        cancelled. Closing the generator early closes the connection. Not to be called in a thread that runs an event
        loop.
        """
        queue: asyncio.Queue[httpx2.ServerSentEvent | None] = asyncio.Queue()
        received: list[httpx2.Response] = []

        async def read_events() -> None:
            try:
                async with self._request("POST", path, body) as response:
                    received.append(response)
                    async for event in self._events(response):
                        queue.put_nowait(event)
            finally:
                queue.put_nowait(None)

        def is_over() -> bool:
            if received and received[0].num_bytes_downloaded > _MAX_STREAM_BYTES:
                raise ServerError(f"The server at {self.base_url} sends without end: check that it is the right one.")
            return is_cancelled()

        with _event_loop() as loop:
            reading = loop.create_task(read_events())
            while True:
                next_event = loop.create_task(queue.get())
                if not loop.run_until_complete(_wait_unless_cancelled(next_event, is_over)):
                    return
                event = next_event.result()
                if event is None:
                    break
                if event.data.strip():
                    yield event
            loop.run_until_complete(reading)

    async def _events(self, response: httpx2.Response) -> AsyncIterator[httpx2.ServerSentEvent]:
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type == "application/json":
            yield httpx2.ServerSentEvent(data=(await self._read_body(response)).decode(errors="replace"))
        elif media_type != "text/event-stream":
            raise await self._response_error(
                response, f"answered with {media_type or 'no content type'} instead of events"
            )
        elif _encoding(response):
            # Unpacked, a few kilobytes may be gigabytes.
            raise await self._response_error(response, f"sent events packed with {_encoding(response)}, unasked")
        else:
            async for event in httpx2.EventSource(response, _MAX_EVENT_BYTES):
                yield event

    def _get(self, path: str, is_cancelled: IsCancelled) -> bytes:
        async def fetch() -> bytes:
            async with self._request("GET", path) as response:
                return await self._read_body(response)

        with _event_loop() as loop:
            task = loop.create_task(fetch())
            return task.result() if loop.run_until_complete(_wait_unless_cancelled(task, is_cancelled)) else b""

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> AsyncIterator[httpx2.Response]:
        url = self._url.copy_with(path=self._url.path.rstrip("/") + path)
        answered = False
        try:
            async with self._client() as client, client.stream(method, url, json=body) as response:
                answered = True
                if response.status_code != HTTPStatus.OK:
                    raise await self._response_error(response)
                yield response
        except (httpx2.RequestError, OSError, UnicodeError) as error:
            connected = isinstance(error, httpx2.RemoteProtocolError | httpx2.ReadError)
            if connected and not answered and await self._speaks_tls():
                raise tls_expected(self.base_url) from error
            raise transport_error(self.base_url, error, self.read_timeout) from error

    def _client(self) -> httpx2.AsyncClient:
        try:
            return httpx2.AsyncClient(
                headers=self._headers,
                timeout=httpx2.Timeout(self.read_timeout, connect=CONNECT_TIMEOUT),
                verify=self._ssl_context,
                trust_env=self._url.host not in LOOPBACK,
            )
        except (ImportError, ValueError, httpx2.InvalidURL) as error:
            raise ServerError(
                f"The proxy set in the environment cannot be used: {self.words.clean(str(error))}."
            ) from error

    async def _response_error(self, response: httpx2.Response, problem: str = "") -> ServerError:
        body = await self._read_body(response)
        return response_error(self.base_url, response, body, problem, self.words)

    async def _read_body(self, response: httpx2.Response) -> bytes:
        """Read at most `_MAX_BODY_BYTES`, for no longer than `read_timeout`, whatever the server sends."""
        body = b""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.read_timeout):
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > _MAX_BODY_BYTES:
                        break
        if _encoding(response) in ("gzip", "deflate"):
            with suppress(zlib.error):
                body = zlib.decompressobj(_GZIP_OR_ZLIB).decompress(body, _MAX_BODY_BYTES)
        return body[:_MAX_BODY_BYTES]

    async def _speaks_tls(self) -> bool:
        """Return True if the port of an address with http:// answers a TLS handshake. Sends nothing else."""
        if self._url.scheme != "http":
            return False
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT):
                _, writer = await asyncio.open_connection(self._url.host, self._url.port or 80, ssl=context)
                # At once: the other side need not take part in the end of TLS.
                writer.transport.abort()
                with suppress(OSError):
                    await writer.wait_closed()
        except (OSError, TimeoutError):
            return False
        return True


def _parse_url(base_url: str) -> httpx2.URL:
    """Return the address of a server. Raises `ConfigError`."""
    with suppress(httpx2.InvalidURL, UnicodeError, ValueError):
        url = httpx2.URL(base_url)
        if url.scheme in ("http", "https") and url.host and (url.port or 1) < 2**16:
            if url.userinfo:
                raise ConfigError(
                    "The address of a server cannot contain a user name or a password: set a key as PARLEY_API_KEY."
                )
            return url
    raise ConfigError(f"{clean_line(base_url)} is not the address of a server: give one like http://localhost:8000/v1.")


def _encoding(response: httpx2.Response) -> str:
    """Return the compression of a response, which was not asked for; empty if there is none."""
    encoding = clean_line(response.headers.get("content-encoding", ""), 20).lower()
    return "" if encoding == "identity" else encoding


def _default_ssl_context() -> ssl.SSLContext:
    try:
        return httpx2.create_ssl_context()
    except OSError as error:
        raise ConfigError(
            f"The certificates set in SSL_CERT_FILE or SSL_CERT_DIR cannot be read: {first_line(error)}."
        ) from error


@contextmanager
def _event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Create an event loop; cancel whatever still runs in it when the block is left."""
    loop = asyncio.new_event_loop()
    # Nobody needs to know how a cancelled request ended.
    loop.set_exception_handler(lambda _loop, _context: None)
    try:
        yield loop
    finally:
        try:
            for task in (tasks := asyncio.all_tasks(loop)):
                task.cancel()
            if tasks:
                loop.run_until_complete(asyncio.wait(tasks))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            # Unlike `asyncio.Runner`, this does not wait for a DNS lookup in progress.
            loop.close()


async def _wait_unless_cancelled(task: "asyncio.Task[Any]", is_cancelled: IsCancelled) -> bool:
    """Wait for `task`. Return False as soon as the request is cancelled."""
    while not is_cancelled():
        if (await asyncio.wait([task], timeout=POLL_SECONDS))[0]:
            return True
    return False
