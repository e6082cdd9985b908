"""Preparing the prompt of the next turn while the user still writes or speaks."""

import pytest

from assistant.conversation.session import Session
from assistant.errors import ModelError
from assistant.messages import assistant, system, user
from assistant.models.scripted import ScriptedModel
from tests.fakes.conversation import CAT, PreparingModel, reply_text, run_turn

DEADLINE = 30.0


async def test_the_instructions_and_the_conversation_are_prepared_before_the_turn() -> None:
    model = PreparingModel()
    model.may_end.set()
    session = Session(model, system=system("Be brief."), messages=[user("Hello"), assistant("Good day.")])
    session.prepare()
    await run_turn(session, user("Who are you?"))
    prepared = (system("Be brief."), user("Hello"), assistant("Good day."), user(""))
    assert model.calls[0] == ("prepare", prepared)
    assert model.calls[-1] == ("stream", (*prepared[:-1], user("Who are you?")))


async def test_images_are_prepared_before_their_question_is_known() -> None:
    model = PreparingModel()
    session = Session(model)
    session.prepare(user("", CAT))
    assert model.begun.wait(DEADLINE)
    assert model.calls == [("prepare", (user("", CAT),))]
    await session.close()


async def test_a_turn_ends_the_preparation_and_is_answered() -> None:
    model = PreparingModel()
    session = Session(model)
    session.prepare()
    assert model.begun.wait(DEADLINE)
    events = await run_turn(session, user("Hello"))
    assert reply_text(events) == "You said: Hello"
    assert [name for name, _ in model.calls] == ["prepare", "stopped", "stream"]


async def test_a_later_preparation_takes_the_place_of_an_earlier_one() -> None:
    model = PreparingModel()
    session = Session(model)
    session.prepare()
    assert model.begun.wait(DEADLINE)
    session.prepare(user("", CAT))
    session.prepare(user("", CAT, CAT))
    model.may_end.set()
    await session.close()
    assert model.calls[-1][1] in ((user(""),), (user("", CAT, CAT),))
    assert ("prepare", (user("", CAT),)) not in model.calls


async def test_what_cannot_be_prepared_is_an_error_of_the_turn_only() -> None:
    model = PreparingModel(error=ModelError("The picture is broken."))
    session = Session(model)
    session.prepare(user("", CAT))
    assert reply_text(await run_turn(session, user("Hello"))) == "You said: Hello"


async def test_a_fault_of_the_program_while_preparing_is_not_hidden() -> None:
    model = PreparingModel(error=ZeroDivisionError("a fault"))
    session = Session(model)
    session.prepare()
    with pytest.raises(ZeroDivisionError, match="a fault"):
        await run_turn(session, user("Hello"))


async def test_nothing_is_prepared_during_a_turn_or_after_the_end() -> None:
    model = PreparingModel()
    model.enqueue("One two three.")
    session = Session(model)
    turn = session.turn(user("Hello"))
    async for _ in turn:
        session.prepare()
    assert [name for name, _ in model.calls] == ["stream"]
    await session.close()
    session.prepare()
    assert [name for name, _ in model.calls] == ["stream"]


async def test_a_model_that_cannot_prepare_is_left_alone() -> None:
    model = ScriptedModel()
    session = Session(model)
    session.prepare()
    await run_turn(session, user("Hello"))
    assert len(model.prompts) == 1
