"""Run `parley` inside the test, or in a process of its own."""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import IO, Any

from click.testing import CliRunner, Result

from parley.cli.main import root

SHORT_CAPTION = "You said: Describe the photo. (and showed {})"
"""Caption by the scripted model of the image called {}."""


def run(*arguments: str, stdin: str | bytes | None = None) -> Result:
    """Run a command inside this process."""
    return CliRunner().invoke(root, arguments, input=stdin)


def command(*arguments: str | bytes) -> list[str | bytes]:
    """Return the command line for a process."""
    return [sys.executable, "-m", "parley", *arguments]


def start(
    *arguments: str | bytes, stdin: int | IO[Any] = subprocess.DEVNULL, **options: Any
) -> "subprocess.Popen[bytes]":
    """Start a process with pipes for its output."""
    return subprocess.Popen(command(*arguments), stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def finish(arguments: Sequence[str | bytes], **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run a process to its end."""
    return subprocess.run(command(*arguments), check=False, capture_output=True, text=True, timeout=60, **options)


def saved_conversations() -> list[dict[str, Any]]:
    """Return the saved conversations, the latest first, as `parley history list --json` prints them."""
    conversations: list[dict[str, Any]] = json.loads(run("history", "list", "--json").stdout)
    return conversations


def last_messages() -> list[dict[str, Any]]:
    """Return the messages of the latest conversation, as `parley history show --json` prints them."""
    shown = json.loads(run("history", "show", saved_conversations()[0]["id"], "--json").stdout)
    messages: list[dict[str, Any]] = shown["messages"]
    return messages


def parse_records(text: str) -> list[dict[str, Any]]:
    """Parse JSON lines, such as those of a results file."""
    return [json.loads(line) for line in text.splitlines()]


def image_names(text: str) -> list[str]:
    """Return the image of each record of a results file."""
    return [record["photo"] for record in parse_records(text)]
