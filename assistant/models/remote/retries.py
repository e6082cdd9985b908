"""Failed requests, and when to try them again."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from assistant.errors import ModelError

IsCancelled = Callable[[], bool]
"""Polled during a wait; True ends the request. An exception it raises ends the request as well and passes through."""

RETRY_DELAYS = (0.5, 1.0, 2.0)
"""Seconds before the second, third and fourth attempt."""
MAX_RETRY_DELAY = 60.0
"""Seconds. A server that asks for a longer delay (Retry-After) is not tried again."""

POLL_SECONDS = 0.02
"""Seconds between two checks for cancellation."""


class ServerError(ModelError):
    """A request to the server failed.

    Attributes:
        retryable: True if another attempt may succeed.
        status: HTTP status; 0 if there was no response.
        body: First megabytes of the response.
        retry_after: Seconds after which the server asks to be tried again; None if it does not say.
    """

    def __init__(
        self,
        message: str,
        *,
        retryable: bool = False,
        status: int = 0,
        body: bytes = b"",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.status = status
        self.body = body
        self.retry_after = retry_after


class RetryPolicy:
    """The attempts left for one request."""

    def __init__(self, delays: tuple[float, ...] = RETRY_DELAYS) -> None:
        """Allow one more attempt after each of `delays` (seconds)."""
        self._delays = list(delays)

    def wait(self, error: ServerError, is_cancelled: IsCancelled) -> None:
        """Wait before the next attempt, at least as long as the server asks. Raises `error` if there is none."""
        if not error.retryable or not self._delays:
            raise error
        delay = max(self._delays.pop(0), error.retry_after or 0)
        if delay > MAX_RETRY_DELAY:
            raise error
        end = time.monotonic() + delay
        while (remaining := end - time.monotonic()) > 0 and not is_cancelled():
            time.sleep(min(remaining, POLL_SECONDS))


def parse_retry_after(header: str) -> float | None:
    """Return the seconds from now in a Retry-After header, which holds a number or a date; None if it is neither."""
    if header.strip().isdecimal():
        return float(header)
    try:
        date = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
