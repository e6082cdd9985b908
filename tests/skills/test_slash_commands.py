"""Skills called in a conversation: what counts as a call, and what becomes of it."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

import pytest

from assistant.conversation.session import Session
from assistant.errors import SkillError
from assistant.events import Event, SkillResult, TextDelta, TurnFinished, Usage
from assistant.messages import Message, assistant, user
from assistant.models.scripted import ScriptedModel
from skills.slash_commands import SkillCalls, parse_command
from tests.skills.conftest import make_photo


class Kept:
    """A store that remembers turns in memory."""

    def __init__(self) -> None:
        self.turns: list[tuple[Message, Message]] = []

    def append(self, user: Message, reply: Message, usage: Usage) -> None:
        self.turns.append((user, reply))


def converse(model: ScriptedModel, *messages: Message, kept: Kept | None = None) -> list[list[Event]]:
    """The events of each turn of one conversation."""

    async def turns() -> list[list[Event]]:
        session = Session(model, divert=SkillCalls(lambda: model), store=kept)
        return [await one(session, message) for message in messages]

    return asyncio.run(turns())


async def one(session: Session, message: Message) -> list[Event]:
    async with aclosing(session.turn(message)) as events:
        return [event async for event in events]


def said(events: Sequence[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def test_the_result_is_the_reply_and_is_kept() -> None:
    kept = Kept()
    model = ScriptedModel("A red thing.")
    [events] = converse(model, user("/caption", make_photo()), kept=kept)
    assert [type(event) for event in events] == [SkillResult, TextDelta, TurnFinished]
    assert isinstance(events[0], SkillResult)
    assert (events[0].skill, events[0].result.text) == ("caption", "A red thing.")
    assert said(events) == "A red thing."
    assert kept.turns == [(user("/caption", make_photo()), assistant("A red thing."))]


def test_what_follows_knows_of_it() -> None:
    model = ScriptedModel("A red thing.", "Quite red.")
    converse(model, user("/caption", make_photo()), user("How red?"))
    assert model.prompts[-1] == (user("/caption", make_photo()), assistant("A red thing."), user("How red?"))


def test_without_a_picture_it_looks_at_the_one_before() -> None:
    model = ScriptedModel("Hm.", "A red thing.")
    [_, events] = converse(model, user("What is it?", make_photo(name="old.png")), user("/caption"))
    assert said(events) == "A red thing."
    assert model.prompts[-1][0].images == (make_photo(name="old.png"),)


def test_each_of_several_pictures_has_its_result() -> None:
    model = ScriptedModel("Red.", "Blue.")
    [events] = converse(model, user("/caption", make_photo(name="a.png"), make_photo(colour="blue", name="b.png")))
    assert said(events) == "a.png: Red.\nb.png: Blue."


def test_options_are_read_as_in_the_shell() -> None:
    model = ScriptedModel()
    [events] = converse(model, user("/caption --style detailed --language=German", make_photo()))
    assert said(events) == ("You said: Describe the picture in detail. Answer in German. (and showed photo.png)")


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
    kept = Kept()
    pictures = [] if text == "/caption" else [make_photo()]
    with pytest.raises(SkillError, match=sentence):
        converse(ScriptedModel(), user(text, *pictures), kept=kept)
    assert kept.turns == []


@pytest.mark.parametrize(
    "text", ["/etc is a folder?", "/", "/ caption", "What does /caption do?", "//caption", "/Caption"]
)
def test_other_words_that_begin_with_a_slash_are_for_the_model(text: str) -> None:
    assert parse_command(text) is None
    assert said(converse(ScriptedModel(), user(text))[0]) == f"You said: {text}"


def test_only_what_a_person_types_is_a_call() -> None:
    model = ScriptedModel("/caption", "Well.")
    first, second = converse(model, user("Say it.", make_photo()), user("Go on."))
    assert (said(first), said(second)) == ("/caption", "Well.")
    assert not any(isinstance(event, SkillResult) for event in [*first, *second])


def test_a_stopped_skill_leaves_a_stopped_turn() -> None:
    kept = Kept()
    model = ScriptedModel("word " * 500, token_seconds=0.01)

    async def stopped() -> None:
        session = Session(model, divert=SkillCalls(lambda: model), store=kept)
        task = asyncio.create_task(one(session, user("/caption", make_photo())))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(stopped())
    [(asked, reply)] = kept.turns
    assert (asked.text, reply.text, reply.interrupted) == ("/caption", "", True)
