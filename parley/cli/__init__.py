"""The command line.

Modules here import at the top only what help needs. A command imports the rest when it runs, so that help is instant.

Read in this order: `main` (the chat, and the list of commands), `group` (errors, help, skills as commands), `options`,
`terminal`, `progress` and `table` (output), `transcript_printer` and `chat` (turns as text), then one module per
command. `skills` and `batch` run skills over files.
"""

import signal
import sys

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 plus the number of SIGINT, as in shells."""


def main() -> None:
    """Run the command line and exit.

    Exit codes: 0 success, 1 an error, 2 invalid usage or settings, 129 SIGHUP, 130 Ctrl-C, 141 a closed pipe,
    143 SIGTERM.
    """
    from parley.cli.signals import handled

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
