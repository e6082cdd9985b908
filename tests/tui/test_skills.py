"""Skills in the app, called from the palette and from the input."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.widgets import Input

from assistant.conversation.session import Session
from assistant.history.store import History
from assistant.models.scripted import ScriptedModel
from assistant.progress import Progress
from assistant.settings import Settings
from parley.factory.session import build_session
from tests.fakes.skills import InstallSkill, skill_installer
from tests.fakes.tui import RunApp
from tui import skill_commands
from tui.app import ParleyApp


@pytest.fixture
def install_skill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InstallSkill]:
    """Install a skill for one test. The palette forgets the list of skills before and after it."""
    skill_commands.command_summaries.cache_clear()
    yield skill_installer(tmp_path / "site", monkeypatch)
    skill_commands.command_summaries.cache_clear()


def app_with_skills(model: ScriptedModel, folder: Path) -> ParleyApp:
    """Build the app around a session with skills and a history."""

    def build(progress: Progress) -> Session:
        return build_session(Settings(model="scripted"), model, History(folder / "history.sqlite3"))

    return ParleyApp(build)


async def test_palette_puts_the_command_before_the_typed_text(
    run_app: RunApp, tmp_path: Path, image_path: Path
) -> None:
    model = ScriptedModel("An orange disc.")
    async with run_app(app_with_skills(model, tmp_path)) as person:
        await person.paste(str(image_path))
        await person.expect_text("my holiday photo.png")
        await person.type("--style short")
        await person.open_palette()
        await person.press(*"/caption")
        await person.expect_text("Say what a picture shows.")
        await person.choose_in_palette("/caption")
        await person.wait_until(lambda: person.input == "/caption --style short")
        await person.press("enter")
        await person.expect_text("An orange disc.", "AssistantMessage")
        await person.expect_text("ready", "StatusBar")
    [summary] = History(tmp_path / "history.sqlite3").list()
    assert summary.title == "/caption --style short"


async def test_invalid_command_is_a_notice_and_returns_to_the_input(run_app: RunApp, tmp_path: Path) -> None:
    async with run_app(app_with_skills(ScriptedModel(), tmp_path)) as person:
        await person.send("/caption")
        await person.expect_text("needs a picture: name one, or attach it")
        await person.wait_until(lambda: person.input == "/caption")


@pytest.mark.parametrize("text", ["/frobnicate", "/frobnicate now", "/captoin x"])
async def test_unknown_command_is_a_notice_and_returns_to_the_input(run_app: RunApp, tmp_path: Path, text: str) -> None:
    model = ScriptedModel()
    async with run_app(app_with_skills(model, tmp_path)) as person:
        await person.send(text)
        await person.expect_text(text.split(maxsplit=1)[0], "Notice")
        await person.wait_until(lambda: person.input == text)
        assert model.prompts == []


async def test_path_after_a_command_is_an_image(run_app: RunApp, tmp_path: Path, image_path: Path) -> None:
    model = ScriptedModel("An orange disc.")
    async with run_app(app_with_skills(model, tmp_path)) as person:
        await person.send(f"/caption {image_path} --style short")
        await person.expect_text("An orange disc.", "AssistantMessage")
        await person.expect_text("/caption --style short", "UserMessage")


async def test_palette_that_is_closed_at_once_leaves_the_app_alone(run_app: RunApp, tmp_path: Path) -> None:
    async with run_app(app_with_skills(ScriptedModel("Here."), tmp_path)) as person:
        await person.expect_text("ready", "StatusBar")
        for keys in (("ctrl+p", "escape"), ("ctrl+p", "c", "escape", "enter"), ("ctrl+p", "c", "enter", "escape")) * 5:
            await person.press(*keys)
        await person.wait_until(lambda: len(person.app.screen_stack) == 1)
        assert person.app._exception is None


async def test_palette_takes_no_more_than_a_line(run_app: RunApp, tmp_path: Path) -> None:
    async with run_app(app_with_skills(ScriptedModel("Here."), tmp_path)) as person:
        await person.open_palette()
        search = person.app.screen.query_one(Input)
        search.insert_text_at_cursor("a" * 150)
        search.insert_text_at_cursor("b" * 150)
        assert search.value == "a" * 150


async def test_palette_lists_skills_of_other_packages(
    run_app: RunApp, tmp_path: Path, install_skill: InstallSkill
) -> None:
    install_skill(
        "mood",
        "from pydantic import BaseModel\nfrom skills import Image, skill\nclass Mood(BaseModel):\n    mood: str\n"
        "@skill\ndef mood(photo: Image) -> Mood:\n    '''Say what mood a picture is in.'''\n    return Mood(mood='')\n",
    )
    async with run_app(app_with_skills(ScriptedModel(), tmp_path)) as person:
        await person.open_palette()
        await person.press(*"/mood")
        await person.expect_text("Say what mood a picture is in.")
