"""Models and clients for skills, built from settings."""

import threading
from pathlib import Path

import pytest

from assistant.errors import ConfigError, ModelError
from assistant.models.remote.http_client import ApiClient
from assistant.models.remote.model import RemoteModel
from assistant.models.scripted import ScriptedModel
from assistant.settings import Settings
from parley.factory.bundled import assemble_pocket
from parley.factory.models import build_model, build_vision_clients
from tests.fakes.skills import BatchingModel


def test_an_unwritable_cache_is_an_error_that_names_the_variable(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelError) as raised:
        assemble_pocket(settings.model_copy(update={"cache_dir": tmp_path / "file" / "cache"}))
    assert str(tmp_path / "file" / "cache") in str(raised.value)
    assert "PARLEY_CACHE_DIR" in str(raised.value)


def test_the_delay_of_the_scripted_model_is_a_number(settings: Settings) -> None:
    assert build_model(settings.model_copy(update={"model": "scripted:0.01"})).info.name == "scripted"
    for delay in ("slow", "1e400", "1e300", "nan", "-1"):
        with pytest.raises(ConfigError, match=f"scripted:{delay} needs its seconds"):
            build_model(settings.model_copy(update={"model": f"scripted:{delay}"}))


def test_several_clients_of_a_server_connect_once(monkeypatch: pytest.MonkeyPatch) -> None:
    connected = []

    def connect(base_url: str, **_: object) -> RemoteModel:
        connected.append(base_url)
        return RemoteModel(ApiClient(base_url), "qwen")

    monkeypatch.setattr(RemoteModel, "connect", connect)
    settings = Settings(base_url="http://localhost:9/v1")
    models = build_vision_clients(settings, threading.Event(), workers=5, max_clients=9)
    assert [model.info.name for model in models] == ["qwen"] * 5
    assert len({id(model) for model in models}) == 5
    assert connected == ["http://localhost:9/v1"]
    assert len(build_vision_clients(settings, threading.Event(), workers=5, max_clients=2)) == 2
    assert len(build_vision_clients(settings, threading.Event(), max_clients=9)) == 1


def test_clients_of_a_batching_model_are_as_many_as_suit_it_or_as_connected(
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
