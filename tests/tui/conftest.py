"""Fixtures: the running app with the scripted model, and an image file."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import PIL.Image
import PIL.ImageDraw
import pytest

from assistant.conversation.session import Session
from assistant.conversation.turn_log import TurnStore
from assistant.messages import Message
from assistant.models.scripted import ScriptedModel
from assistant.progress import Progress
from tests.fakes.tui import MakeApp, Person, RunApp
from tui.app import ParleyApp


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            # Raised inside textual-image, whose last release for Python 3.11 is older than Pillow's new name for it.
            item.add_marker(pytest.mark.filterwarnings("ignore:Image.Image.getdata is deprecated:DeprecationWarning"))


@pytest.fixture
def make_app() -> MakeApp:
    """Build the app around a model."""

    def make(model: ScriptedModel, *, messages: Sequence[Message] = (), store: TurnStore | None = None) -> ParleyApp:
        def build_session(progress: Progress) -> Session:
            progress("loading", 0, 0)
            return Session(model, messages=messages, store=store)

        return ParleyApp(build_session)

    return make


@pytest.fixture
def run_app() -> RunApp:
    """Run an app with a person in front of it."""

    @asynccontextmanager
    async def run(app: ParleyApp, size: tuple[int, int] = (80, 30)) -> AsyncIterator[Person]:
        async with app.run_test(size=size) as pilot:
            yield Person(pilot)

    return run


@pytest.fixture
def image_path(tmp_path: Path) -> Path:
    """An image file whose name has spaces in it."""
    path = tmp_path / "my holiday photo.png"
    drawing = PIL.Image.new("RGB", (160, 120), "skyblue")
    PIL.ImageDraw.Draw(drawing).ellipse((50, 30, 110, 90), fill="orange")
    drawing.save(path)
    return path
