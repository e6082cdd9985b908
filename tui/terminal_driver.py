"""The terminal as the app sees it: bytes of any kind become keys and pastes, and one that has gone takes all output.

    bytes ─▶ UTF-8, U+FFFD for what is none ─▶ XTermParser ─▶ keys, pastes, mouse, sizes

Textual's own driver ends the app at the first byte that is not UTF-8, such as one "é" of a Latin-1 terminal, and at
some escape sequences.
"""

import os
import re
import selectors
from codecs import getincrementaldecoder
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, cast

from textual import events
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

from assistant.text_cleaning import valid_unicode

if TYPE_CHECKING:
    from io import TextIOWrapper

MIN_COLUMNS, MIN_ROWS = 12, 4
"""Smallest terminal that is drawn: text cannot be wrapped into no columns."""
MAX_COLUMNS, MAX_ROWS = 2000, 1000
"""Largest terminal that is drawn. An escape sequence in pasted text can claim any size."""

_BURST_CHARACTERS = 256
_READ_BYTES = 65536
_POLL_SECS = 0.05
_MAX_PASTE_PAUSE_SECS = 3.0
_PIECES = re.compile(r"\x1b\[[\d;:<?]*[@-~]?|\x1b|[^\x1b]+")
_PASTE_BEGINS, _PASTE_ENDS = "\x1b[200~", "\x1b[201~"


class TerminalDriver(LinuxDriver):
    """Reads and draws on a terminal of Linux or macOS."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._file = cast("TextIOWrapper", _Output(cast("IO[str]", self._file)))

    def run_input_thread(self) -> None:
        """Read until the app ends or the terminal has gone."""
        reader = InputReader()
        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                if not selector.select(_POLL_SECS):
                    self._send(reader.idle())
                elif data := self._read():
                    self._send(reader.feed(data))
                else:
                    return

    def _read(self) -> bytes:
        try:
            return os.read(self.fileno, _READ_BYTES)
        except OSError:  # The terminal has gone; the app is told by SIGHUP or notices it.
            return b""

    def _send(self, messages: Iterator[Message]) -> None:
        for message in messages:
            with suppress(RuntimeError):  # The event loop is closed.
                self.process_message(message)

    def _get_terminal_size(self) -> tuple[int, int]:
        return drawn_size(*super()._get_terminal_size())


def drawn_size(columns: int, rows: int) -> tuple[int, int]:
    """Return the size in which a terminal of this size is drawn. A smaller one shows a part of it."""
    return min(max(columns, MIN_COLUMNS), MAX_COLUMNS), min(max(rows, MIN_ROWS), MAX_ROWS)


class InputReader:
    """Turns the bytes of a terminal into messages, whatever the bytes are."""

    def __init__(self) -> None:
        self._decode = getincrementaldecoder("utf-8")("replace").decode
        self._parser = XTermParser()
        self._unfinished = ""
        """The end of what was read, if a mark of a paste may begin there."""
        self._pasted: list[str] | None = None
        """Pieces of the paste that has begun."""
        self._idle_polls = 0

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yield the messages in `data`, which may end in the middle of a character or of an escape sequence."""
        self._idle_polls = 0
        text = self._unfinished + self._decode(data)
        while text:
            mark = _PASTE_BEGINS if self._pasted is None else _PASTE_ENDS
            before, found, text = text.partition(mark)
            if not found:
                before, self._unfinished = _split_unfinished(before, mark)
            else:
                self._unfinished = ""
            if self._pasted is None:
                yield from self._keys(before)
                self._pasted = [] if found else None
            else:
                self._pasted.append(before)
                if found:
                    yield from self._end_paste()

    def idle(self) -> Iterator[Message]:
        """Yield what was held back. Call this when nothing has come for `_POLL_SECS`."""
        self._idle_polls += 1
        if self._pasted is None:
            unfinished, self._unfinished = self._unfinished, ""
            yield from self._parse(unfinished)
        elif self._idle_polls * _POLL_SECS > _MAX_PASTE_PAUSE_SECS:
            # A paste without an end would take every key from here on.
            yield from self._end_paste()
        with suppress(*_PARSER_ERRORS):
            yield from _valid(self._parser.tick())

    def _end_paste(self) -> Iterator[Message]:
        # Some terminals send carriage returns, and a NUL stops others.
        text = "".join(self._pasted or ()).replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
        self._pasted = None
        yield events.Paste(text)

    def _keys(self, text: str) -> Iterator[Message]:
        # Piece by piece, so that an escape sequence on which the parser fails takes nothing with it.
        for piece in _PIECES.findall(text):
            if len(piece) < _BURST_CHARACTERS or piece.startswith("\x1b"):
                yield from self._parse(piece)
                continue
            # Nobody types as fast: it is pasted on a terminal that does not say so. A key is an event of its own, and
            # a million of them would take minutes. One line that ends with Enter is sent; several are shown first.
            is_line = piece.endswith("\r") and piece.count("\r") == 1
            yield events.Paste((piece.removesuffix("\r") if is_line else piece).replace("\r", "\n"))
            if is_line:
                yield from self._parse("\r")

    def _parse(self, piece: str) -> Iterator[Message]:
        if not piece:  # The parser takes an empty text for the end.
            return
        try:
            yield from _valid(self._parser.feed(piece))
        except _PARSER_ERRORS:
            self._parser = XTermParser()


def _split_unfinished(text: str, mark: str) -> tuple[str, str]:
    """Split `text` before the longest end of it with which `mark` begins."""
    for length in range(min(len(mark) - 1, len(text)), 0, -1):
        if mark.startswith(text[-length:]):
            return text[:-length], text[-length:]
    return text, ""


_PARSER_ERRORS = (ValueError, ArithmeticError, IndexError, RuntimeError, StopIteration)
"""Errors of the parser for numbers out of range: code points, sizes and positions."""


def _valid(messages: Any) -> Iterator[Message]:
    """Yield the messages that make sense, and whose text is valid."""
    for message in messages:
        if isinstance(message, events.Resize):
            columns, rows = message.size
            if (columns, rows) != drawn_size(columns, rows):
                continue
        if isinstance(message, events.Key) and valid_unicode(message.character or "") != (message.character or ""):
            continue
        yield message


class _Output:
    """The file on which the app draws. Once the terminal has gone, it takes everything and does nothing.

    Textual writes from a thread. If that ended with an error, the app would wait for it for ever.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            self._file.write(valid_unicode(text))

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._file.flush()

    def fileno(self) -> int:
        return self._file.fileno()
