"""Search among the names of models: a server may offer hundreds."""

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

_SEPARATORS = re.compile(r"[\s/:_.-]+")
# A name may be megabytes long, and comparing takes quadratic time.
_MAX_COMPARED = 60
_CUTOFF = 0.5


def matches(text: str, name: str) -> bool:
    """Return True if every word of `text` is in `name`, whatever the case."""
    return all(word in name.lower() for word in text.lower().split())


def closest(wanted: str, names: Sequence[str], count: int = 5) -> list[str]:
    """Return up to `count` of `names` that are probably meant: those with all parts of `wanted`, then similar ones."""
    parts = [part for part in _SEPARATORS.split(wanted[:_MAX_COMPARED].lower()) if part]
    containing = [name for name in names if parts and all(part in name.lower() for part in parts)]
    found = dict.fromkeys(sorted(containing, key=len))
    if len(found) < count:
        found |= dict.fromkeys(_similar(wanted, names, count))
    return [*found][:count]


def _similar(wanted: str, names: Iterable[str], count: int) -> list[str]:
    by_key: dict[str, str] = {}
    for name in names:
        # The owner before the slash is often left out, or another one.
        for key in (name, name.rpartition("/")[2]):
            by_key.setdefault(key[:_MAX_COMPARED].lower(), name)
    keys = (wanted, wanted.rpartition("/")[2])
    similar = [get_close_matches(key[:_MAX_COMPARED].lower(), by_key, count, _CUTOFF) for key in keys]
    return [by_key[key] for found in similar for key in found]
