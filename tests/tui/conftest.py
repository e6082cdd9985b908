"""A running app with the scripted model, and a person in front of it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

import PIL.Image
import PIL.ImageDraw
import pytest
from textual import events
from textual.keys import _character_to_key
from textual.pilot import Pilot
from textual.widget import Widget

from assistant.conversation.session import Session
from assistant.conversation.turn_log import TurnStore
from assistant.messages import Message
from assistant.models.scripted import ScriptedModel
from assistant.progress import Progress
from tui.app import ParleyApp
from tui.widgets.prompt import Prompt


class Person:
    """Types, pastes, and reads the screen."""

    def __init__(self, pilot: Pilot[None]) -> None:
        self._pilot = pilot
        self.app = pilot.app

    async def press(self, *keys: str) -> None:
        """Press named keys or characters, fast: `Pilot.press` waits up to a second after each for an idle processor."""
        for key in keys:
            event = events.Key(_character_to_key(key), key) if len(key) == 1 else events.Key(key, None)
            self.app.post_message(event)
        await self._pilot.pause(0.01)

    async def type(self, text: str) -> None:
        """Key by key; a new line is Ctrl+J. Returns when it stands in the input."""
        before = self.input
        await self.press(*["ctrl+j" if character == "\n" else character for character in text])
        await self.until(lambda: len(self.input) == len(before) + len(text), lambda: f"typing led to {self.input!r}")

    async def click(self, selector: str) -> None:
        await self._pilot.click(selector)

    async def resize(self, columns: int, rows: int) -> None:
        await self._pilot.resize_terminal(columns, rows)

    async def paste(self, text: str) -> None:
        self.app.post_message(events.Paste(text))
        await self._pilot.pause(0.01)

    async def settle(self) -> None:
        """Wait until nothing moves."""
        await self._pilot.wait_for_scheduled_animations()

    @property
    def input(self) -> str:
        return self.app.screen.query_one(Prompt).text

    def read(self, selector: str | None = None) -> str:
        """The visible text of the whole screen, or of the widgets that `selector` finds."""
        lines = self.app.screen._compositor.render_strips(self.app.size)
        seen: list[Widget] = [self.app.screen] if selector is None else list(self.app.screen.query(selector))
        return "\n".join(
            line.crop(widget.region.x, widget.region.right).text.rstrip()
            for widget in seen
            for line in lines[max(0, widget.region.y) : max(0, widget.region.bottom)]
        )

    async def sees(self, text: str, selector: str | None = None) -> None:
        """Wait until `text` can be read."""
        await self.until(
            lambda: text in self.read(selector), lambda: f"{text!r} never showed in:\n{self.read(selector)}"
        )

    async def until(self, condition: Callable[[], object], complaint: Callable[[], str] = str) -> None:
        """Wait until something is so, for half a minute at most (a busy machine is slow)."""
        try:
            async with asyncio.timeout(30):
                while not condition():
                    await self._pilot.pause(0.01)
        except TimeoutError:
            # Not `pytest.fail`, which is no Exception and would leave an app that runs for a snapshot running.
            raise AssertionError(complaint()) from None


class Use(Protocol):
    def __call__(self, app: ParleyApp, size: tuple[int, int] = (80, 30)) -> AbstractAsyncContextManager[Person]: ...


class MakeApp(Protocol):
    def __call__(
        self, model: ScriptedModel, *, messages: Sequence[Message] = (), store: TurnStore | None = None
    ) -> ParleyApp: ...


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            # Raised inside textual-image, whose last release for Python 3.11 is older than Pillow's new name for it.
            item.add_marker(pytest.mark.filterwarnings("ignore:Image.Image.getdata is deprecated:DeprecationWarning"))


@pytest.fixture
def make_app() -> MakeApp:
    """Builds the app around a model."""

    def make(model: ScriptedModel, *, messages: Sequence[Message] = (), store: TurnStore | None = None) -> ParleyApp:
        def build(progress: Progress) -> Session:
            progress("loading", 0, 0)
            return Session(model, messages=messages, store=store)

        return ParleyApp(build)

    return make


@pytest.fixture
def use() -> Use:
    """Runs an app with someone in front of it."""

    @asynccontextmanager
    async def use(app: ParleyApp, size: tuple[int, int] = (80, 30)) -> AsyncIterator[Person]:
        async with app.run_test(size=size) as pilot:
            yield Person(pilot)

    return use


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A picture whose name has spaces in it."""
    path = tmp_path / "my holiday photo.png"
    drawing = PIL.Image.new("RGB", (160, 120), "skyblue")
    PIL.ImageDraw.Draw(drawing).ellipse((50, 30, 110, 90), fill="orange")
    drawing.save(path)
    return path
