"""Progress on standard error: a line that is redrawn on a terminal, and plain lines elsewhere.

Rich is not used: importing `rich.progress` takes 28 ms, where all of `parley --help` takes 100 ms, and its output for
pipes and log files is no line per event, so that half of this module would stay.
"""

import sys
import threading
import time
from collections.abc import Callable
from typing import Self

from assistant.formatting import format_bytes
from parley.cli.terminal import is_terminal, notify, one_line, write_error

_BAR_WIDTH = 24
_REDRAW_SECONDS = 0.1
_SECONDS_EVERY = 0.5
_NOTIFY_SECONDS = 30.0


class ProgressLine:
    """A `Progress` callback: a bar on a terminal, elsewhere one line for each label. A context manager.

    Where the total is unknown, a terminal shows the seconds instead, which go on while nothing is reported.
    """

    def __init__(self, format_amount: Callable[[int], str] = format_bytes) -> None:
        """Create a progress line. `format_amount` formats amounts that are not bytes."""
        self._format_amount = format_amount
        self._label = ""
        self._begun_at = self._drawn_at = 0.0
        self._bar_open = self._counts_seconds = False
        self._on_terminal = is_terminal(sys.stderr)
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        if self._on_terminal:
            threading.Thread(target=self._count_seconds, name="progress", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        with self._lock:
            self._end_bar()

    def __call__(self, label: str, done: int, total: int) -> None:
        """Show that `done` of `total` bytes are done; a total of 0 is unknown."""
        now = time.monotonic()
        with self._lock:
            if label != self._label:
                self._end_bar()
                self._label, self._begun_at, self._drawn_at = label, now, 0.0
                if not self._on_terminal:
                    notify(f"{label}{f' ({self._format_amount(total)})' if total else ''}")
            self._counts_seconds = not done and not total
            if self._on_terminal and (now - self._drawn_at >= _REDRAW_SECONDS or done == total):
                self._drawn_at = now
                self._bar_open = True
                self._redraw(done, total)

    def _count_seconds(self) -> None:
        while not self._ended.wait(_SECONDS_EVERY):
            with self._lock:
                if self._bar_open and self._counts_seconds and not self._ended.is_set():
                    self._redraw(0, 0)

    def _redraw(self, done: int, total: int) -> None:
        if self._counts_seconds:
            seconds = int(time.monotonic() - self._begun_at)
            _redraw(f"{self._label} …  {format_elapsed(seconds)}" if seconds else f"{self._label} …")
        else:
            _redraw(_bar(self._label, done, total, self._format_amount))

    def _end_bar(self) -> None:
        if self._bar_open:
            self._bar_open = False
            write_error("\n")


class RunProgress:
    """Progress of a run over many files: files done, speed, time left, failures.

    One redrawn line on a terminal, elsewhere a line every 30 seconds. A run over one file shows nothing.
    """

    def __init__(self, label: str, total: int, already_done: int = 0) -> None:
        """Start the clock. `already_done` of the `total` files were done before this run."""
        self._label = label
        self._total = total
        self._already_done = already_done
        self._done = 0
        self._failed = 0
        self._started_at = self._drawn_at = time.monotonic()
        self._on_terminal = is_terminal(sys.stderr) and total > 1
        self._interval = _REDRAW_SECONDS if self._on_terminal else _NOTIFY_SECONDS

    def step(self, *, failed: bool) -> None:
        """Count one more file."""
        self._done += 1
        self._failed += failed
        now = time.monotonic()
        if now - self._drawn_at >= self._interval and self._total > 1:
            self._drawn_at = now
            text = self.text(now - self._started_at)
            if self._on_terminal:
                _redraw(text)
            else:
                notify(text)

    def clear(self) -> None:
        """Clear the line, before something else is written to the terminal."""
        if self._on_terminal:
            _redraw("")
            self._drawn_at = 0.0

    def text(self, seconds: float) -> str:
        """Return the progress `seconds` after the start, such as "caption 650 of 2,000 · 1.5/s · 15 min left"."""
        done = self._already_done + self._done
        parts = [f"{self._label} {done:,} of {self._total:,}"]
        if self._done and seconds > 0:
            rate = self._done / seconds
            parts.append(f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each")
            if left := self._total - done:
                parts.append(f"{format_elapsed(left / rate)} left")
        if self._failed:
            parts.append(f"{self._failed:,} failed")
        return " · ".join(parts)

    def finish(self, advice: str = "") -> None:
        """Print a summary of the run. `advice` says how to continue a run that was stopped."""
        self.clear()
        if self._total > 1 and self._done:
            seconds = time.monotonic() - self._started_at
            failed = f", of which {self._failed:,} failed" if self._failed else ""
            left = self._total - self._already_done - self._done
            stopped = f" {left:,} are left.{f' {advice}' if advice else ''}" if left else ""
            notify(f"{self._label}: {self._done:,} done in {format_elapsed(seconds)}{failed}.{stopped}")


def format_elapsed(seconds: float) -> str:
    """Format a time as people say it: "8 s", "3 min", "2 h 5 min"."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def format_duration(seconds: int) -> str:
    """Format the length of a recording as players do: "0:07", "1:02:03"."""
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}" if minutes >= 60 else f"{minutes}:{seconds:02}"


def _bar(label: str, done: int, total: int, format_amount: Callable[[int], str]) -> str:
    if not total:
        return f"{label}  {format_amount(done)}"
    filled = _BAR_WIDTH * min(done, total) // total
    drawn = "━" * filled + "─" * (_BAR_WIDTH - filled)
    return f"{label}  {drawn}  {100 * min(done, total) // total:3} %  of {format_amount(total)}"


def _redraw(text: str) -> None:
    write_error(f"\r\x1b[K{one_line(text)}")
