"""What the factory builds from settings."""

import asyncio
import threading
from contextlib import aclosing
from pathlib import Path

import pytest

from assistant.conversation.session import Session
from assistant.errors import ConfigError, HistoryError, ModelError
from assistant.messages import assistant, system, user
from assistant.models.remote.http_client import ApiClient
from assistant.models.remote.model import RemoteModel
from assistant.models.scripted import ScriptedModel
from assistant.settings import Settings
from parley.factory.models import assemble_pocket, build_model, build_vision_clients
from parley.factory.session import build_session, find_conversation, open_history, start_session
from tests.fakes.skills import BatchingModel


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(model="scripted", data_dir=tmp_path / "data", cache_dir=tmp_path / "cache")


async def say(session: Session, text: str) -> None:
    async with aclosing(session.turn(user(text))) as events:
        async for _ in events:
            pass


def changed(settings: Settings, **values: object) -> Settings:
    return settings.model_copy(update=values)


def test_a_new_session_has_the_instructions_and_options_of_the_settings(settings: Settings) -> None:
    model = ScriptedModel()
    wanted = changed(settings, system="Be brief.", max_tokens=2, temperature=0.5, seed=3)
    session = build_session(wanted, model, open_history(wanted))
    asyncio.run(say(session, "Hello"))
    assert model.prompts[0] == (system("Be brief."), user("Hello"))
    assert (session.options.max_tokens, session.options.temperature, session.options.seed) == (2, 0.5, 3)


def test_a_conversation_is_resumed_with_its_turns_and_instructions(settings: Settings) -> None:
    history = open_history(settings)
    asyncio.run(say(build_session(changed(settings, system="Be brief."), ScriptedModel(), history), "Hello"))
    model = ScriptedModel()
    session = build_session(settings, model, history, resume=history.latest())
    assert session.messages == [user("Hello"), assistant("You said: Hello")]
    asyncio.run(say(session, "Again"))
    assert model.prompts[0][0] == system("Be brief.")
    assert len(history.list()) == 1
    other = ScriptedModel()
    resumed = build_session(changed(settings, system="Rhyme."), other, history, resume=history.latest())
    asyncio.run(say(resumed, "And again"))
    assert other.prompts[0][0] == system("Rhyme.")


def test_an_unsaved_session_writes_nothing(settings: Settings) -> None:
    asyncio.run(say(start_session(settings, save=False), "Hello"))
    assert open_history(settings).latest() is None


def test_a_session_without_turns_writes_nothing(settings: Settings) -> None:
    start_session(settings)
    assert open_history(settings).list() == []


def test_an_id_prefix_finds_a_conversation_unless_two_share_it(settings: Settings) -> None:
    history = open_history(settings)
    for _ in range(40):
        asyncio.run(say(build_session(settings, ScriptedModel(), history), "Hello"))
    ids = [summary.id for summary in history.list()]
    assert find_conversation(history, None) == history.latest()
    assert all(find_conversation(history, identifier) == identifier for identifier in ids)
    shared = next(first[0] for first in ids if sum(other[0] == first[0] for other in ids) > 1)
    with pytest.raises(HistoryError, match=f"Several conversations begin with {shared}"):
        find_conversation(history, shared)
    with pytest.raises(HistoryError, match="There is no conversation xyz"):
        find_conversation(history, "xyz")


def test_an_unwritable_cache_is_an_error_that_names_the_variable(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelError) as raised:
        assemble_pocket(changed(settings, cache_dir=tmp_path / "file" / "cache"))
    assert str(tmp_path / "file" / "cache") in str(raised.value)
    assert "PARLEY_CACHE_DIR" in str(raised.value)


def test_the_delay_of_the_scripted_model_is_a_number(settings: Settings) -> None:
    assert build_model(changed(settings, model="scripted:0.01")).info.name == "scripted"
    for pace in ("slow", "1e400", "1e300", "nan", "-1"):
        with pytest.raises(ConfigError, match=f"scripted:{pace} needs its seconds"):
            build_model(changed(settings, model=f"scripted:{pace}"))


def test_several_clients_of_a_server_connect_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def connect(base_url: str, **_: object) -> RemoteModel:
        asked.append(base_url)
        return RemoteModel(ApiClient(base_url), "qwen")

    monkeypatch.setattr(RemoteModel, "connect", connect)
    settings = Settings(base_url="http://localhost:9/v1")
    models = build_vision_clients(settings, threading.Event(), workers=5, max_clients=9)
    assert [model.info.name for model in models] == ["qwen"] * 5
    assert len({id(model) for model in models}) == 5
    assert asked == ["http://localhost:9/v1"]
    assert len(build_vision_clients(settings, threading.Event(), workers=5, max_clients=2)) == 2
    assert len(build_vision_clients(settings, threading.Event(), max_clients=9)) == 1


def test_clients_of_a_batching_model_are_as_many_as_suit_it_or_as_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("parley.factory.models.build_model", lambda *_: BatchingModel(replicas=2))

    def count(jobs: int | None, most: int) -> int:
        return len(build_vision_clients(Settings(model="pocket"), threading.Event(), workers=jobs, max_clients=most))

    assert [count(None, most) for most in (1, 3, 80)] == [1, 3, 8]
    assert [count(jobs, 80) for jobs in (1, 2, 5)] == [1, 2, 5]


def test_a_model_for_one_question_at_a_time_refuses_several_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    model = ScriptedModel()
    monkeypatch.setattr("parley.factory.models.build_model", lambda *_: model)
    with pytest.raises(ConfigError, match="answers one question at a time: leave --jobs out"):
        build_vision_clients(Settings(model="somebody/vlm"), threading.Event(), workers=2, max_clients=9)
    assert model.closed
    assert len(build_vision_clients(Settings(model="somebody/vlm"), threading.Event(), max_clients=9)) == 1
