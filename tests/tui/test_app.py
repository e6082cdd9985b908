"""Building the session behind the first paint, and quitting."""

import asyncio
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from assistant.conversation.session import Session
from assistant.errors import ModelError
from assistant.messages import assistant, user
from assistant.models.scripted import ScriptedModel
from assistant.progress import Progress
from tests.fakes.conversation import RecordingStore
from tests.fakes.tui import WAIT_SECS, MakeApp, RunApp, UnfinishedModel
from tui.app import ParleyApp


async def test_message_may_be_sent_while_the_session_is_built(run_app: RunApp) -> None:
    may_continue = threading.Event()
    model = ScriptedModel("Here I am.")

    def build(progress: Progress) -> Session:
        progress("fetching the decoder", 43, 100)
        assert may_continue.wait(WAIT_SECS)
        progress("loading", 0, 0)
        return Session(model)

    async with run_app(ParleyApp(build)) as person:
        await person.expect_text("fetching the decoder 43 %", "StatusBar")
        await person.type("Are you there?")
        assert person.input == "Are you there?"
        await person.press("enter")
        await person.expect_text("Are you there?", "UserMessage")
        may_continue.set()
        await person.expect_text("Here I am.", "AssistantMessage")
        assert len(model.prompts) == 1


async def test_esc_withdraws_a_message_that_waits_for_the_model(run_app: RunApp) -> None:
    may_continue = threading.Event()
    model = ScriptedModel()

    def build(progress: Progress) -> Session:
        assert may_continue.wait(WAIT_SECS)
        return Session(model)

    async with run_app(ParleyApp(build)) as person:
        await person.send("Too early")
        await person.expect_text("Too early", "UserMessage")
        await person.press("escape")
        await person.wait_until(lambda: person.input == "Too early")
        may_continue.set()
        await person.expect_text("ready", "StatusBar")
        assert model.prompts == []
        assert not person.read("UserMessage")


async def test_next_message_retries_a_failed_build(run_app: RunApp) -> None:
    sent = threading.Event()
    failures = [ModelError("The model cannot be fetched: no network."), None]

    def build(progress: Progress) -> Session:
        assert sent.wait(WAIT_SECS)
        if failure := failures.pop(0):
            raise failure
        return Session(ScriptedModel("Now it works."))

    async with run_app(ParleyApp(build)) as person:
        await person.send("Are you there?")
        await person.expect_text("Are you there?", "UserMessage")
        sent.set()
        await person.expect_text("The model cannot be fetched: no network.", "Notice")
        await person.wait_until(lambda: person.input == "Are you there?")
        assert "no model" in person.read("StatusBar")
        await person.press("enter")
        await person.expect_text("Now it works.", "AssistantMessage")


async def test_quitting_ends_a_build_that_reports_progress(run_app: RunApp) -> None:
    building = threading.Event()
    ended = threading.Event()

    def build(progress: Progress) -> Session:
        building.set()
        try:
            while True:
                progress("fetching", 1, 2)
                time.sleep(0.001)
        finally:
            ended.set()

    async with run_app(ParleyApp(build)) as person:
        await person.wait_until(building.is_set)
        await person.press("ctrl+q")
    assert await asyncio.to_thread(ended.wait, WAIT_SECS)


async def test_message_sent_early_stands_below_the_resumed_conversation(run_app: RunApp) -> None:
    may_continue = threading.Event()

    def build(progress: Progress) -> Session:
        assert may_continue.wait(WAIT_SECS)
        return Session(ScriptedModel("New answer."), messages=[user("Old question"), assistant("Old answer")])

    async with run_app(ParleyApp(build)) as person:
        await person.send("New question")
        await person.expect_text("New question", "UserMessage")
        may_continue.set()
        await person.expect_text("New answer.", "AssistantMessage")
        screen = person.read()
        places = [screen.index(text) for text in ("Old question", "Old answer", "New question", "New answer.")]
        assert places == sorted(places)


@pytest.mark.parametrize("way", ["ctrl+q", "exit", "signal", "terminal gone"])
async def test_quitting_saves_the_reply_so_far(
    make_app: MakeApp, run_app: RunApp, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = threading.Event()
    monkeypatch.setattr("tui.app._TERMINAL_CHECK_SECS", 0.05)
    monkeypatch.setattr("tui.app._has_terminal", lambda: not gone.is_set())
    store = RecordingStore()
    model = UnfinishedModel("Once upon a time …")
    async with run_app(make_app(model, store=store)) as person:
        await person.send("Go")
        await person.expect_text("Once upon a time …", "AssistantMessage")
        match way:
            case "ctrl+q":
                await person.press("ctrl+q")
            case "exit":
                person.app.exit()
            case "signal":
                signal.raise_signal(signal.SIGTERM)
                await person.wait_until(lambda: store.turns)
            case "terminal gone":
                gone.set()
                await person.wait_until(lambda: store.turns)
    assert store.turns == [("Go", "Once upon a time …", True)]
    assert model.closed


async def test_quitting_does_not_wait_for_a_long_step_of_the_build(run_app: RunApp) -> None:
    building, may_continue = threading.Event(), threading.Event()

    def build(progress: Progress) -> Session:
        building.set()
        may_continue.wait(WAIT_SECS)
        raise AssertionError("nobody waits for this")

    async with run_app(ParleyApp(build)) as person:
        await person.wait_until(building.is_set)
        await person.press("ctrl+q")
    waiting = [thread for thread in threading.enumerate() if thread.name == "build"]
    # A daemon thread is one that the end of the program does not wait for.
    assert [thread.daemon for thread in waiting] == [True]
    may_continue.set()


def test_app_starts_without_importing_torch() -> None:
    code = "import sys, tui.app; print(sorted({'torch', 'transformers', 'pydantic', 'sqlite3'} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert loaded.stdout.strip() == "[]"
