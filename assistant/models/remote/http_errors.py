"""Sentences about failed requests: what the server or the connection did, and what to do next.

Nothing of a server's words reaches a message unless it went through `Redactor.clean`, which also removes the API key.
"""

import errno
import re
import socket
import ssl
from collections.abc import Iterator
from http import HTTPStatus
from urllib.parse import urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

import httpx2

from assistant.errors import http_status
from assistant.models.remote.json_values import as_list, as_text, parse_json
from assistant.models.remote.retries import MAX_RETRY_DELAY, ServerError, parse_retry_after
from assistant.text_cleaning import clean_line

_MAX_MESSAGE_CHARACTERS = 300
_MAX_PLAIN_TEXT = 1000
_MESSAGE_FIELDS = ("error", "message", "detail", "msg", "error_description", "errors")
_RETRYABLE_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
REDIRECTS = range(300, 400)
"""Statuses of answers that name another address."""
_TLS_EXPECTED = re.compile(rb"HTTP request (?:was sent )?to (?:an )?HTTPS", re.IGNORECASE)
LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Hosts that are asked without the proxy set in the environment: it is for other machines."""
_ENDPOINTS = ("/models", "/chat/completions", "/responses")


class Redactor:
    """Makes the words of a server fit to be quoted: on one line, short, and without the API key."""

    def __init__(self, key: str | None) -> None:
        self._key = key

    def clean(self, text: str) -> str:
        """Return `text` as a part of a sentence."""
        # The key last: control characters between its letters would hide it.
        line = clean_line(text, _MAX_MESSAGE_CHARACTERS)
        return (line.replace(self._key, "…") if self._key else line).rstrip(".:")

    def error_message(self, body: bytes) -> str:
        """Return the message in the body of an error; empty if it has none."""
        return self.clean(find_message(body))


def find_message(body: bytes) -> str:
    """Return the message in the usual shapes of an error: `{"error": {"message": ...}}` and its variants."""
    try:
        value = parse_json(body)
    except ValueError:
        return ""
    for _ in range(8):
        if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
            # Gateways put the answer of the server behind them into a string.
            try:
                value = parse_json(value)
            except ValueError:
                break
        if isinstance(value, list) and value:
            value = value[0]
        if not isinstance(value, dict):
            break
        if place := [each for each in as_list(value.get("loc")) if isinstance(each, str)]:
            return f"{place[-1]}: {as_text(value.get('msg'))}"
        value = next((value[name] for name in _MESSAGE_FIELDS if value.get(name)), None)
    return value if isinstance(value, str) else ""


def response_error(server: str, response: httpx2.Response, body: bytes, problem: str, words: Redactor) -> ServerError:
    """Describe a response that is not the expected one.

    Args:
        server: Address of the API, for display.
        response: The response.
        body: First part of its body.
        problem: What is wrong with it, after "The server at ADDRESS"; empty for its status.
        words: Cleans what is quoted.
    """
    status = response.status_code
    message = words.error_message(body) or _plain_text(response, body, words)
    retryable = status in _RETRYABLE_STATUS
    retry_after = parse_retry_after(response.headers.get("retry-after", "")) if retryable else None
    if _TLS_EXPECTED.search(body):
        sentence = str(tls_expected(server))
    elif status in REDIRECTS and (target := _redirect_target(response, words)):
        sentence = (
            f"The server at {server} answered {http_status(status)} to {target}, which is not followed: "
            f"if that is the right address, set it with --base-url."
        )
    else:
        answered = problem or f"answered {http_status(status)}"
        advice = _advice(server, status, message, retry_after, retryable=retryable)
        quoted = f" ({message})" if message else ""
        sentence = f"The server at {server} {words.clean(answered)}{quoted}{f': {advice}' if advice else ''}."
    return ServerError(sentence, retryable=retryable, status=status, body=body, retry_after=retry_after)


def transport_error(server: str, error: Exception, read_timeout: float | None) -> ServerError:
    """Describe a request without a complete response."""
    causes = [*_chain(error)]
    subject = f"The server at {server}"
    match error:
        case httpx2.ConnectError() | httpx2.ConnectTimeout():
            return _connection_error(server, error, causes)
        case httpx2.ProxyError():
            proxy = _proxy_name(server) or "The proxy set in the environment"
            reason = clean_line(str(error), 100)
            return ServerError(f"{proxy} refused the connection to {server} ({reason}): check it, or set NO_PROXY.")
        case httpx2.TimeoutException():
            return ServerError(f"{subject} has sent nothing for {read_timeout or 0:g} seconds: check what it is doing.")
        case httpx2.SSEError() | httpx2.DecodingError():
            return ServerError(f"{subject} sent an invalid event stream: check that it is the right server.")
        case httpx2.UnsupportedProtocol() | httpx2.LocalProtocolError():
            return ServerError(f"{subject} cannot be asked ({clean_line(str(error), 100)}): check the address.")
        case _:
            return broken_off(server)


def tls_expected(server: str) -> ServerError:
    """Return the error for a server that speaks TLS only."""
    return ServerError(f"The server at {server} expects TLS: set the address with https:// in place of http://.")


def broken_off(server: str) -> ServerError:
    """Return the error for an answer that ended before it was complete."""
    return ServerError(f"The server at {server} broke off its answer: check that it is still running.", retryable=True)


def _connection_error(server: str, error: Exception, causes: list[BaseException]) -> ServerError:
    subject = f"The server at {server}"
    if reasons := [each for each in causes if isinstance(each, ssl.SSLCertVerificationError)]:
        reason = clean_line(reasons[0].verify_message, 100)
        quoted = f" ({reason})" if reason else ""
        return ServerError(f"{subject} has no valid certificate, so nothing was sent{quoted}: check the address.")
    if any(isinstance(each, ssl.SSLError) for each in causes):
        return ServerError(
            f"{subject} does not speak TLS, so nothing was sent: check the port, or set the address with http:// in "
            "place of https://."
        )
    if proxy := _proxy_name(server):
        return ServerError(f"{proxy} does not answer: start it, or leave it out for this server with NO_PROXY.")
    if any(isinstance(each, socket.gaierror | UnicodeError) for each in causes):
        host = urlsplit(server).hostname
        return ServerError(
            f"No server answers at {server}, because no host {host} is known here: check --base-url and the network.",
            retryable=True,
        )
    reason = "in time" if isinstance(error, httpx2.ConnectTimeout) else ""
    unreachable = {errno.ENETUNREACH: "the network", errno.EHOSTUNREACH: "the host"}
    if codes := [unreachable[each.errno] for each in causes if isinstance(each, OSError) and each.errno in unreachable]:
        reason = f"because {codes[0]} cannot be reached"
    answers = f"No server answers at {server}{f' {reason}' if reason else ''}"
    return ServerError(f"{answers}: start it, or check --base-url.", retryable=True)


def _advice(server: str, status: int, message: str, retry_after: float | None, *, retryable: bool) -> str:
    if retry_after is not None and retry_after > MAX_RETRY_DELAY:
        return f"try again in {retry_after:.0f} seconds"
    if retryable:
        return "try again later"
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return "the proxy set in the environment needs a user name and a password"
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED) and not _has_version(server):
        return f"check the address; most end in /v1, as {server}/v1 does"
    return "" if message else "check the address"


def _has_version(server: str) -> bool:
    return re.search(r"/v\d", urlsplit(server).path) is not None


def _redirect_target(response: httpx2.Response, words: Redactor) -> str:
    """Return the base URL that a redirect leads to, without a query, which may hold a secret."""
    location = response.headers.get("location", "")
    if not location:
        return ""
    try:
        parts = urlsplit(str(response.request.url.join(location)))
        host = parts.netloc.rpartition("@")[2]
        target = urlunsplit((parts.scheme, host, parts.path, "", ""))
    except (ValueError, httpx2.InvalidURL):
        return "an invalid address"
    for endpoint in _ENDPOINTS:
        target = target.rstrip("/").removesuffix(endpoint)
    return words.clean(target)


def _plain_text(response: httpx2.Response, body: bytes, words: Redactor) -> str:
    """Return an error that is written as plain text."""
    is_plain = response.headers.get("content-type", "").startswith("text/plain")
    return words.clean(body.decode(errors="replace")) if is_plain and len(body) <= _MAX_PLAIN_TEXT else ""


def _proxy_name(server: str) -> str:
    """Return the proxy through which `server` is asked, without its password; empty if there is none."""
    url = urlsplit(server)
    if (url.hostname or "") in LOOPBACK:
        return ""
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(url.hostname or ""):
        return ""
    return f"The proxy {clean_line(proxy.rpartition('@')[2].rpartition('//')[2], 100)}, set in the environment,"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
