"""Questions to a server over HTTP, which can be given up at any moment, also while nothing has come back yet.

    request ─▶ connected ─▶ 200 ─▶ events as they come ─▶ end
                  │          │             │
                  └──────────┴─────────────┴─▶ `ServerError`: why, what the server said, and whether to try again

The client is asynchronous, because that is what can be cancelled while it waits. Its event loop belongs to one
request, turns only while the caller waits for the next event, and takes the connection with it when the caller leaves.
"""

import asyncio
import json
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import httpx2

from assistant import __version__
from assistant.errors import ConfigError, ModelError

IsCancelled = Callable[[], bool]
"""Asked often during a wait: whether nobody wants the answer any more. What it raises ends the wait as well."""

CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 600.0
"""How long a server may say nothing: a long prompt on a busy machine takes minutes before its first word."""
RETRY_DELAYS = (0.5, 1.0, 2.0)
"""The waits before a second, a third and a fourth try."""
MAX_RETRY_DELAY = 60.0
"""A server that asks for more patience than this is not waited for."""

_TICK_SECONDS = 0.02
_LARGEST_EVENT = 2**20
_LARGEST_ANSWER = 4 * 2**20
_LONGEST_WORDS = 300
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class ServerError(ModelError):
    """The server did not give what it was asked for.

    `passing` says whether another try may help, and `retry_delays` when the server asks for it. `status` is that of
    HTTP, 0 if it did not come to one, and `body` the beginning of what came with it.
    """

    def __init__(
        self,
        sentence: str,
        *,
        passing: bool = False,
        status: int = 0,
        body: bytes = b"",
        retry_delays: float | None = None,
    ) -> None:
        super().__init__(sentence)
        self.passing = passing
        self.status = status
        self.body = body
        self.retry_delays = retry_delays


class RetryPolicy:
    """The tries of one question that are left, with `seconds` between them."""

    def __init__(self, seconds: tuple[float, ...] = RETRY_DELAYS) -> None:
        self._left = list(seconds)

    def wait(self, error: ServerError, is_cancelled: IsCancelled) -> None:
        """Wait before the next try, as long as the server asks for if it does. Raises `error` if there is none."""
        if not error.passing or not self._left:
            raise error
        seconds = max(self._left.pop(0), error.retry_delays or 0)
        if seconds > MAX_RETRY_DELAY:
            raise error
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not is_cancelled():
            time.sleep(min(left, _TICK_SECONDS))


