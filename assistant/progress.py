"""Callbacks through which long work reports to whoever started it."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Progress callback: (label, done_bytes, total_bytes). `total_bytes` is 0 if unknown.

Long work calls it often; an exception it raises ends the work.
"""

OnNotice = Callable[[str], object]
"""Receives sentences that a person should read and that are no error."""


def no_progress(label: str, done_bytes: int, total_bytes: int) -> None:
    """Ignore progress: the default where nobody watches."""


def no_notice(text: str) -> None:
    """Ignore notices: the default where nobody reads them."""
