"""The status bar: what the last reply took."""

import pytest

from assistant.events import Usage
from assistant.models.scripted import ScriptedModel
from tests.fakes.tui import MakeApp, RunApp
from tui.widgets.status_bar import StatusBar


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        (160, "12.5 tokens/s · 1,000 of 1,234 tokens cached · 20 of 26 tokens reasoning"),
        (90, "12.5 tokens/s · 1,000 of 1,234 tokens cached"),
        (60, "12.5 tokens/s"),
    ],
)
async def test_cached_and_reasoning_tokens_are_shown_where_there_is_room(
    make_app: MakeApp, run_app: RunApp, columns: int, shown: str
) -> None:
    model = ScriptedModel()
    model.info = type(model.info)("remote", "box", "unknown", 0)
    async with run_app(make_app(model), (columns, 12)) as person:
        await person.expect_text("ready", "StatusBar")
        person.app.screen.query_one(StatusBar).usage = Usage(1234, 1000, 26, 1, 3, reasoning_tokens=20)
        await person.expect_text("12.5 tokens/s", "StatusBar")
        assert person.read("StatusBar").split("  ")[-1].strip() == f"remote · box · {shown}"
