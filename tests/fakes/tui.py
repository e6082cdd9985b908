"""A user in front of the terminal app, and slow or silent parts to put behind it."""

import asyncio
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from textual import events
from textual.command import Command, CommandList
from textual.keys import _character_to_key
from textual.pilot import Pilot
from textual.widget import Widget

from assistant.conversation.turn_log import TurnStore
from assistant.errors import ModelError
from assistant.events import Usage
from assistant.messages import Message
from assistant.models.base import GenerationOptions
from assistant.models.scripted import ScriptedModel
from assistant.progress import Progress
from tui.app import ParleyApp
from tui.widgets.prompt import Prompt
from tui.widgets.status_bar import StatusBar

WAIT_SECS = 60
"""Deadline of every wait. A busy machine is slow."""

SnapCompare = Callable[..., bool]


class RunApp(Protocol):
    """Run an app with a `Person` in front of it."""

    def __call__(self, app: ParleyApp, size: tuple[int, int] = (80, 30)) -> AbstractAsyncContextManager["Person"]: ...


class MakeApp(Protocol):
    """Build an app around a model."""

    def __call__(
        self, model: ScriptedModel, *, messages: Sequence[Message] = (), store: TurnStore | None = None
    ) -> ParleyApp: ...


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
        """Type key by key, with Ctrl+J for a line break, and wait until the text is in the prompt."""
        before = self.input
        await self.press(*["ctrl+j" if character == "\n" else character for character in text])
        await self.wait_until(
            lambda: len(self.input) == len(before) + len(text), lambda: f"typing led to {self.input!r}"
        )

    async def send(self, text: str) -> None:
        """Type a message and press Enter."""
        await self.type(text)
        await self.press("enter")

    async def click(self, selector: str) -> None:
        await self._pilot.click(selector)

    async def resize(self, columns: int, rows: int) -> None:
        await self._pilot.resize_terminal(columns, rows)

    async def paste(self, text: str) -> None:
        self.app.post_message(events.Paste(text))
        await self._pilot.pause(0.01)

    async def open_palette(self) -> None:
        await self.press("ctrl+p")
        await self.wait_until(lambda: len(self.app.screen_stack) == 2)

    async def choose_in_palette(self, text: str) -> None:
        """Choose the command whose text begins with `text`, once the palette has found and highlighted it."""

        def is_highlighted() -> bool:
            commands = self.app.screen.query_one(CommandList)
            highlighted = None if commands.highlighted is None else commands.get_option_at_index(commands.highlighted)
            return isinstance(highlighted, Command) and (highlighted.hit.text or "").startswith(text)

        await self.wait_until(is_highlighted, lambda: f"{text!r} was never highlighted in:\n{self.read()}")
        await self.press("enter")
        await self.wait_until(lambda: len(self.app.screen_stack) == 1)

    async def settle(self) -> None:
        """Wait until nothing moves."""
        await self._pilot.wait_for_scheduled_animations()

    @property
    def input(self) -> str:
        """The text in the prompt."""
        return self.app.screen.query_one(Prompt).text

    def read(self, selector: str | None = None) -> str:
        """Return the visible text of the screen, or of the widgets that match `selector`."""
        lines = self.app.screen._compositor.render_strips(self.app.size)
        widgets: list[Widget] = [self.app.screen] if selector is None else list(self.app.screen.query(selector))
        return "\n".join(
            line.crop(widget.region.x, widget.region.right).text.rstrip()
            for widget in widgets
            for line in lines[max(0, widget.region.y) : max(0, widget.region.bottom)]
        )

    async def expect_text(self, text: str, selector: str | None = None) -> None:
        """Wait until `text` is visible."""
        await self.wait_until(
            lambda: text in self.read(selector), lambda: f"{text!r} never showed in:\n{self.read(selector)}"
        )

    async def wait_until(self, condition: Callable[[], object], complaint: Callable[[], str] = str) -> None:
        """Wait until `condition` holds."""
        try:
            async with asyncio.timeout(WAIT_SECS):
                while not condition():
                    await self._pilot.pause(0.01)
        except TimeoutError:
            # Not `pytest.fail`, which is no Exception and would leave an app that runs for a snapshot running.
            raise AssertionError(complaint()) from None


def hide_variations(person: Person) -> None:
    """Fix what differs from run to run: the blinking of the cursor and the speed of the reply."""
    person.app.screen.query_one(Prompt).cursor_blink = False
    person.app.screen.query_one(StatusBar).usage = Usage(300, 0, 100, first_token_seconds=1.0, total_seconds=5.0)


class UnfinishedModel(ScriptedModel):
    """After a text that ends in "…", wait for the stop event instead of ending the reply."""

    def stream(
        self, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event
    ) -> Generator[str, None, Usage]:
        chunk = ""
        stream = super().stream(messages, options, stop)
        while True:
            try:
                chunk = next(stream)
            except StopIteration as end:
                usage: Usage = end.value
                break
            yield chunk
        if chunk.endswith("…"):
            assert stop.wait(WAIT_SECS), "nobody stopped the reply"
        return usage


class SlowModelSource:
    """Has one model, "other", whose loading reports progress until `may_load` is set."""

    def __init__(self, model: ScriptedModel) -> None:
        self.model = model
        self.may_fetch = threading.Event()
        self.may_fetch.set()
        self.may_load = threading.Event()

    def fetch(self, name: str, progress: Progress) -> None:
        assert self.may_fetch.wait(WAIT_SECS)
        if name != "other":
            raise ModelError(f"There is no model {name}.")

    def load(self, name: str, progress: Progress) -> ScriptedModel:
        while not self.may_load.wait(0.01):
            progress("loading other", 1, 4)
        return self.model
