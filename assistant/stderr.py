"""Keep what libraries print on standard error off the screen.

PortAudio, ALSA and PulseAudio write to file descriptor 2 directly, past Python's `sys.stderr`, and a full-screen app
draws there. Two ways to keep them out:

    silence_stderr       for the time of a call: nothing at all is printed meanwhile
    reserve_stderr       for the time of an app: only Python's own `sys.stderr` still reaches the terminal
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STDERR = 2
# The descriptor belongs to the whole process: one thread at a time redirects it.
_LOCK = threading.RLock()


@contextmanager
def silence_stderr() -> Iterator[None]:
    """Discard everything that this process prints on standard error inside the block."""
    with _LOCK:
        try:
            saved = os.dup(_STDERR)
        except OSError:  # It is closed, so nothing can appear on it.
            yield
            return
        try:
            _discard(_STDERR)
            yield
        finally:
            os.dup2(saved, _STDERR)
            os.close(saved)


@contextmanager
def reserve_stderr() -> Iterator[None]:
    """Give standard error to Python alone inside the block: what system libraries print there is discarded.

    Libraries print from threads of their own at any time, and Textual draws its screen on standard error.
    """
    standard = sys.__stderr__
    if standard is None or sys.stderr is not standard:
        # Closed, or replaced by somebody else.
        yield
        return
    descriptor = standard.fileno()
    with os.fdopen(os.dup(descriptor), "w", encoding=standard.encoding, errors="replace", buffering=1) as own:
        sys.stderr = sys.__stderr__ = own  # type: ignore[misc]
        _discard(descriptor)
        try:
            yield
        finally:
            os.dup2(own.fileno(), descriptor)
            sys.stderr = sys.__stderr__ = standard  # type: ignore[misc]


def _discard(descriptor: int) -> None:
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), descriptor)
