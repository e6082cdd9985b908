"""Standard streams: replies and results go to standard output, notices and errors to standard error.

All text of the command line passes through `write_out`, `write_json` and `notify`, which clean it.
"""

import errno
import logging
import os
import re
import stat
import sys
import warnings
from collections.abc import Iterator
from contextlib import suppress
from typing import IO

import click

from assistant.errors import first_line
from assistant.text_cleaning import clean_line, clean_text, to_json, valid_unicode

MAX_INPUT_CHARACTERS = 4_000_000
"""Longest text that is read from standard input. The largest contexts hold a million tokens of four characters."""

_LONG_WORD = re.compile(r"(?<!\S)(\S{160})\S{41,}(\S{60})(?!\S)")
_MAX_NOTICE = 700
_MAX_END_OF_NOTICE = 200


def write_out(text: str) -> None:
    """Write to standard output, unbuffered. Raises `OSError` if that fails."""
    click.echo(clean_text(text), nl=False)


def write_json(value: object, indent: int | None = None) -> None:
    """Write `value` as JSON and a newline to standard output. Raises `OSError` if that fails."""
    write_out(to_json(value, indent) + "\n")


def notify(text: str) -> None:
    """Write a line to standard error, after the program's name. Without a standard error nobody can be notified."""
    # A path or an address of an argument may be any length, and the sentence around it should be seen.
    line = _LONG_WORD.sub(r"\1…\2", clean_line(text, len(text) + 1))
    if len(line) > _MAX_NOTICE + _MAX_END_OF_NOTICE:
        # What is long is a quoted name. The advice at the end stays.
        line = f"{line[:_MAX_NOTICE]} … {line[-_MAX_END_OF_NOTICE:]}"
    write_error(f"parley: {line}\n")


def write_error(text: str) -> None:
    """Write to standard error what has been cleaned already."""
    try:
        click.echo(text, nl=False, err=True)
    except (OSError, ValueError):
        discard(sys.stderr)


def write_reasoning(text: str) -> None:
    """Write reasoning, dimmed, to a terminal that also shows the reply; elsewhere it would be taken for the reply."""
    if is_terminal(sys.stdout, sys.stderr):
        text = clean_text(text)
        write_error(text if os.environ.get("NO_COLOR") else click.style(text, dim=True))


def one_line(text: str) -> str:
    """Return `text` cleaned, with its spaces, and on one line."""
    return clean_text(text).replace("\n", " ").replace("\t", " ")


def shown_name(name: str) -> str:
    """Return the name of a file as it is shown: on one line, with U+FFFD for bytes that are not UTF-8."""
    return one_line(decode_argument(name))


def read_input(limit: int = -1) -> bytes:
    """Return standard input, or its first `limit` bytes. A closed one is empty.

    Raises:
        UsageError: It cannot be read.
    """
    try:
        return sys.stdin.buffer.read(limit) if sys.stdin else b""
    except OSError as error:
        raise _unreadable(error) from error


def read_text() -> str:
    """Return the text on standard input.

    Raises:
        UsageError: It cannot be read, is longer than any model reads, or is no text.
    """
    # A character takes four bytes at most. One byte more is enough to refuse an endless stream.
    data = read_input(4 * MAX_INPUT_CHARACTERS + 1)
    if len(data) > 4 * MAX_INPUT_CHARACTERS:
        raise click.UsageError(f"The text on standard input is longer than {MAX_INPUT_CHARACTERS:,} characters.")
    if is_binary(data):
        raise _binary()
    return data.decode("utf-8-sig", errors="replace")


def read_lines() -> Iterator[str]:
    """Yield the lines of standard input, each cut one character after `MAX_INPUT_CHARACTERS`.

    Raises:
        UsageError: It cannot be read, or is no text.
    """
    try:
        # What the stream has buffered stays there.
        if sys.stdin and (peek := getattr(sys.stdin.buffer, "peek", None)) and is_binary(peek()):
            raise _binary()
        while line := sys.stdin.readline(MAX_INPUT_CHARACTERS + 1) if sys.stdin else "":
            if "\0" in line:
                raise _binary()
            yield line
            while line and not line.endswith("\n"):
                line = sys.stdin.readline(MAX_INPUT_CHARACTERS)
    except OSError as error:
        raise _unreadable(error) from error


