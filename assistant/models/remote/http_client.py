"""HTTP requests to a model server that can be cancelled at any moment, even before the first byte of a response.

    request -> connected -> 200 -> server-sent events as they come -> end
                  |          |             |
                  +----------+-------------+--> `ServerError`: what happened, what the server said, whether to retry

The client is asynchronous, because only a coroutine can be cancelled while it waits for the network. Callers are
synchronous: each request has an event loop of its own, which runs only while the caller waits for the next event and
closes the connection when the caller leaves.
"""

import asyncio
import json
import ssl
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from typing import Any

import httpx2

from assistant import __version__
from assistant.errors import ConfigError, http_status
from assistant.models.remote.retries import (
    MAX_RETRY_DELAY,
    POLL_SECONDS,
    IsCancelled,
    ServerError,
    parse_retry_after,
)

CONNECT_TIMEOUT = 10.0
"""Seconds."""
READ_TIMEOUT = 600.0
"""Seconds without a byte from the server. A long prompt on a busy machine takes minutes until the first token."""

_MAX_EVENT_BYTES = 2**20
_MAX_BODY_BYTES = 4 * 2**20
_MAX_MESSAGE_CHARACTERS = 300
_RETRYABLE_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class ApiClient:
    """An HTTP client for the API below one base URL. Requests raise `ServerError`.

    Attributes:
        base_url: Address of the API, usually ending in `/v1`.
        host: Host name and port, for display.
    """

    def __init__(self, base_url: str, key: str | None = None, *, read_timeout: float = READ_TIMEOUT) -> None:
        """Create a client; nothing is sent yet.

        Args:
            base_url: Address of the API.
            key: API key, sent with every request and removed from every message of the server.
            read_timeout: Seconds without a byte after which a request fails.

        Raises:
            ConfigError: `base_url` is not a URL, or `key` not a possible header value.
        """
        if key is not None and not (key.isascii() and key.isprintable() and key == key.strip()):
            raise ConfigError("The API key contains characters that no key has, such as a line break: set it again.")
        try:
            url = httpx2.URL(base_url)
        except httpx2.InvalidURL as error:
            raise ConfigError(
                f"{base_url} is not the address of a server: give one like http://localhost:8000/v1."
            ) from error
        self.base_url = base_url
        self.host = url.netloc.decode()
        self._key = key
        self._headers = {"User-Agent": f"parley/{__version__}", "Accept-Encoding": "identity"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._timeout = httpx2.Timeout(read_timeout, connect=CONNECT_TIMEOUT)
        # Created once: reading all certificates of the system takes longer than most requests.
        self._ssl_context = _default_ssl_context() if url.scheme == "https" else False
        # A proxy set in the environment is for other machines, not for this one.
        self._use_environment = url.host not in _LOOPBACK

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

    def stream_events(self, path: str, body: dict[str, Any], is_cancelled: IsCancelled) -> Generator[str, None, None]:
        """Post `body` as JSON to `path` and yield the data of each server-sent event as it comes.

        Ends with the stream or when cancelled. Closing the generator early closes the connection. Not to be called in a
        thread that runs an event loop.
        """
        queue: asyncio.Queue[str | None] = asyncio.Queue()

        async def read_events() -> None:
            try:
                async with self._request("POST", path, body) as response:
                    media_type = response.headers.get("content-type", "no content type")
                    if not media_type.startswith("text/event-stream"):
                        raise await self._response_error(response, f"answered with {media_type} instead of events")
                    async for event in httpx2.EventSource(response, _MAX_EVENT_BYTES):
                        queue.put_nowait(event.data)
            finally:
                queue.put_nowait(None)

        with _event_loop() as loop:
            reading = loop.create_task(read_events())
            while True:
                next_event = loop.create_task(queue.get())
                if not loop.run_until_complete(_wait_unless_cancelled(next_event, is_cancelled)):
                    return
                data = next_event.result()
                if data is None:
                    break
                yield data
            loop.run_until_complete(reading)

    def error_message(self, body: bytes) -> str:
        """Return the message in the body of an error response, fit to be quoted in a sentence; empty if it has none."""
        return _single_line(_find_message(body).replace(self._key or "\0", "…"))

    def _get(self, path: str, is_cancelled: IsCancelled) -> bytes:
        async def fetch() -> bytes:
            async with self._request("GET", path) as response:
                return await _read_body(response)

        with _event_loop() as loop:
            task = loop.create_task(fetch())
            return task.result() if loop.run_until_complete(_wait_unless_cancelled(task, is_cancelled)) else b""

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> AsyncIterator[httpx2.Response]:
        try:
            async with (
                self._client() as client,
                client.stream(method, f"{self.base_url}{path}", json=body) as response,
            ):
                if response.status_code != HTTPStatus.OK:
                    raise await self._response_error(response, f"answered {http_status(response.status_code)}")
                yield response
        except httpx2.RequestError as error:
            raise self._transport_error(error) from error

    def _client(self) -> httpx2.AsyncClient:
        try:
            return httpx2.AsyncClient(
                headers=self._headers, timeout=self._timeout, verify=self._ssl_context, trust_env=self._use_environment
            )
        except (ImportError, ValueError, httpx2.InvalidURL) as error:
            raise ServerError(
                f"The proxy set in the environment cannot be used: {_single_line(str(error))}."
            ) from error

    async def _response_error(self, response: httpx2.Response, problem: str) -> ServerError:
        """Describe a response that is not the expected one."""
        body = await _read_body(response)
        message = self.error_message(body)
        retryable = response.status_code in _RETRYABLE_STATUS
        retry_after = parse_retry_after(response.headers.get("retry-after", "")) if retryable else None
        advice = "check the address" if not message and not retryable else "try again later" if retryable else ""
        if retry_after is not None and retry_after > MAX_RETRY_DELAY:
            advice = f"try again in {retry_after:.0f} seconds"
        sentence = f"The server at {self.base_url} {_single_line(problem)}{f' ({message})' if message else ''}"
        return ServerError(
            f"{sentence}: {advice}." if advice else f"{sentence}.",
            retryable=retryable,
            status=response.status_code,
            body=body,
            retry_after=retry_after,
        )

    def _transport_error(self, error: httpx2.RequestError) -> ServerError:
        """Describe a request without a complete response."""
        server = f"The server at {self.base_url}"
        match error:
            case httpx2.ConnectError() | httpx2.ConnectTimeout() if _is_certificate_error(error):
                return ServerError(f"{server} has no valid certificate, so nothing was sent: check the address.")
            case httpx2.ConnectError() | httpx2.ConnectTimeout() | httpx2.ProxyError():
                return ServerError(
                    f"No server answers at {self.base_url}: start it, or check --base-url.", retryable=True
                )
            case httpx2.TimeoutException():
                return ServerError(
                    f"{server} has sent nothing for {self._timeout.read:g} seconds: check what it is doing."
                )
            case httpx2.SSEError() | httpx2.DecodingError():
                return ServerError(f"{server} sent an invalid event stream: check that it is the right server.")
            case _:
                return ServerError(f"{server} broke off its answer: check that it is still running.", retryable=True)


def _default_ssl_context() -> ssl.SSLContext:
    try:
        return httpx2.create_ssl_context()
    except OSError as error:
        raise ConfigError(
            f"The certificates set in SSL_CERT_FILE or SSL_CERT_DIR cannot be read: {error.strerror or error}."
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


async def _read_body(response: httpx2.Response) -> bytes:
    """Read at most `_MAX_BODY_BYTES`."""
    body = b""
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > _MAX_BODY_BYTES:
            break
    return body[:_MAX_BODY_BYTES]


def _find_message(body: bytes) -> str:
    """Return the message in the usual shapes of an error: `{"error": {"message": ...}}` and its variants."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    for _ in range(4):
        if isinstance(value, list) and value:
            value = value[0]
        if not isinstance(value, dict):
            break
        value = next((value[name] for name in ("error", "message", "detail", "msg") if value.get(name)), None)
    return value if isinstance(value, str) else ""


def _single_line(text: str) -> str:
    """Remove control characters and line breaks from `text`, and cut it to a readable length."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split()).rstrip(".:")
    return line if len(line) <= _MAX_MESSAGE_CHARACTERS else f"{line[:_MAX_MESSAGE_CHARACTERS]}…"


def _is_certificate_error(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False
