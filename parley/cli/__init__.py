"""The command line.

Modules here import at the top only what help needs. A command imports the rest when it runs, so that help is instant.

Read in this order: `main` (the chat, and the list of commands), `group` (help, skills as commands, `suggestions`),
`exit_codes` and `signals` (how a command ends), `options`, `terminal`, `progress` and `table` (output),
`transcript_printer` and `chat` (turns as text), then one module per command. `skills` and `batch` run skills over
files.
"""

import os
import signal
import sys
import threading
import traceback
from contextlib import suppress
from types import TracebackType

_SIGNALS_FROM = 128
"""Exit codes above this are those of signals."""


def main() -> None:
    """Run the command line and exit: see `_run`."""
    try:
        _run()
    except SystemExit as end:
        if isinstance(end.code, int) and end.code > _SIGNALS_FROM and threading.active_count() > 1:
            # Native code that still computes on another thread aborts the process if Python ends under it.
            for stream in (sys.stdout, sys.stderr):
                with suppress(OSError, ValueError):
                    stream.flush()
            os._exit(end.code)
        raise


def _run() -> None:
    """Run the command line and exit.

    Exit codes: 0 success, 1 an error, 2 invalid usage or settings, 129 SIGHUP, 130 Ctrl-C, 141 a closed pipe,
    143 SIGTERM.
    """
    from parley.cli.exit_codes import INTERRUPTED
    from parley.cli.signals import handled
    from parley.cli.terminal import replace_closed_streams

    replace_closed_streams()
    sys.excepthook = _print_traceback
    threading.excepthook = lambda fault: _print_traceback(fault.exc_type, fault.exc_value, fault.exc_traceback)
    try:
        with handled():
            from parley.cli.main import root

            root(prog_name="parley")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    finally:
        # A second Ctrl-C while Python cleans up ends the process without a traceback.
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


def _print_traceback(kind: type[BaseException], error: BaseException | None, where: TracebackType | None) -> None:
    """Print the traceback of a fault of the program, cleaned: its message may quote a file or a server."""
    from assistant.text_cleaning import clean_text
    from parley.cli.terminal import write_error

    if error is not None and not issubclass(kind, SystemExit):
        write_error(clean_text("".join(traceback.format_exception(kind, error, where))))
