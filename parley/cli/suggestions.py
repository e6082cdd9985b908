"""Suggestions for command lines that cannot be run: the command that was probably meant."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from parley.cli.terminal import shown_name

MAX_SHOWN = 80
_QUESTION = "What is this?"


def shorten(argument: str) -> str:
    """Return an argument as it is quoted in a message: cleaned, and not longer than a line."""
    shown = shown_name(argument)
    return shown if len(shown) <= MAX_SHOWN else f"{shown[: MAX_SHOWN - 1]}…"


def is_picture(argument: str) -> bool:
    """Return True if an argument has a name like that of a picture."""
    from assistant.attachments.file_types import REFUSED_SUFFIXES, SUFFIXES

    return Path(argument).suffix.lower() in SUFFIXES | REFUSED_SUFFIXES


def ask_command(arguments: Sequence[str]) -> str:
    """Return the `parley ask` command for words and pictures in any order."""
    pictures = [each for each in arguments if is_picture(each)]
    words = [each for each in arguments if each not in pictures and not each.startswith("-")]
    question = shorten(" ".join(words)) if words else _QUESTION
    options = "".join(f" -i {shlex.quote(shorten(each))}" for each in pictures)
    return f"parley ask {shlex.quote(question)}{options}"


def is_picture_file(argument: str) -> bool:
    """Return True if an argument is the path of an existing file with a name like that of a picture."""
    # `Path.is_file` raises an error for a name that no file can have.
    return is_picture(argument) and os.path.isfile(argument)  # noqa: PTH113
