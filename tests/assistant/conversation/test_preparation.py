"""Preparing the prompt of the next turn while the user still writes or speaks."""

import threading
from collections.abc import Generator, Sequence

import pytest

from assistant.conversation.session import Session
from assistant.errors import ModelError
from assistant.events import Usage
from assistant.messages import Message, assistant, system, user
from assistant.models.base import GenerationOptions
from assistant.models.scripted import ScriptedModel
from tests.fakes.conversation import CAT, reply_text, run_turn

DEADLINE = 30.0


class PreparingModel(ScriptedModel):
    """Prepare a prompt until it is stopped or may end, and keep a list of what was called."""

    def __init__(self, *, error: Exception | None = None) -> None:
        super().__init__()
        self.calls: list[tuple[str, tuple[Message, ...]]] = []
        self.begun = threading.Event()
        self.may_end = threading.Event()
        self._error = error

    def prepare(self, messages: Sequence[Message], stop: threading.Event) -> None:
        self.calls.append(("prepare", tuple(messages)))
        self.begun.set()
        while not (stop.is_set() or self.may_end.is_set()):
            stop.wait(0.01)
        if self._error is not None:
            raise self._error
        self.calls.append(("stopped" if stop.is_set() else "prepared", tuple(messages)))

    def stream(
        self, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event
    ) -> Generator[str, None, Usage]:
        self.calls.append(("stream", tuple(messages)))
        return (yield from super().stream(messages, options, stop))


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
