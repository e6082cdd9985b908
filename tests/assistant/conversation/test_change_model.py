"""Changing the model of a session: order of loading, failures, and what the new model receives."""

import pytest

from assistant.conversation.session import Session
from assistant.errors import ConfigError, ModelError
from assistant.models.scripted import ScriptedModel
from assistant.progress import no_progress
from tests.fakes.conversation import (
    AttentiveModel,
    FakeModelSource,
    OverflowingModel,
    PreparingModel,
    ask,
    texts,
)


async def test_the_new_model_is_fetched_first_and_loaded_once_the_old_one_is_freed() -> None:
    one, two = ScriptedModel("One."), ScriptedModel("Two.")
    source = FakeModelSource(one, one=one, two=two)
    steps: list[tuple[str, int, int]] = []
    session = Session(one, models=source, model_name="one")
    await ask(session, "Count.")
    assert await session.change_model("", no_progress) == (
        "scripted answers. Another is chosen with /model NAME, as --model takes it."
    )
    assert await session.change_model("two", lambda *step: steps.append(step)) == "scripted answers from here on."
    assert await ask(session, "Go on.") == "Two."
    assert source.log == ["fetch two", "load two, the old one freed"]
    assert steps == [("fetching", 1, 2)]
    assert texts(two.prompts[0]) == ["Count.", "One.", "Go on."]
    assert texts(session.messages) == ["Count.", "One.", "Go on.", "Two."]


async def test_a_model_loaded_during_a_call_leaves_a_core_to_others_until_its_end() -> None:
    one, two = AttentiveModel(), AttentiveModel()
    session = Session(one, models=FakeModelSource(one, one=one, two=two), model_name="one")
    session.share_cores(shared=True)
    await session.change_model("two", no_progress)
    assert (one.shares, two.shares) == ([True], [True])
    session.share_cores(shared=False)
    assert (one.shares, two.shares) == ([True], [True, False])
    await session.change_model("one", no_progress)
    assert one.shares == [True]
    await session.close()


async def test_a_new_model_reads_the_conversation_before_the_next_question() -> None:
    one, two = ScriptedModel("One."), PreparingModel()
    session = Session(one, models=FakeModelSource(one, one=one, two=two), model_name="one")
    await ask(session, "Count.")
    await session.change_model("two", no_progress)
    assert two.begun.wait(30)
    assert [(name, texts(prompt)) for name, prompt in two.calls] == [("prepare", ["Count.", "One.", ""])]
    await session.close()


async def test_a_larger_context_brings_back_what_was_left_out() -> None:
    large = ScriptedModel()
    session = Session(OverflowingModel(max_turns=2), models=FakeModelSource(other=large), model_name="small")
    for number in range(4):
        await ask(session, str(number))
    await session.change_model("other", no_progress)
    await ask(session, "4")
    assert [message.text for message in large.prompts[0] if message.role == "user"] == ["0", "1", "2", "3", "4"]


async def test_a_model_that_cannot_be_fetched_leaves_the_old_one() -> None:
    one = ScriptedModel("One.")
    session = Session(one, models=FakeModelSource(one=one), model_name="one")
    with pytest.raises(ModelError, match=r"^There is no model none\.$"):
        await session.change_model("none", no_progress)
    assert not one.closed
    assert await ask(session, "Count.") == "One."


async def test_a_model_that_cannot_be_loaded_brings_the_old_one_back() -> None:
    one = ScriptedModel("One.", "Two.")
    source = FakeModelSource(one=one)
    session = Session(one, models=source, model_name="one")
    await ask(session, "Count.")
    with pytest.raises(ModelError, match=r"^There is not enough memory for large\. scripted answers on\.$"):
        await session.change_model("large", no_progress)
    assert await ask(session, "Go on.") == "Two."
    assert source.log == ["fetch large", "load large", "load one"]


async def test_a_session_without_a_source_of_models_cannot_change_its_model() -> None:
    with pytest.raises(ConfigError, match="cannot be changed"):
        await Session(ScriptedModel()).change_model("two", no_progress)
