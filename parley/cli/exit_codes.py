"""Exit codes: how a command ends, with at most one line that says why, after the usage if that is wrong."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from assistant.errors import ConfigError, ParleyError, SkillUsageError, first_line
from assistant.text_cleaning import clean_line
from parley.cli.terminal import describe_write_error, discard, notify, write_error

FAILED = 1
INVALID_USAGE = 2
"""The code of click, too."""
INTERRUPTED = 130
"""After Ctrl-C: 128 plus the number of SIGINT, as in shells. `signals` has those of other signals."""
CLOSED_PIPE = 141
"""The reader of standard output has gone: 128 plus the number of SIGPIPE, as in shells."""

_MAX_MESSAGE = 500


@contextmanager
def exit_after_errors() -> Iterator[None]:
    """Turn each error of the block that a user can act on into a line on standard error and an exit code.

    Raises:
        SystemExit: The block has ended with such an error, with Ctrl-C, or by itself.
    """
    try:
        yield
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
    except click.ClickException as error:
        _report_usage(error)
        sys.exit(error.exit_code)
    except ParleyError as error:
        notify(str(error))
        sys.exit(INVALID_USAGE if isinstance(error, ConfigError | SkillUsageError) else FAILED)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        discard(sys.stdout)
        sys.exit(CLOSED_PIPE)
    except OSError as error:
        # In practice standard output on a full disk: code that opens files translates its own errors.
        discard(sys.stdout)
        if error.filename:
            notify(f"{error.filename} cannot be used: {first_line(error)}.")
        else:
            notify(f"The output cannot be written: {describe_write_error(error)}.")
        sys.exit(FAILED)
    except MemoryError:
        notify("There is not enough memory for this: close other programs, or give less at once.")
        sys.exit(FAILED)


def _report_usage(error: click.ClickException) -> None:
    """Write the usage of the command and what is wrong with its arguments."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return
    lines = []
    if isinstance(error, click.UsageError) and error.ctx is not None:
        usage = clean_line(error.ctx.get_usage(), _MAX_MESSAGE)
        lines += [usage, f"Try '{error.ctx.command_path} --help' for help."]
    lines.append(f"Error: {clean_line(error.format_message(), _MAX_MESSAGE)}")
    write_error("\n".join(lines) + "\n")
