"""Sessions built from settings and history."""

import asyncio

import pytest

from assistant.errors import HistoryError
from assistant.messages import assistant, system, user
from assistant.models.base import GenerationOptions
from assistant.models.scripted import ScriptedModel
from assistant.settings import Settings
from parley.factory.session import build_session, find_conversation, generation_options, open_history, start_session
from tests.fakes.conversation import ask


def test_a_new_session_has_the_instructions_and_options_of_the_settings(settings: Settings) -> None:
    model = ScriptedModel()
    sampling = {"temperature": 0.5, "seed": 3, "top_p": 0.9, "top_k": 40, "min_p": 0.1, "stop": ("\n",)}
    penalties = {"repetition_penalty": 1.1, "presence_penalty": -0.5}
    wanted = settings.model_copy(update={"system": "Be brief.", "max_tokens": 2, **sampling, **penalties})
    session = build_session(wanted, model, open_history(wanted))
    asyncio.run(ask(session, "Hello"))
    assert model.prompts[0] == (system("Be brief."), user("Hello"))
    assert session.options == GenerationOptions(2, **sampling, **penalties)  # type: ignore[arg-type]
    assert generation_options(settings) == GenerationOptions()


def test_a_conversation_is_resumed_with_its_turns_and_instructions(settings: Settings) -> None:
    history = open_history(settings)
    asyncio.run(
        ask(build_session(settings.model_copy(update={"system": "Be brief."}), ScriptedModel(), history), "Hello")
    )
    model = ScriptedModel()
    session = build_session(settings, model, history, resume=history.latest())
    assert session.messages == [user("Hello"), assistant("You said: Hello")]
    asyncio.run(ask(session, "Again"))
    assert model.prompts[0][0] == system("Be brief.")
    assert len(history.list()) == 1
    other = ScriptedModel()
    resumed = build_session(settings.model_copy(update={"system": "Rhyme."}), other, history, resume=history.latest())
    asyncio.run(ask(resumed, "And again"))
    assert other.prompts[0][0] == system("Rhyme.")


def test_an_unsaved_session_writes_nothing(settings: Settings) -> None:
    asyncio.run(ask(start_session(settings, save=False), "Hello"))
    assert open_history(settings).latest() is None


def test_a_session_without_turns_writes_nothing(settings: Settings) -> None:
    start_session(settings)
    assert open_history(settings).list() == []


def test_an_id_prefix_finds_a_conversation_unless_two_share_it(settings: Settings) -> None:
    history = open_history(settings)
    for _ in range(40):
        asyncio.run(ask(build_session(settings, ScriptedModel(), history), "Hello"))
    ids = [summary.id for summary in history.list()]
    assert find_conversation(history, None) == history.latest()
    assert all(find_conversation(history, identifier) == identifier for identifier in ids)
    shared = next(first[0] for first in ids if sum(other[0] == first[0] for other in ids) > 1)
    with pytest.raises(HistoryError, match=f"Several conversations begin with {shared}"):
        find_conversation(history, shared)
    with pytest.raises(HistoryError, match="There is no conversation xyz"):
        find_conversation(history, "xyz")
