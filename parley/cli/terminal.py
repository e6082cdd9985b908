"""Standard streams: replies and results go to standard output, notices and errors to standard error."""

import logging
import os
import sys
import warnings
from contextlib import suppress
from typing import IO

import click

UNPRINTABLE = dict.fromkeys((*range(0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0)))
"""Control characters except tab and newline. In a reply or a file name they could only control the terminal."""


def write_out(text: str) -> None:
    """Write to standard output, unbuffered. Raises `OSError` if that fails."""
    click.echo(text.translate(UNPRINTABLE), nl=False)


def notify(text: str) -> None:
    """Write a line to standard error, after the program's name."""
    # With standard error closed nobody can be notified.
    with suppress(OSError):
        click.echo(f"parley: {' '.join(text.split()).translate(UNPRINTABLE)}", err=True)


def read_input(limit: int = -1) -> bytes:
    """Return standard input, or its first `limit` bytes. A closed one is empty."""
    return sys.stdin.buffer.read(limit) if sys.stdin else b""


def is_terminal(*streams: IO[str] | None) -> bool:
    """Return True if all `streams` are open and connected to a terminal."""
    return all(stream is not None and stream.isatty() for stream in streams)


def decode_argument(argument: str) -> str:
    """Return an argument as valid Unicode, with U+FFFD for bytes that are not UTF-8."""
    # Python keeps such bytes as lone surrogates, which paths need but no file or database accepts as text.
    return os.fsencode(argument).decode(errors="replace")


def discard_output() -> None:
    """Discard what is buffered for a reader that has gone, or Python reports an error when it exits."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