def is_binary(data: bytes) -> bool:
    """Return True if `data` begins like a picture or another file of a known type, or contains a NUL."""
    from assistant.attachments.file_types import HEAD_BYTES, detect_type

    return b"\0" in data or bool(detect_type(data[:HEAD_BYTES]))


def has_piped_input() -> bool:
    """Return True if somebody has written into a pipe at standard input, and False if there is no telling."""
    try:
        descriptor = sys.stdin.fileno()
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            return False
        import fcntl
        import termios

        waiting = bytearray(4)
        fcntl.ioctl(descriptor, termios.FIONREAD, waiting)
        return any(waiting)
    except (OSError, ValueError, AttributeError, ImportError):
        return False


def _binary() -> click.UsageError:
    return click.UsageError(
        "Standard input is a picture or other binary data, and no text: save a text as UTF-8, and give a picture by "
        "its path, or to `parley ask` with -i."
    )


def _unreadable(error: OSError) -> click.UsageError:
    return click.UsageError(f"Standard input cannot be read: {first_line(error)}.")


def is_terminal(*streams: IO[str] | None) -> bool:
    """Return True if all `streams` are open and connected to a terminal."""
    return all(stream is not None and stream.isatty() for stream in streams)


def decode_argument(argument: str) -> str:
    """Return an argument as valid Unicode, with U+FFFD for bytes that are not UTF-8."""
    # Python keeps such bytes as lone surrogates, which paths need but no file or database accepts as text.
    return valid_unicode(argument)


def discard(stream: IO[str] | None) -> None:
    """Discard what `stream` has buffered and cannot write, or Python reports an error when it exits."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # type: ignore[union-attr]
        os.close(nowhere)


def replace_closed_streams() -> None:
    """Put something in the place of the standard streams that are closed. Call this before any file is opened.

    The next file would get the number of the closed stream, and whatever a library prints would be written into it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is not None:
            continue
        # Open for reading only: writing to standard output fails, so that lost output is no success.
        nowhere = os.open(os.devnull, os.O_WRONLY if name == "stderr" else os.O_RDONLY)
        if nowhere == number:
            os.set_inheritable(number, True)  # noqa: FBT003 - the standard library's
        else:
            os.dup2(nowhere, number)
            os.close(nowhere)
        # Standard input stays None: commands say that it is closed.
        if name != "stdin":
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", errors="replace"))


def describe_write_error(error: OSError) -> str:
    """Return why standard output cannot be written."""
    return "it is closed" if error.errno == errno.EBADF else first_line(error)


def ensure_terminal_size() -> None:
    """Set the terminal of standard output to 80 x 24 if it reports 0 x 0, as a pseudo-terminal may.

    textual-image divides by the size.
    """
    terminal = sys.stdout.fileno()
    if 0 in os.get_terminal_size(terminal) and sys.platform != "win32":
        import termios

        termios.tcsetwinsize(terminal, (24, 80))


def replace_undecodable() -> None:
    """Let the standard streams replace characters they cannot encode or decode, instead of raising an error."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        # The caller may have closed any of them, and tests replace them.
        with suppress(AttributeError):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]


def silence_libraries() -> None:
    """Turn off advice, warnings and progress bars of libraries. Call this before they are imported.

    What the user can act on is raised as a `ParleyError`. Variables that are set already are respected, and `python -W`
    brings the warnings back.
    """
    for variable, value in {
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        # Its warnings count retries; a failure is raised as an error anyway.
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
    # Without a handler Python prints logged warnings to standard error.
    logging.getLogger().addHandler(logging.NullHandler())
