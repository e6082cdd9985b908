"""Put the calls of tools together that a model sends in pieces, in the format of OpenAI's chat completions.

    index, id, name, beginning of the arguments ─┬▶ ToolCall
    index, more of the arguments ────────────────┘

Half a call is passed on as it is: whoever runs tools tells the model that its arguments are invalid.
"""

from dataclasses import dataclass
from typing import Any

from assistant.messages import ToolCall
from assistant.text_cleaning import to_json

# A model in a loop would go on calling.
_MAX_CALLS = 64
_MAX_CHARACTERS = 1_000_000


@dataclass
class _Parts:
    name: str = ""
    arguments: str = ""
    id: str = ""


class ToolCallDeltas:
    """The calls of one reply."""

    def __init__(self) -> None:
        self._calls: dict[object, _Parts] = {}

    def add(self, delta: object) -> None:
        """Add an element of `delta.tool_calls`. What is no such element is ignored."""
        call = delta if isinstance(delta, dict) else {}
        function = call.get("function")
        if not isinstance(function, dict):
            return
        # Servers that send whole calls may leave out the index. A new name begins a new call then.
        name = _text(function.get("name"))
        index = call.get("index")
        key = index if isinstance(index, int) else len(self._calls) if name else len(self._calls) - 1
        if key not in self._calls and (not name or len(self._calls) >= _MAX_CALLS):
            return
        parts = self._calls.setdefault(key, _Parts())
        parts.name = parts.name or name
        parts.id = parts.id or _text(call.get("id"))
        parts.arguments = (parts.arguments + _arguments(function.get("arguments")))[:_MAX_CHARACTERS]

    def complete(self) -> list[ToolCall]:
        """Return the calls, in the order in which they began."""
        return [ToolCall(parts.name, parts.arguments or "{}", parts.id) for parts in self._calls.values()]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _arguments(value: Any) -> str:
    # Some servers send an object instead of its text.
    return value if isinstance(value, str) else to_json(value) if isinstance(value, dict) else ""
