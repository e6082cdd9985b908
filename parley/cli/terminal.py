"""Standard output for answers, standard error for everything else: notices, failures and progress."""

import logging
import os
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

import click

from assistant.formatting import format_bytes

BAR_WIDTH = 24
REDRAW_SECONDS = 0.1
RETELL_SECONDS = 30.0

UNPRINTABLE = dict.fromkeys((*range(0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0)))
"""Control characters but for tab and newline: in an answer or a file's name they could only drive the terminal."""


def write_out(text: str) -> None:
    """Write a piece of an answer to standard output, at once. Raises `OSError` if it cannot be written."""
    click.echo(text.translate(UNPRINTABLE), nl=False)


def notify(sentence: str) -> None:
    """Say something on standard error that is not part of an answer."""
    # With standard error gone there is nobody left to tell.
    with suppress(OSError):
        click.echo(f"parley: {' '.join(sentence.split()).translate(UNPRINTABLE)}", err=True)


def read_input(limit: int = -1) -> bytes:
    """Standard input to its end, or its first `limit` bytes; nothing where it is closed."""
    return sys.stdin.buffer.read(limit) if sys.stdin else b""


def decode_argument(argument: str) -> str:
    """An argument of the command line as text: bytes of it that are no UTF-8 show as replacement characters."""
    # Python hides such bytes in lone surrogates, which paths need and which no file or database takes as text.
    return os.fsencode(argument).decode(errors="replace")


def discard_output() -> None:
    """Send what is still buffered for a reader that has gone nowhere, so that Python does not complain at its exit."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def ensure_terminal_size() -> None:
    """Give the terminal of standard output a size if it says 0 × 0, as one opened by another program may.

    What draws pictures in terminals divides by it.
    """
    terminal = sys.stdout.fileno()
    if 0 in os.get_terminal_size(terminal) and sys.platform != "win32":
        import termios

        termios.tcsetwinsize(terminal, (24, 80))


def survive_any_encoding() -> None:
    """Show a replacement for what a terminal cannot, or what is no text, rather than fail."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        # Any of the three may have been closed by the caller, and tests put others in their places.
        with suppress(AttributeError):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]


def silence_libraries() -> None:
    """Keep advice, warnings and progress bars of libraries off the screen. To be called before they are imported.

    What a person can act on arrives as an `ParleyError`. Variables that are set already stay as they are, and
    `python -W` brings the warnings back.
    """
    for variable, value in {
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        # Its warnings count retries, and each failure ends in a sentence anyway.
        "HF_HUB_VERBOSITY": "error",
        "TOKENIZERS_PARALLELISM": "false",
        "TORCH_CPP_LOG_LEVEL": "ERROR",
        "TQDM_DISABLE": "1",
        "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
        "TRANSFORMERS_VERBOSITY": "error",
    }.items():
        os.environ.setdefault(variable, value)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    # Without any handler Python prints warnings that were logged to standard error itself.
    logging.getLogger().addHandler(logging.NullHandler())


def format_duration(seconds: int) -> str:
    """Seconds as players show them."""
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}" if minutes >= 60 else f"{minutes}:{seconds:02}"


class ProgressLine:
    """Progress on standard error: a bar that grows on a terminal, elsewhere one line for each thing that is done."""

    def __init__(self, measure: Callable[[int], str] = format_bytes) -> None:
        self._measure = measure
        self._what = ""
        self._drawn = 0.0
        self._open = False
        self._bar = sys.stderr is not None and sys.stderr.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end_bar()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show that of `what`, `done` bytes of `total` are there; a total of 0 is not known.

        They are bytes unless `measure` makes words of something else.
        """
        if what != self._what:
            self._end_bar()
            self._what = what
            self._drawn = 0.0
            if not self._bar:
                notify(f"{what}{f' ({self._measure(total)})' if total else ''}")
        now = time.monotonic()
        if self._bar and (now - self._drawn >= REDRAW_SECONDS or done == total):
            self._drawn = now
            self._open = True
            with suppress(OSError):
                click.echo(f"\r\x1b[K{bar(what, done, total, self._measure)}", nl=False, err=True)

    def _end_bar(self) -> None:
        if self._open:
            self._open = False
            with suppress(OSError):
                click.echo(err=True)


def bar(what: str, done: int, total: int, measure: Callable[[int], str] = format_bytes) -> str:
    """One line that shows how far `what` is; `done` and `total` in bytes, or in what `measure` makes words of."""
    if not total:
        return f"{what}  {measure(done)}"
    filled = BAR_WIDTH * min(done, total) // total
    drawn = "━" * filled + "─" * (BAR_WIDTH - filled)
    return f"{what}  {drawn}  {100 * min(done, total) // total:3} %  of {measure(total)}"


class RunProgress:
    """How far a long run is, how fast it goes and when it will be done, on standard error.

    A line that is drawn again and again on a terminal; elsewhere a line now and then. `already` of the `total` things
    had been done before this run.
    """

    def __init__(self, what: str, total: int, already: int = 0) -> None:
        self._what = what
        self._total = total
        self._already = already
        self._done = 0
        self._failed = 0
        self._started = self._drawn = time.monotonic()
        self._line = sys.stderr is not None and sys.stderr.isatty() and total > 1
        self._every = REDRAW_SECONDS if self._line else RETELL_SECONDS

    def step(self, *, failed: bool) -> None:
        """One more is done."""
        self._done += 1
        self._failed += failed
        now = time.monotonic()
        if now - self._drawn >= self._every and self._total > 1:
            self._drawn = now
            self._show(self.text(now - self._started))

    def clear(self) -> None:
        """Take the line away, because something else is about to be written."""
        if self._line:
            with suppress(OSError):
                click.echo("\r\x1b[K", nl=False, err=True)
            self._drawn = 0.0

    def text(self, seconds: float) -> str:
        """How things are, `seconds` after the start."""
        done = self._already + self._done
        parts = [f"{self._what} {done:,} of {self._total:,}"]
        if self._done and seconds > 0:
            rate = self._done / seconds
            parts.append(f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each")
            if left := self._total - done:
                parts.append(f"{duration(left / rate)} left")
        if self._failed:
            parts.append(f"{self._failed:,} failed")
        return " · ".join(parts)

    def finish(self, how_to_go_on: str = "") -> None:
        """Say how it went, if it was more than one thing, and of a run that did not get to its end `how_to_go_on`."""
        self.clear()
        if self._total > 1 and self._done:
            seconds = time.monotonic() - self._started
            failed = f", of which {self._failed:,} failed" if self._failed else ""
            left = self._total - self._already - self._done
            stopped = f" {left:,} are left.{f' {how_to_go_on}' if how_to_go_on else ''}" if left else ""
            notify(f"{self._what}: {self._done:,} done in {duration(seconds)}{failed}.{stopped}")

    def _show(self, text: str) -> None:
        if self._line:
            with suppress(OSError):
                click.echo(f"\r\x1b[K{text}", nl=False, err=True)
        else:
            notify(text)


def duration(seconds: float) -> str:
    """A time as people say it: "8 s", "3 min", "2 h 5 min"."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
