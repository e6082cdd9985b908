"""The lines of call logs, compared with docs/call-log.md."""

import json
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

_PAGE = Path(__file__).parents[2] / "docs" / "call-log.md"
_TYPES: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "list": (list,),
    "object": (dict,),
    "null": (type(None),),
}


@cache
def documented_fields() -> dict[str, dict[str, str]]:
    """Return the type of each key by event; under "" those that every line has."""
    fields: dict[str, dict[str, str]] = defaultdict(dict)
    for line in _PAGE.read_text("utf-8").splitlines():
        cells = [cell.strip().strip("`") for cell in line.split("|")[1:-1]]
        if len(cells) in (3, 4) and line.startswith("| `"):
            event, key, kind = ["", *cells][-4:-1] if len(cells) == 3 else cells[:3]
            fields[event][key] = kind
    return fields


def check_lines(path: Path) -> list[dict[str, Any]]:
    """Check that every line of a log has exactly the documented keys and types, and return the lines."""
    data = path.read_bytes()
    assert data.endswith(b"\n"), "the last line is whole"
    lines: list[dict[str, Any]] = [json.loads(line) for line in data.decode().splitlines()]
    for line in lines:
        expected = documented_fields()[""] | documented_fields()[line["event"]]
        assert line.keys() == expected.keys(), line
        for key, kind in expected.items():
            allowed = tuple(each for name in kind.split(" or ") for each in _TYPES[name])
            # A boolean is an integer for Python only.
            assert isinstance(line[key], allowed), (key, line)
            assert isinstance(line[key], bool) == (bool in allowed), (key, line)
    return lines
