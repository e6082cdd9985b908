"""Odd keys, pastes, mouse reports and sizes, into the running app and through the bytes of its terminal."""

import asyncio
import random
import sys
from contextlib import suppress
from dataclasses import dataclass

import pytest
from textual import events
from textual.geometry import Size
from textual.pilot import Pilot

from assistant.conversation.session import Session
from assistant.messages import assistant, user
from assistant.models.scripted import ScriptedModel
from tests.fuzz.harness import fuzz, mutate_bytes, odd_text
from tui.app import ParleyApp
from tui.skill_commands import command_summaries

if sys.platform == "win32":
    pytest.skip("reads the bytes of a terminal", allow_module_level=True)

from tui.terminal_driver import InputReader, drawn_size

pytestmark = pytest.mark.slow

KEYS = (
    *("enter", "ctrl+j", "up", "down", "left", "right", "home", "end", "backspace", "delete", "tab", "shift+tab"),
    *("escape", "pageup", "pagedown", "ctrl+c", "ctrl+p", "ctrl+a", "ctrl+k", "ctrl+u", "ctrl+z", "ctrl+y", "ctrl+x"),
    *("ctrl+v", "shift+up", "shift+end", "f1", "f2", "f3", "f4", "ctrl+left", "alt+enter", "ctrl+shift+k", "unknown"),
)
SEQUENCES = (
    *(b"\x1b[200~", b"\x1b[201~", b"\x1b[A", b"\x1b[<35;10;5M", b"\x1b[<0;3;3M", b"\x1b[<0;3;3m", b"\x1b[<64;3;3M"),
    *(b"\x1b[48;30;90;600;900t", b"\x1b[48;0;0;0;0t", b"\x1b[97;5u", b"\x1b[1;2P", b"\x1b[I", b"\x1b[O", b"\r", b"\t"),
    *(b"\x1b]52;c;QQ==\x07", b"\x1bP+q\x1b\\", b"\xe9", b"\xf0\x9f\x98\x80", b"/help\r", b"/caption x.png\r"),
)


@dataclass(frozen=True)
class Input:
    """Actions of a user and a terminal: steps that are keys, bytes, pastes or sizes, and the replies of the model."""

    steps: tuple[str | bytes | tuple[int, int], ...]
    replies: tuple[str, ...]


def make_input(rng: random.Random) -> Input:
    """Return some steps, some of them mutated bytes of a real session."""
    steps: list[str | bytes | tuple[int, int]] = []
    for _ in range(rng.randint(1, 12)):
        kind = rng.random()
        if kind < 0.3:
            steps.append(f"key {rng.choice(KEYS)}")
        elif kind < 0.5:
            steps.append(f"paste {odd_text(rng)}")
        elif kind < 0.85:
            data = b"".join(
                rng.choice(SEQUENCES) if rng.random() < 0.6 else odd_text(rng, 3).encode(errors="replace")
                for _ in range(rng.randint(1, 6))
            )
            steps.append(mutate_bytes(rng, data) if rng.random() < 0.7 else data)
        else:
            steps.append((rng.choice((1, 2, 10, 40, 80, 300)), rng.choice((1, 2, 5, 24, 100))))
    return Input(tuple(steps), tuple(odd_text(rng) or "x" for _ in range(3)))


INPUTS_OF_ONE_APP = 25
"""Inputs that one app takes before it is started anew, which takes a second."""


def test_app_input() -> None:
    # The palette imports the skills when it is first opened, which takes longer than an input may.
    command_summaries()
    asyncio.run(_fuzz_apps())


async def _fuzz_apps() -> None:
    """Run `fuzz` on a thread, and do the steps of its inputs in an app on this one."""
    loop = asyncio.get_running_loop()
    inputs: asyncio.Queue[tuple[Input, asyncio.Future[None]] | None] = asyncio.Queue()

    def use(value: Input) -> None:
        async def ask() -> None:
            done: asyncio.Future[None] = loop.create_future()
            await inputs.put((value, done))
            await done

        asyncio.run_coroutine_threadsafe(ask(), loop).result()

    fuzzing = asyncio.create_task(asyncio.to_thread(fuzz, "app_input", make_input, use))
    fuzzing.add_done_callback(lambda _: inputs.put_nowait(None))
    while not fuzzing.done():
        # What ends an app is the fault of its input and is reported there.
        with suppress(Exception):
            await _run_app(inputs)
    await fuzzing


async def _run_app(inputs: "asyncio.Queue[tuple[Input, asyncio.Future[None]] | None]") -> None:
    model = ScriptedModel(context_tokens=10**9)
    app = ParleyApp(lambda _: Session(model, messages=[user("Before"), assistant("Before.")]))
    async with app.run_test(size=(80, 24)) as pilot:
        for _ in range(INPUTS_OF_ONE_APP):
            if (item := await inputs.get()) is None:
                return
            value, done = item
            try:
                await _use(app, model, pilot, value)
            except Exception as error:  # noqa: BLE001 - the fault, which `fuzz` reports
                done.set_exception(app._exception or error)
                return
            done.set_result(None)


async def _do_steps(app: ParleyApp, pilot: Pilot[None], value: Input) -> None:
    reader = InputReader()
    for step in value.steps:
        if isinstance(step, bytes):
            for message in [*reader.feed(step), *reader.idle()]:
                # Quitting is right, and leaves nothing to look at.
                if not (isinstance(message, events.Key) and message.key == "ctrl+q"):
                    app.post_message(message)
        elif isinstance(step, tuple):
            size = Size(*drawn_size(*step))
            app.post_message(events.Resize(size, size))
        elif step.startswith("key "):
            app.post_message(events.Key(step.removeprefix("key "), None))
        else:
            app.post_message(events.Paste(step.removeprefix("paste ")))
        await pilot.pause(0.001)


async def _use(app: ParleyApp, model: ScriptedModel, pilot: Pilot[None], value: Input) -> None:
    """Do all steps. What is typed after them arrives, and no control character is on the screen."""
    model.enqueue(*value.replies)
    await _do_steps(app, pilot, value)
    mark = f"AT-THE-END-{id(value)}"
    prompt = app._chat._composer._prompt
    async with asyncio.timeout(9):
        while len(app.screen_stack) > 1:
            app.post_message(events.Key("escape", "\x1b"))
            await pilot.pause(0.005)
        prompt.focus()
        app.post_message(events.Paste(mark))
        while mark not in app._chat.unsent_text:
            if app._exception is not None:
                raise app._exception
            await pilot.pause(0.005)
        for line in app.screen._compositor.render_strips(app.size):
            assert all(character >= " " and not "\x7f" <= character <= "\x9f" for character in line.text), line.text
        # The next input finds the app as a user would who begins anew.
        while app._chat._current_turn is not None or app._chat._composer._busy_because:
            app.post_message(events.Key("escape", "\x1b"))
            await pilot.pause(0.005)
        model._script.clear()
        prompt.load_text("")
        await app._chat._composer._chips.remove_children()
        app.post_message(events.Resize(Size(80, 24), Size(80, 24)))
        await pilot.pause(0.001)
    if app._exception is not None:
        raise app._exception
