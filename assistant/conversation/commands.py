"""Texts that begin with a slash: the command `/help`, and texts that are sent with their slash.

`model_command` has `/model`; the router of a session knows the others and refuses what is no command.
"""

import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from assistant.events import Event, Notice
from assistant.messages import Message, Text

LITERAL_SLASH = "\\/"
"""Beginning of a text that is no command and is sent with its slash."""

_HELP = re.compile(r"/help[?!.…]*(?:\s+(.*))?", re.DOTALL)
_LITERAL = re.compile(r"\s*\\/(?=[^\W\d_])")


def parse_help_command(text: str) -> str | None:
    """Return the words after "/help", which may be none, or None if `text` is not this command."""
    found = _HELP.fullmatch(text.strip())
    return None if found is None else (found[1] or "").strip()


def is_literal(text: str) -> bool:
    r"""Return True for a text like "\/help me": it is sent without the backslash, and is no command."""
    return _LITERAL.match(text) is not None


def without_backslash(message: Message) -> Message:
    """Return a message for whose text `is_literal` is True as it is sent."""
    first = next(part for part in message.parts if isinstance(part, Text))
    sent = Text(first.text.replace("\\", "", 1))
    return replace(message, parts=tuple(sent if part is first else part for part in message.parts))


async def show_help(lines: Sequence[str]) -> AsyncGenerator[Event, None]:
    """Yield the lines of help, each as a notice."""
    for line in lines:
        yield Notice(line)