class ApiClient:
    """An HTTP server below `base_url`; it may be silent for `read_timeout`.

    `key` goes with every request, and is taken out of whatever the server says. All methods raise `ServerError`.
    """

    def __init__(self, base_url: str, key: str | None = None, *, read_timeout: float = READ_TIMEOUT) -> None:
        if key is not None and not (key.isascii() and key.isprintable() and key == key.strip()):
            raise ConfigError("The API key has characters that no key has, such as a line break: set it again.")
        try:
            url = httpx2.URL(base_url)
        except httpx2.InvalidURL as error:
            raise ConfigError(
                f"{base_url} is no address of a server: give one like http://localhost:8000/v1."
            ) from error
        self.base_url = base_url
        self.host = url.netloc.decode()
        """Name and port, for people."""
        self._key = key
        self._headers = {"User-Agent": f"parley/{__version__}", "Accept-Encoding": "identity"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._timeout = httpx2.Timeout(read_timeout, connect=CONNECT_TIMEOUT)
        # Made once: reading all certificates of the system takes longer than most requests.
        self._certificates = _trusted_certificates() if url.scheme == "https" else False
        # A proxy is for reaching other machines, whatever the environment says about this one.
        self._proxies = url.host not in _LOOPBACK

    def get(self, path: str, is_cancelled: IsCancelled) -> bytes:
        """The body found at `path`, of at most a few megabytes; empty if given up."""
        left = threading.Event()
        # On a thread, because whoever sets up a conversation may do so inside an event loop, which bears no second one.
        with ThreadPoolExecutor(1) as executor:
            body = executor.submit(self._get, path, left.is_set)
            try:
                while not body.done() and not is_cancelled():
                    wait([body], _TICK_SECONDS)
            finally:
                left.set()
            return body.result()

    def events(self, path: str, body: dict[str, Any], is_cancelled: IsCancelled) -> Generator[str, None, None]:
        """Post `body` as JSON to `path` and yield the data of each server-sent event as it comes.

        Ends where the server does, or as soon as it is given up. Leaving it early closes the connection. To be called
        outside of event loops, like everything that blocks.
        """
        queue: asyncio.Queue[str | None] = asyncio.Queue()

        async def pump() -> None:
            try:
                async with self._answer("POST", path, body) as response:
                    kind = response.headers.get("content-type", "something unnamed")
                    if not kind.startswith("text/event-stream"):
                        raise await self._refusal(response, f"answers with {kind} where events should be")
                    async for event in httpx2.EventSource(response, _LARGEST_EVENT):
                        queue.put_nowait(event.data)
            finally:
                queue.put_nowait(None)

        with _event_loop() as loop:
            pumping = loop.create_task(pump())
            while True:
                coming = loop.create_task(queue.get())
                if not loop.run_until_complete(_is_done(coming, is_cancelled)):
                    return
                data = coming.result()
                if data is None:
                    break
                yield data
            loop.run_until_complete(pumping)

    def words(self, body: bytes) -> str:
        """What a server says in the `body` of an error, as part of a sentence; empty if that is not for people."""
        return _one_line(_message(body).replace(self._key or "\0", "…"))

    def _get(self, path: str, is_cancelled: IsCancelled) -> bytes:
        async def fetch() -> bytes:
            async with self._answer("GET", path) as response:
                return await _beginning(response)

        with _event_loop() as loop:
            task = loop.create_task(fetch())
            return task.result() if loop.run_until_complete(_is_done(task, is_cancelled)) else b""

    @asynccontextmanager
    async def _answer(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> AsyncIterator[httpx2.Response]:
        try:
            async with (
                self._client() as client,
                client.stream(method, f"{self.base_url}{path}", json=body) as response,
            ):
                if response.status_code != HTTPStatus.OK:
                    raise await self._refusal(response, f"answers {_status(response.status_code)}")
                yield response
        except httpx2.RequestError as error:
            raise self._failure(error) from error

    def _client(self) -> httpx2.AsyncClient:
        try:
            return httpx2.AsyncClient(
                headers=self._headers, timeout=self._timeout, verify=self._certificates, trust_env=self._proxies
            )
        except (ImportError, ValueError, httpx2.InvalidURL) as error:
            raise ServerError(
                f"The proxy that the environment names cannot be used: {_one_line(str(error))}."
            ) from error

    async def _refusal(self, response: httpx2.Response, what: str) -> ServerError:
        body = await _beginning(response)
        said = self.words(body)
        passing = response.status_code in _PASSING
        seconds = _retry_seconds(response.headers.get("retry-after", "")) if passing else None
        advice = "check the address" if not said and not passing else "try again later" if passing else ""
        if seconds is not None and seconds > MAX_RETRY_DELAY:
            advice = f"try again in {seconds:.0f} seconds"
        sentence = f"The server at {self.base_url} {_one_line(what)}{f' ({said})' if said else ''}"
        return ServerError(
            f"{sentence}: {advice}." if advice else f"{sentence}.",
            passing=passing,
            status=response.status_code,
            body=body,
            retry_delays=seconds,
        )

    def _failure(self, error: httpx2.RequestError) -> ServerError:
        server = f"The server at {self.base_url}"
        match error:
            case httpx2.ConnectError() | httpx2.ConnectTimeout() if _is_about_certificates(error):
                return ServerError(f"{server} has no valid certificate, so nothing was sent: check the address.")
            case httpx2.ConnectError() | httpx2.ConnectTimeout() | httpx2.ProxyError():
                return ServerError(
                    f"No server answers at {self.base_url}: start it, or check --base-url.", passing=True
                )
            case httpx2.TimeoutException():
                return ServerError(
                    f"{server} has said nothing for {self._timeout.read:g} seconds: see what it is doing."
                )
            case httpx2.SSEError() | httpx2.DecodingError():
                return ServerError(f"{server} sends what is no stream of events: see whether it is the right one.")
            case _:
                return ServerError(f"{server} broke off its answer: see whether it still runs.", passing=True)


def _trusted_certificates() -> ssl.SSLContext:
    try:
        return httpx2.create_ssl_context()
    except OSError as error:
        raise ConfigError(
            f"The certificates that SSL_CERT_FILE or SSL_CERT_DIR name cannot be read: {error.strerror or error}."
        ) from error


@contextmanager
def _event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that ends all that still goes on in it when it is left."""
    loop = asyncio.new_event_loop()
    # How a request ends that was given up is nobody's concern.
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
            # Unlike `asyncio.Runner`, this waits for no name server that is still being asked.
            loop.close()


async def _is_done(task: "asyncio.Task[Any]", is_cancelled: IsCancelled) -> bool:
    """True when `task` is done, False as soon as it is given up; waits for one of both."""
    while not is_cancelled():
        if (await asyncio.wait([task], timeout=_TICK_SECONDS))[0]:
            return True
    return False


async def _beginning(response: httpx2.Response) -> bytes:
    body = b""
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > _LARGEST_ANSWER:
            break
    return body[:_LARGEST_ANSWER]


def _message(body: bytes) -> str:
    """The words for people in the usual shapes of error: `{"error": {"message": …}}` and what varies from it."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    for _ in range(4):
        if isinstance(found, list) and found:
            found = found[0]
        if not isinstance(found, dict):
            break
        found = next((found[name] for name in ("error", "message", "detail", "msg") if found.get(name)), None)
    return found if isinstance(found, str) else ""


def _one_line(text: str) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split()).rstrip(".:")
    return line if len(line) <= _LONGEST_WORDS else f"{line[:_LONGEST_WORDS]}…"


def _status(code: int) -> str:
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)


def _retry_seconds(header: str) -> float | None:
    """Seconds from now that a Retry-After header names, as a number or a date."""
    if header.strip().isdecimal():
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _is_about_certificates(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False
