"""Calls of tools that arrive in pieces, whole, or not quite."""

from typing import Any

import pytest

from assistant.messages import ToolCall
from assistant.models.tool_call_deltas import ToolCallDeltas


def call(arguments: Any = None, name: str = "", **more: Any) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": arguments}, **more}


@pytest.mark.parametrize(
    ("deltas", "expected"),
    [
        (
            [call('{"ci', "weather", index=0, id="a"), call('ty": "Oslo"}', index=0)],
            [ToolCall("weather", '{"city": "Oslo"}', "a")],
        ),
        (
            [call("{}", "one", index=0), call('{"a"', "two", index=1), call(": 1}", index=1)],
            [ToolCall("one"), ToolCall("two", '{"a": 1}')],
        ),
        # Servers that send whole calls, without an index or with an object of arguments.
        ([call('{"a": 1}', "one"), call("{}", "two")], [ToolCall("one", '{"a": 1}'), ToolCall("two")]),
        ([call({"a": 1}, "one", index=0)], [ToolCall("one", '{"a": 1}')]),
        # Half a call, and what is none.
        ([call('{"ci', "weather", index=0)], [ToolCall("weather", '{"ci')]),
        ([call("{}", "weather", index=0, id=7)], [ToolCall("weather")]),
        ([call("{}", index=3), {}, None, "call", {"function": "weather"}, {"function": {"name": 5}}], []),
    ],
)
def test_pieces_are_put_together(deltas: list[Any], expected: list[ToolCall]) -> None:
    calls = ToolCallDeltas()
    for delta in deltas:
        calls.add(delta)
    assert calls.complete() == expected


def test_a_model_that_goes_on_calling_is_cut_off() -> None:
    calls = ToolCallDeltas()
    for index in range(1000):
        calls.add(call("{}", "weather", index=index))
        calls.add(call("x" * 100_000, "", index=0))
    assert len(calls.complete()) < 100
    assert max(len(each.arguments) for each in calls.complete()) <= 1_000_000
