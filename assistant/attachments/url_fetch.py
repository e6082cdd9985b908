"""Fetch images from URLs without access to the local network (SSRF protection).

A URL may come from a pasted page or another program, so it is treated as hostile:

    URL ─▶ scheme, host ─▶ every address of the host ─▶ all public? ─▶ connect to a checked address ─▶ body, counted
      ▲                                                                        │
      └──────────────────────── a redirect starts again, at most 5 times ◀─────┘

The socket is opened to the address that was checked, so that DNS rebinding (a name that resolves differently after the
check) gains nothing. Proxies are not used, since behind one the address could not be checked.
"""

import http.client
import io
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from assistant.errors import AttachmentError, http_status
from assistant.text_cleaning import clean_line

MAX_BYTES = 32 * 2**20
MAX_REDIRECTS = 5
DEADLINE_SECONDS = 60.0
CONNECT_SECONDS = 10.0

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Sequence[Address]]
IsAllowed = Callable[[Address], bool]

_CHUNK = 64 * 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# IPv6 global unicast, and ranges inside it that are tunnels or reserved: tunnels wrap addresses of any kind.
_IPV6_UNICAST = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC = (
    ipaddress.ip_network("192.0.0.0/24"),
    ipaddress.ip_network("192.88.99.0/24"),
    ipaddress.ip_network("2001::/23"),
    ipaddress.ip_network("2002::/16"),
    ipaddress.ip_network("3fff::/20"),
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True)
class Download:
    """Body of a response, and the file name in its URL."""

    data: bytes
    name: str


def is_public(address: Address) -> bool:
    """Return True for ordinary addresses of the Internet.

    False for private, loopback, link-local, multicast and reserved addresses, for tunnels, and for IPv6 forms of such
    IPv4 addresses.
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address in _NAT64:
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if address not in _IPV6_UNICAST:
            return False
    if any(address.version == network.version and address in network for network in _NOT_PUBLIC):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def resolve(host: str, port: int) -> list[Address]:
    """Return the addresses of `host` in the system's order. Raises `OSError` if there are none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [ipaddress.ip_address(entry[4][0]) for entry in found]


def fetch(
    url: str,
    *,
    resolve: Resolve = resolve,
    is_allowed: IsAllowed = is_public,
    max_bytes: int = MAX_BYTES,
    deadline_seconds: float = DEADLINE_SECONDS,
    context: ssl.SSLContext | None = None,
) -> Download:
    """Download an http(s) URL.

    Args:
        url: The URL.
        resolve: Return the addresses of a host and port.
        is_allowed: Return True for addresses that may be connected to.
        max_bytes: Largest body.
        deadline_seconds: Time for everything, including redirects.
        context: TLS context, by default that of the system.

    Raises:
        AttachmentError: Anything on the way is refused or fails.
    """
    deadline = time.monotonic() + deadline_seconds
    parts = _checked_url(url)
    for _ in range(MAX_REDIRECTS + 1):
        try:
            addresses = _checked_addresses(parts, resolve, is_allowed)
            response = _request(parts, addresses, deadline, context)
            with response:
                if response.status in _REDIRECTS and (location := response.headers.get("Location")):
                    parts = _checked_url(location, base=parts.geturl())
                    continue
                if response.status != HTTPStatus.OK:
                    raise AttachmentError(
                        f"{redacted_url(parts)} answered {http_status(response.status)}: check the link."
                    )
                return Download(_body(response, redacted_url(parts), max_bytes, deadline), _name(parts))
        except TimeoutError as error:
            raise AttachmentError(f"{redacted_url(parts)} took too long to answer: try again later.") from error
        except ssl.SSLError as error:
            raise AttachmentError(
                f"{parts.hostname} has no valid certificate, so nothing was fetched: check the link."
            ) from error
        except (OSError, http.client.HTTPException, UnicodeError, ValueError) as error:
            raise AttachmentError(
                f"{redacted_url(parts)} could not be fetched: check the link and the network connection."
            ) from error
    raise AttachmentError(f"{redacted_url(parts)} redirects more than {MAX_REDIRECTS} times: use the picture's link.")


def redacted_url(parts: SplitResult) -> str:
    """Return a URL for messages: without user name, password and query, which may be secrets."""
    host = parts.hostname or ""
    return clean_line(f"{parts.scheme}://{host}{parts.path}", 100)


