"""Slash commands: which messages call a skill, and what the conversation contains afterwards."""

import asyncio

import pytest

from assistant.conversation.session import Session
from assistant.errors import SkillError
from assistant.events import Notice, SkillResult, TextDelta, TurnFinished
from assistant.messages import assistant, user
from assistant.models.scripted import ScriptedModel
from skills.slash_commands import SlashCommandRouter, parse_command
from tests.fakes.conversation import RecordingStore, StallingModel, reply_text, run_turn
from tests.fakes.skills import make_image, run_turns


def test_the_result_is_the_reply_and_is_saved() -> None:
    store = RecordingStore()
    [events] = run_turns(ScriptedModel("A red thing."), user("/caption", make_image()), store=store)
    assert [type(event) for event in events] == [SkillResult, TextDelta, TurnFinished]
    assert isinstance(events[0], SkillResult)
    assert (events[0].skill, events[0].result.text) == ("caption", "A red thing.")
    assert reply_text(events) == "A red thing."
    assert store.turns == [("/caption", "A red thing.", False)]


def test_later_turns_include_the_command_and_its_result() -> None:
    model = ScriptedModel("A red thing.", "Quite red.")
    run_turns(model, user("/caption", make_image()), user("How red?"))
    assert model.prompts[-1] == (user("/caption", make_image()), assistant("A red thing."), user("How red?"))


def test_without_an_attachment_the_latest_image_is_used() -> None:
    model = ScriptedModel("Hm.", "A red thing.")
    [_, events] = run_turns(model, user("What is it?", make_image(name="old.png")), user("/caption"))
    assert reply_text(events) == "A red thing."
    assert model.prompts[-1][0].images == (make_image(name="old.png"),)


def test_each_of_several_images_has_its_result() -> None:
    message = user("/caption", make_image(name="a.png"), make_image(colour="blue", name="b.png"))
    [events] = run_turns(ScriptedModel("Red.", "Blue."), message)
    assert reply_text(events) == "a.png: Red.\nb.png: Blue."


def test_options_are_written_as_in_the_shell() -> None:
    [events] = run_turns(ScriptedModel(), user("/caption --style detailed --language=German", make_image()))
    assert reply_text(events) == "You said: Describe the picture in detail. Answer in German. (and showed photo.png)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("/caption", "needs a picture: name one, or attach it"),
        ("/caption --style tiny", "input should be 'short'"),
        ("/caption --style", "--style of the skill caption needs a value"),
        ("/caption --style --language x", "--style of the skill caption needs a value"),
        ("/caption --stile short", "takes no --stile; it takes --style, --language"),
        ("/caption --style short --style dense", "--style of the skill caption is given twice"),
        ("/caption whatever", "takes no words like “whatever”"),
        ("/captoin", "is it /caption that you mean"),
        ("/captoin photo.jpg", "is it /caption that you mean"),
        ("/Caption", "is it /caption that you mean"),
        ("/mode pocket", "is it /model"),
        ("/foo", "There is no command /foo: /help lists them"),
        ("/frobnicate now", "There is no command /frobnicate: /help lists them"),
        ("/frobnicate!\nand more", "There is no command /frobnicate!"),
    ],
)
def test_a_wrong_command_is_an_error_and_is_not_saved(text: str, message: str) -> None:
    store = RecordingStore()
    images = [] if text == "/caption" else [make_image()]
    with pytest.raises(SkillError, match=message):
        run_turns(ScriptedModel(), user(text, *images), store=store)
    assert store.turns == []


@pytest.mark.parametrize(
    "text",
    [
        *(
            "/etc is a folder?",
            "/",
            "/ caption",
            "What does /caption do?",
            "//caption",
            "// a comment",
            "/* another */",
        ),
        *("/home/me/x.png what is this?", "/etc/hosts is what?", "/x.png", "/24 is a network?", "caption/ it"),
    ],
)
def test_other_text_with_a_slash_goes_to_the_model(text: str) -> None:
    assert parse_command(text) is None
    [events] = run_turns(ScriptedModel(), user(text))
    assert reply_text(events) == f"You said: {text}"


def test_a_command_in_a_reply_is_not_run() -> None:
    first, second = run_turns(ScriptedModel("/caption", "Well."), user("Say it.", make_image()), user("Go on."))
    assert (reply_text(first), reply_text(second)) == ("/caption", "Well.")
    assert not any(isinstance(event, SkillResult) for event in [*first, *second])


def test_a_stopped_skill_is_saved_as_an_interrupted_turn() -> None:
    store = RecordingStore()
    model = StallingModel("")

    async def stop_while_the_model_works() -> None:
        session = Session(model, router=SlashCommandRouter(lambda: model), store=store)
        task = asyncio.create_task(run_turn(session, user("/caption", make_image())))
        assert await asyncio.to_thread(model.stalled.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(stop_while_the_model_works())
    assert store.turns == [("/caption", "", True)]


def test_help_lists_the_commands_and_leaves_no_trace() -> None:
    store = RecordingStore()
    model = ScriptedModel()
    for text in ("/help", " /help me ", "/help?"):
        [events] = run_turns(model, user(text), store=store)
        lines = [event.text for event in events if isinstance(event, Notice)]
        assert any(line.startswith("/caption PHOTO [--style") for line in lines)
        assert any(line.startswith("/model NAME") for line in lines)
        assert "\\/" in lines[-1]
    assert (store.turns, model.prompts) == ([], [])


def test_help_describes_one_command() -> None:
    for text in ("/help caption", "/help /caption", "/help Caption please"):
        [events] = run_turns(ScriptedModel(), user(text))
        lines = [event.text for event in events if isinstance(event, Notice)]
        assert lines[0].startswith("/caption PHOTO [--style")
        assert any(line.startswith("--style: How much to say") for line in lines)
    [[event]] = run_turns(ScriptedModel(), user("/help model"))
    assert isinstance(event, Notice)
    assert event.text.startswith("/model NAME")


def test_help_says_which_skills_take_pictures_and_how() -> None:
    [events] = run_turns(ScriptedModel(), user("/help"))
    lines = [event.text for event in events if isinstance(event, Notice)]
    assert any(line.startswith("/emotion [--text TEXT] [FACE] [--voice PATH]") for line in lines), lines
    assert any(line.startswith("/read PHOTO") for line in lines), lines
    told = "In the place of PHOTO or FACE goes a picture: name its path, or attach it; without one, the latest"
    assert told in "".join(lines)
    for command, end in (("caption", "; without one, the latest picture is looked at."), ("emotion", "attach it.")):
        [events] = run_turns(ScriptedModel(), user(f"/help {command}"))
        lines = [event.text for event in events if isinstance(event, Notice)]
        assert any(line.startswith("In the place of") and line.endswith(end) for line in lines), lines


@pytest.mark.parametrize(("typed", "sent"), [("\\/help me", "/help me"), (" \\/foo", " /foo"), ("\\(x\\)", "\\(x\\)")])
def test_a_backslash_sends_a_text_with_its_slash(typed: str, sent: str) -> None:
    model, store = ScriptedModel("Fine."), RecordingStore()
    run_turns(model, user(typed, make_image()), store=store)
    assert model.prompts[0][0].text == sent
    assert model.prompts[0][0].images
    assert store.turns == [(sent, "Fine.", False)]


def test_spoken_words_are_never_a_command() -> None:
    async def speak() -> None:
        model = ScriptedModel("Fine.")
        session = Session(model, router=SlashCommandRouter(lambda: model))
        events = [event async for event in session.turn(user("/help"), commands=False)]
        assert reply_text(events) == "Fine."

    asyncio.run(speak())
