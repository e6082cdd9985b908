"""Faults that no command line may show, whatever goes into it."""

import json
import re

from click.testing import CliRunner, Result

from parley.cli.main import root

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_USAGE = re.compile(r"(?:Usage: .*\nTry '.*' for help\.\n)?Error: .*\n")
_MAX_LINE = 1100


def run_and_check(arguments: list[str], stdin: bytes = b"") -> Result:
    """Run a command inside this process, and check what any of them must hold to."""
    result = CliRunner().invoke(root, arguments, input=stdin)
    check(result, is_json="--json" in arguments)
    return result


def check(result: Result, *, is_json: bool = False) -> None:
    """Raise `AssertionError` for a traceback, an unknown exit code, long errors or control characters."""
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code in (0, 1, 2), result.exit_code
    output, errors = result.stdout_bytes.decode(), result.stderr_bytes.decode()
    for text in (output, errors):
        if found := _CONTROLS.search(text):
            raise AssertionError(f"{found[0]!r} in {text[max(found.start() - 50, 0) : found.end() + 50]!r}")
    notices = _USAGE.sub("", errors, count=1)
    for line in notices.splitlines():
        assert line.startswith("parley: "), line
        assert len(line) <= _MAX_LINE, line[:200]
    if result.exit_code != 0 and not output:
        assert errors, "it fails without a word"
    if is_json and result.exit_code == 0 and not output.startswith("Usage"):
        _parse(output)


def _parse(output: str) -> None:
    """Parse JSON, or JSON lines."""
    try:
        json.loads(output or "null")
    except ValueError:
        for line in output.splitlines():
            json.loads(line)