def _checked_url(url: str, base: str = "") -> SplitResult:
    try:
        parts = urlsplit(urljoin(base, url.strip()))
        port_is_valid = parts.port != 0
    except ValueError as error:
        raise AttachmentError("That link is not a valid address: check it.") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_valid:
        raise AttachmentError(f"{redacted_url(parts)} is no http or https link: use one of these, or a file.")
    if parts.username is not None or parts.password is not None:
        raise AttachmentError(f"The link to {parts.hostname} carries a user name or password: take it out.")
    return parts


def _checked_addresses(parts: SplitResult, resolve: Resolve, is_allowed: IsAllowed) -> Sequence[Address]:
    host = parts.hostname or ""
    try:
        addresses = resolve(host, _port(parts))
    except (OSError, UnicodeError) as error:
        raise AttachmentError(f"{host} was not found: check the link and the network connection.") from error
    if not addresses or not all(is_allowed(address) for address in addresses):
        raise AttachmentError(
            f"{host} is inside a private or local network, where links may not lead: save the picture to a file first."
        )
    return addresses


def _request(
    parts: SplitResult, addresses: Iterable[Address], deadline: float, context: ssl.SSLContext | None
) -> http.client.HTTPResponse:
    """Send the request to the first of `addresses` that accepts a connection, with the host name of the URL."""
    host = parts.hostname or ""
    raw = _connect(addresses, _port(parts), deadline)
    try:
        if parts.scheme == "https":
            context = context or ssl.create_default_context()
            raw = context.wrap_socket(raw, server_hostname=host)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(host, _port(parts))
        # With a socket set, http.client does not resolve the name again.
        connection.sock = _SocketWithDeadline(raw, deadline)
        target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
        query = quote(parts.query, safe="/%:@!$&'()*+,;=~-._?[]")
        headers = {"User-Agent": "parley", "Accept": "image/*", "Accept-Encoding": "identity", "Connection": "close"}
        connection.request("GET", f"{target}?{query}" if query else target, headers=headers)
        return connection.getresponse()
    except BaseException:
        raw.close()
        raise


def _connect(addresses: Iterable[Address], port: int, deadline: float) -> socket.socket:
    failure: OSError = OSError("no address")
    for address in addresses:
        try:
            seconds = min(CONNECT_SECONDS, _remaining(deadline))
            return socket.create_connection((str(address), port), timeout=seconds)
        except OSError as error:
            failure = error
    raise failure


class _Socket(Protocol):
    def settimeout(self, seconds: float, /) -> None: ...
    def recv_into(self, buffer: bytearray | memoryview, /) -> int: ...
    def close(self) -> None: ...


class _BytesWithDeadline(io.RawIOBase):
    """Incoming bytes of a socket. A server that sends a byte now and then cannot exceed the deadline."""

    def __init__(self, raw: _Socket, deadline: float) -> None:
        super().__init__()
        self._raw = raw
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._raw.settimeout(_remaining(self._deadline))
        return self._raw.recv_into(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _SocketWithDeadline:
    """The methods of a socket that http.client calls, with a deadline for all of them together."""

    def __init__(self, raw: socket.socket, deadline: float) -> None:
        self._raw = raw
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        self._raw.settimeout(_remaining(self._deadline))
        self._raw.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        del mode  # always "rb": requests go through sendall
        return io.BufferedReader(_BytesWithDeadline(self._raw, self._deadline))

    def close(self) -> None:
        """Do nothing: the response is still being read, and closes the socket itself."""


def _remaining(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


def _body(response: http.client.HTTPResponse, displayed: str, max_bytes: int, deadline: float) -> bytes:
    too_large = AttachmentError(
        f"{displayed} is larger than the {max_bytes / 2**20:g} MB that are fetched: save a smaller version to a file."
    )
    expected = response.length
    if expected is not None and expected > max_bytes:
        raise too_large
    body = bytearray()
    while chunk := response.read1(_CHUNK):
        body += chunk
        if len(body) > max_bytes:
            raise too_large
        _remaining(deadline)
    if expected is not None and len(body) < expected:
        raise AttachmentError(f"{displayed} was cut short on the way: try again.")
    return bytes(body)


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _name(parts: SplitResult) -> str:
    return unquote(parts.path).rstrip("/").rpartition("/")[2] or parts.hostname or ""
