"""The command line. This module stays light: what a command needs is imported when it runs, so that help is instant."""

import signal
import sys

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells report it: 128 and the number of the signal."""


def main() -> None:
    """Run the command line and exit.

    0 is success, 1 a failure that was named, 2 a command line or a setting that makes no sense, 130 Ctrl-C.
    """
    try:
        from parley.cli.main import root

        root(prog_name="parley")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    finally:
        # Whoever presses Ctrl-C again while Python cleans up means it, and wants no traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
