"""Text of a message as it is put into a widget: in lines that all parts of Textual agree on, and not endless."""

import re

from assistant.text_cleaning import clean_text

MAX_CHARACTERS = 60_000
"""Longest text of one message that is drawn: about four times the longest reply of most models."""
MAX_LINES = 2000
"""Most lines. Each line of a reply is a widget or two."""

# Textual splits text at all of these, and its markdown parser only at "\n": parts of a reply would be lost.
_LINE_BREAKS = re.compile("\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")


def with_plain_breaks(text: str) -> str:
    """Return `text` without control characters, and with a newline for every kind of line break."""
    return clean_text(_LINE_BREAKS.sub("\n", text))


def fit_message(text: str, shown: str = "") -> tuple[str, int]:
    """Return the part of `text` that fits below what is `shown` already, and the number of characters left out."""
    fitting = text[: max(0, MAX_CHARACTERS - len(shown))]
    lines = MAX_LINES - shown.count("\n")
    if fitting.count("\n") > lines:
        fitting = "\n".join(fitting.split("\n", max(0, lines))[: max(0, lines)])
    return fitting, len(text) - len(fitting)


def left_out(count: int) -> str:
    """Return a sentence about the `count` characters that are not drawn."""
    return f"… and {count:,} characters more, which are part of the conversation and not shown here."
