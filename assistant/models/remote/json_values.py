"""Tolerant reading of JSON from servers: what is absent, null or of another type counts as absent.

Servers agree on little beyond the text of a reply. No optional part of a message may fail it.
"""

import json
import math
from typing import Any

_MAX_INTEGER_DIGITS = 18
_MAX_NUMBER = 10**9


def parse_json(text: str | bytes) -> Any:
    """Parse JSON. Raises `ValueError` for all that is none, also if it is nested too deeply."""
    try:
        return json.loads(text, parse_int=_parse_int)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def as_dict(value: Any) -> dict[str, Any]:
    """Return an object; empty if `value` is none."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """Return a list; empty if `value` is none."""
    return value if isinstance(value, list) else []


def as_text(value: Any) -> str:
    """Return a string; empty if `value` is none."""
    return value if isinstance(value, str) else ""


def as_count(value: Any) -> int | None:
    """Return a number of tokens, which some servers send as a string or a float; None if `value` is none."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return int(value) if 0 <= value <= _MAX_NUMBER else None


def _parse_int(digits: str) -> int | float:
    # Python refuses to convert thousands of digits.
    return int(digits) if len(digits) <= _MAX_INTEGER_DIGITS else math.inf
