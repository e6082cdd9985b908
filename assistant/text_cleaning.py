"""Clean text from outside: replies, names, titles, error messages and whatever else the program did not write itself.

Every front end has one place through which such text passes on its way to a terminal, a speaker or a client:
`parley.cli.terminal` for the command line, `tui.text_filter` for the app, `voice.tts.text_cleanup` for speech.
"""

import json
import re

_BIDIRECTIONAL = "\u202a-\u202e\u2066-\u2069"
"""Embeddings, overrides and isolates. They show text in an order in which it is not written."""

_CONTROLS = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{_BIDIRECTIONAL}]")
"""Control characters except tab and newline, which a terminal would obey, and the bidirectional controls."""

_SURROGATES = re.compile("[\ud800-\udfff]")
_ESCAPED_IN_JSON = re.compile(f"[\x7f-\x9f\u2028\u2029{_BIDIRECTIONAL}\ud800-\udfff]")
"""Characters that `json.dumps` leaves as they are; it escapes the control characters below U+0020."""

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def valid_unicode(text: str) -> str:
    """Return `text` with U+FFFD for each lone surrogate, which no encoding, file or database accepts."""
    return text if text.isascii() else _SURROGATES.sub(REPLACEMENT, text)


def clean_text(text: str) -> str:
    """Return `text` without control characters and with U+FFFD for lone surrogates.

    Tabs, newlines, combining characters, joiners, emoji and right-to-left text stay as they are.
    """
    return valid_unicode(_CONTROLS.sub("", text))


def clean_line(text: str, max_length: int = 200) -> str:
    """Return `text` cleaned, on one line, and cut to `max_length` characters with "…" at the end."""
    # A quoted text may be megabytes long; characters may go away, so a little more than the limit is read.
    words = text[: 4 * max_length + 4].split()
    line = " ".join(clean_text(" ".join(words)).split())
    return line if len(line) <= max_length else line[: max_length - 1].rstrip() + "…"


def to_json(value: object, indent: int | None = None) -> str:
    """Return `value` as JSON in which controls, line separators and lone surrogates are escaped.

    Parsers give them back. A terminal that shows the JSON cannot obey them, and every reader sees as many lines.
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return text if text.isascii() and "\x7f" not in text else _ESCAPED_IN_JSON.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
