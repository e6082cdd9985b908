"""Names of things in other languages: asked in German, the language model makes "Butterfleisch" of a butterfly.

The table has the names that the eyes know best: those of `kinds` and `things` with indefinite articles, and colours.
"""

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources

_FILE = "names_in_languages.json"
_MAX_NAMES = 8


def translated_names(text: str, language: str) -> str:
    """Return the names in an English text with their translations, "cat = eine Katze; …", or "" if none is known."""
    names, pattern = _table()
    found = dict.fromkeys(match[1].lower() for match in pattern.finditer(text))
    known = [f"{name} = {names[name][language]}" for name in found if language in names[name]]
    return "; ".join(known[:_MAX_NAMES])


@cache
def _table() -> tuple[Mapping[str, Mapping[str, str]], re.Pattern[str]]:
    read: dict[str, dict[str, str]] = json.loads(resources.files(__package__).joinpath(_FILE).read_text("utf-8"))
    names = {name.lower(): translations for name, translations in read.items()}
    # The longest first: a snow leopard is no leopard.
    longest_first = sorted(names, key=len, reverse=True)
    return names, re.compile(rf"\b({'|'.join(map(re.escape, longest_first))})(?:e?s)?(?!\w)", re.IGNORECASE)
