"""Skills called in a conversation: what counts as a call, and what becomes of it."""

import asyncio

import pytest

from assistant.conversation.session import Session
from assistant.errors import SkillError
from assistant.events import SkillResult, TextDelta, TurnFinished
from assistant.messages import assistant, user
from assistant.models.scripted import ScriptedModel
from skills.slash_commands import SlashCommandRouter, parse_command
from tests.fakes.skills import TurnStore, make_image, reply_text, run_turn, run_turns


def test_the_result_is_the_reply_and_is_kept() -> None:
    store = TurnStore()
    model = ScriptedModel("A red thing.")
    [events] = run_turns(model, user("/caption", make_image()), store=store)
    assert [type(event) for event in events] == [SkillResult, TextDelta, TurnFinished]
    assert isinstance(events[0], SkillResult)
    assert (events[0].skill, events[0].result.text) == ("caption", "A red thing.")
    assert reply_text(events) == "A red thing."
    assert store.turns == [(user("/caption", make_image()), assistant("A red thing."))]


def test_what_follows_knows_of_it() -> None:
    model = ScriptedModel("A red thing.", "Quite red.")
    run_turns(model, user("/caption", make_image()), user("How red?"))
    assert model.prompts[-1] == (user("/caption", make_image()), assistant("A red thing."), user("How red?"))


def test_without_a_picture_it_looks_at_the_one_before() -> None:
    model = ScriptedModel("Hm.", "A red thing.")
    [_, events] = run_turns(model, user("What is it?", make_image(name="old.png")), user("/caption"))
    assert reply_text(events) == "A red thing."
    assert model.prompts[-1][0].images == (make_image(name="old.png"),)


def test_each_of_several_pictures_has_its_result() -> None:
    model = ScriptedModel("Red.", "Blue.")
    [events] = run_turns(model, user("/caption", make_image(name="a.png"), make_image(colour="blue", name="b.png")))
    assert reply_text(events) == "a.png: Red.\nb.png: Blue."


def test_options_are_read_as_in_the_shell() -> None:
    model = ScriptedModel()
    [events] = run_turns(model, user("/caption --style detailed --language=German", make_image()))
    assert reply_text(events) == ("You said: Describe the picture in detail. Answer in German. (and showed photo.png)")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("/caption", "needs a photo|needs a picture: name one, or attach it"),
        ("/caption --style tiny", "input should be 'short'"),
        ("/caption --style", "--style of the skill caption needs a value"),
        ("/caption --style --language x", "--style of the skill caption needs a value"),
        ("/caption --stile short", "takes no --stile; it takes --style, --language"),
        ("/caption --style short --style dense", "--style of the skill caption is given twice"),
        ("/caption whatever", "takes no words like “whatever”"),
        ("/captoin", "is it /caption that you mean"),
        ("/foo", "There is no skill foo; there are /caption, /emotion, /read, /vqa"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused_and_not_kept(text: str, sentence: str) -> None:
    store = TurnStore()
    pictures = [] if text == "/caption" else [make_image()]
    with pytest.raises(SkillError, match=sentence):
        run_turns(ScriptedModel(), user(text, *pictures), store=store)
    assert store.turns == []


@pytest.mark.parametrize(
    "text", ["/etc is a folder?", "/", "/ caption", "What does /caption do?", "//caption", "/Caption"]
)
def test_other_words_that_begin_with_a_slash_are_for_the_model(text: str) -> None:
    assert parse_command(text) is None
    assert reply_text(run_turns(ScriptedModel(), user(text))[0]) == f"You said: {text}"


def test_only_what_a_person_types_is_a_call() -> None:
    model = ScriptedModel("/caption", "Well.")
    first, second = run_turns(model, user("Say it.", make_image()), user("Go on."))
    assert (reply_text(first), reply_text(second)) == ("/caption", "Well.")
    assert not any(isinstance(event, SkillResult) for event in [*first, *second])


def test_a_stopped_skill_leaves_a_stopped_turn() -> None:
    store = TurnStore()
    model = ScriptedModel("word " * 500, token_seconds=0.01)

    async def stopped() -> None:
        session = Session(model, router=SlashCommandRouter(lambda: model), store=store)
        task = asyncio.create_task(run_turn(session, user("/caption", make_image())))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(stopped())
    [(asked, reply)] = store.turns
    assert (asked.text, reply.text, reply.interrupted) == ("/caption", "", True)
