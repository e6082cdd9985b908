"""Endings of the app: errors that nobody expected, drafts, and what it says on the way out."""

import asyncio
import os
import stat
import sys
import time
from pathlib import Path

import pytest

from assistant.conversation.session import Session
from assistant.history.store import History
from assistant.models.scripted import ScriptedModel
from assistant.progress import Progress
from tests.fakes.conversation import RecordingStore
from tests.fakes.scripts import ROOT
from tests.fakes.terminal import TerminalProcess
from tests.fakes.tui import RunApp, UnfinishedModel
from tui.app import ParleyApp
from tui.kept_draft import KeptDraft


def make_app(model: ScriptedModel, folder: Path | None, store: RecordingStore | None = None) -> ParleyApp:
    return ParleyApp(lambda _: Session(model, store=store), folder=folder)


async def test_draft_is_in_the_input_the_next_time(run_app: RunApp, tmp_path: Path) -> None:
    app = make_app(ScriptedModel(), tmp_path)
    async with run_app(app) as person:
        await person.type("half a thou\nght")
        await person.press("ctrl+q")
    assert app.exit_notices == ["What you have not sent is kept: it is in the input when you open Parley again."]
    [draft] = os.scandir(tmp_path)
    assert stat.S_IMODE(draft.stat().st_mode) == 0o600
    async with run_app(make_app(ScriptedModel(), tmp_path)) as person:
        await person.wait_until(lambda: person.input == "half a thou\nght")
        await person.expect_text("not sent the last time", "Composer")
        await person.press("enter")
        await person.expect_text("You said: half a thou", "AssistantMessage")
        await person.expect_text("ready", "StatusBar")
    assert not list(os.scandir(tmp_path))


async def test_without_a_folder_the_draft_is_handed_over(run_app: RunApp) -> None:
    app = make_app(ScriptedModel(), None)
    async with run_app(app) as person:
        await person.type("half a thought")
        await person.press("ctrl+q")
    assert app.unsent_text == "half a thought"
    assert app.exit_notices == []


async def test_message_that_waits_for_the_model_is_kept_as_a_draft(run_app: RunApp, tmp_path: Path) -> None:
    may_continue = asyncio.Event()

    def build(progress: Progress) -> Session:
        while not may_continue.is_set():
            progress("loading", 0, 0)
            # Without it the messages of this loop are all that the app has time for.
            time.sleep(0.01)
        return Session(ScriptedModel())

    async with run_app(ParleyApp(build, folder=tmp_path)) as person:
        await person.send("Are you there?")
        await person.expect_text("Are you there?", "UserMessage")
        await person.type("More")
        await person.press("ctrl+q")
    may_continue.set()
    assert KeptDraft(tmp_path).take() == "Are you there?\nMore"


async def test_quitting_says_that_the_reply_is_kept(run_app: RunApp, tmp_path: Path) -> None:
    store = RecordingStore()
    app = make_app(UnfinishedModel("Once upon …"), tmp_path, store)
    async with run_app(app) as person:
        await person.send("Go")
        await person.expect_text("Once upon …", "AssistantMessage")
        await person.press("ctrl+q")
    assert store.turns == [("Go", "Once upon …", True)]
    assert app.exit_notices == ["The reply was stopped and is saved as far as it came: parley --continue goes on."]


async def test_turns_that_could_not_be_saved_are_said_at_the_end(run_app: RunApp, tmp_path: Path) -> None:
    app = make_app(ScriptedModel(), tmp_path, RecordingStore(full=True))
    async with run_app(app) as person:
        await person.send("Go")
        await person.expect_text("You said: Go", "AssistantMessage")
        await person.expect_text("ready", "StatusBar")
    assert any("The last turns are not saved." in notice for notice in app.exit_notices)


def test_two_drafts_are_both_kept(tmp_path: Path) -> None:
    draft = KeptDraft(tmp_path / "new")
    assert draft.keep("one \udcff")
    assert draft.keep("two")
    assert draft.take() == "one \ufffd\ntwo"
    assert draft.take() == ""


def test_draft_on_a_disk_that_refuses_it_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    assert not KeptDraft(tmp_path / "file").keep("text")
    assert KeptDraft(tmp_path / "file").take() == ""


class BrokenModel(UnfinishedModel):
    """Writes a text, then raises an error that nobody expects."""

    def stream(self, *args: object, **kwargs: object):  # type: ignore[no-untyped-def] # noqa: ANN201
        yield from ("Once ", "upon")
        raise ZeroDivisionError("hostile \x1b]0;PWNED\x07 text")


async def test_error_that_nobody_expects_keeps_the_reply_and_the_draft(run_app: RunApp, tmp_path: Path) -> None:
    store = RecordingStore()
    app = make_app(BrokenModel(), tmp_path, store)
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - raised where the app is left
        async with run_app(app) as person:
            await person.type("Go")
            app._chat._composer._prompt.post_message(app._chat._composer._prompt.Submitted("Go"))
            await person.wait_until(lambda: app._exception is not None)
    assert app.return_code == 1
    assert store.turns == [("Go", "Once upon", True)]
    crash, kept = app.exit_notices
    assert crash.startswith("Parley ended because of an error of its own (ZeroDivisionError: hostile ]0;PWNED text).")
    assert "kept" in kept
    [name] = [entry.name for entry in os.scandir(tmp_path) if entry.name.startswith("parley-error-")]
    report = tmp_path / name
    assert str(report) in crash
    assert "Traceback" in report.read_text("utf-8")
    assert stat.S_IMODE(report.stat().st_mode) == 0o600


async def test_failing_callback_ends_the_app(run_app: RunApp, tmp_path: Path) -> None:
    app = make_app(ScriptedModel(), tmp_path)
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - raised where the app is left
        async with run_app(app) as person:
            await person.expect_text("ready", "StatusBar")
            asyncio.get_running_loop().call_soon(lambda: 1 // 0)
            await person.wait_until(lambda: app._exception is not None)
    assert app.return_code == 1


CRASHING_APP = """
import sys
from tests.tui.test_endings import BrokenModel
from parley.cli import main as command_line
import parley.factory.session
parley.factory.session.build_model = lambda *args: BrokenModel()
sys.argv = ["parley"]
command_line()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.usefixtures("unset")
def test_crash_on_a_terminal(tmp_path: Path) -> None:
    import termios

    env = {**os.environ, "PYTHONPATH": str(ROOT), "PARLEY_MODEL": "scripted", "PARLEY_DATA_DIR": str(tmp_path / "data")}
    with TerminalProcess([sys.executable, "-c", CRASHING_APP], env) as process:
        process.wait_for("ready")
        process.send("Hello\r")
        assert process.wait() == 1
        end = process.output[process.output.rindex(b"\x1b[?1049l") :].decode()
        attributes = termios.tcgetattr(process.leader)
        assert attributes[3] == process.attributes[3]
    assert "parley: Parley ended because of an error of its own (ZeroDivisionError" in " ".join(end.split())
    assert "Traceback" not in end
    assert len(end.splitlines()) <= 5
    history = History(tmp_path / "data" / "history.sqlite3")
    [summary] = history.list()
    assert [message.text for message in history.load(summary.id)[1]] == ["Hello", "Once upon"]
