"""Skills in the app: from the palette and from the input, and what then stands in the conversation."""

from pathlib import Path

import pytest

from assistant.conversation.session import Session
from assistant.history.store import History
from assistant.models.scripted import ScriptedModel
from assistant.progress import Progress
from assistant.settings import Settings
from parley.factory.session import build_session
from tests.fakes.skills import InstallSkill, skill_installer
from tests.tui.conftest import Use
from tui import skill_commands
from tui.app import ParleyApp


@pytest.fixture
def install_skill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InstallSkill:
    return skill_installer(tmp_path / "site", monkeypatch)


def app_with_skills(model: ScriptedModel, folder: Path) -> ParleyApp:
    """The app around a session as people get it."""

    def build(progress: Progress) -> Session:
        return build_session(Settings(model="scripted"), model, History(folder / "history.sqlite3"))

    return ParleyApp(build)


async def test_the_palette_begins_a_call_before_what_was_typed(use: Use, tmp_path: Path, picture: Path) -> None:
    model = ScriptedModel("An orange disc.")
    async with use(app_with_skills(model, tmp_path)) as person:
        await person.paste(str(picture))
        await person.sees("my holiday photo.png")
        await person.type("--style short")
        await person.press("ctrl+p")
        await person.until(lambda: len(person.app.screen_stack) == 2)
        await person.press(*"/caption")
        await person.sees("Say what a picture shows.")
        await person.press("enter")
        await person.until(lambda: len(person.app.screen_stack) == 1)
        await person.until(lambda: person.input == "/caption --style short")
        await person.press("enter")
        await person.sees("An orange disc.", "AssistantMessage")
    [summary] = History(tmp_path / "history.sqlite3").list()
    assert summary.title == "/caption --style short"


async def test_a_call_that_makes_no_sense_is_a_notice_and_comes_back_to_be_mended(use: Use, tmp_path: Path) -> None:
    async with use(app_with_skills(ScriptedModel(), tmp_path)) as person:
        await person.type("/caption")
        await person.press("enter")
        await person.sees("needs a picture: name one, or attach it")
        await person.until(lambda: person.input == "/caption")


async def test_a_path_after_a_command_is_a_picture_and_no_word(use: Use, tmp_path: Path, picture: Path) -> None:
    model = ScriptedModel("An orange disc.")
    async with use(app_with_skills(model, tmp_path)) as person:
        await person.type(f"/caption {picture} --style short")
        await person.press("enter")
        await person.sees("An orange disc.", "AssistantMessage")
        await person.sees("/caption --style short", "UserMessage")


async def test_a_skill_of_another_package_is_in_the_palette_with_what_it_does(
    use: Use, tmp_path: Path, install_skill: InstallSkill
) -> None:
    install_skill(
        "mood",
        "from pydantic import BaseModel\nfrom skills import Image, skill\nclass Mood(BaseModel):\n    mood: str\n"
        "@skill\ndef mood(photo: Image) -> Mood:\n    '''Say what mood a picture is in.'''\n    return Mood(mood='')\n",
    )
    skill_commands.summaries.cache_clear()
    async with use(app_with_skills(ScriptedModel(), tmp_path)) as person:
        await person.press("ctrl+p")
        await person.until(lambda: len(person.app.screen_stack) == 2)
        await person.press(*"/mood")
        await person.sees("Say what mood a picture is in.")
    skill_commands.summaries.cache_clear()
