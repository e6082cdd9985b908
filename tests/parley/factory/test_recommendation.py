"""A machine without a GPU is told once which model of the catalogue would fit it."""

from pathlib import Path

import pytest

from assistant.models import hub
from assistant.models.scripted import ScriptedModel
from assistant.settings import Settings, load
from parley.factory.recommendation import describe, largest_that_fits, recommend
from parley.factory.session import start_session
from tests.fakes.command_line import run

ANSWERS = hub.answers

pytestmark = pytest.mark.usefixtures("nobodys_machine", "laptop")


@pytest.fixture
def laptop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine with 8 GB of free memory, no GPU, no models, and a hub in reach."""
    monkeypatch.setattr("assistant.models.memory.free_memory", lambda: 8 * 10**9)
    monkeypatch.setattr("parley.factory.models.gpu_backend", lambda: None)
    monkeypatch.setattr("assistant.models.hub.answers", lambda _: True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def test_the_largest_model_that_fits_and_is_bearable_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {}
    for gigabytes in (1, 3, 8, 12, 500):
        monkeypatch.setattr("assistant.models.memory.free_memory", lambda found=gigabytes: found * 10**9)
        entry = largest_that_fits()
        names[gigabytes] = entry.name if entry else None
    assert names == {1: None, 3: "smolvlm2-500m", 8: "qwen3-vl-2b", 12: "qwen3-vl-4b", 500: "qwen3-vl-4b"}


def test_the_sentence_tells_memory_download_and_command(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = largest_that_fits()
    assert entry is not None
    monkeypatch.setattr("parley.factory.recommendation.find_spec", lambda _: object())
    sentence = describe(entry)
    assert "It takes 6." in sentence
    assert sentence.endswith("of memory and 4.3 GB to download: `parley models use qwen3-vl-2b`.")
    monkeypatch.setattr("parley.factory.recommendation.find_spec", lambda _: None)
    assert "`pip install 'parley-assistant[gpu]'` and then `parley models use qwen3-vl-2b`." in describe(entry)


def test_nothing_is_recommended_where_another_model_answers_or_the_hub_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert recommend(Settings()) is not None
    assert recommend(Settings(model="pocket")) is not None
    assert recommend(Settings(model="somebody/vlm")) is None
    assert recommend(Settings(base_url="http://localhost:1/v1")) is None
    monkeypatch.setattr("assistant.models.hub.cached_folder", lambda *_: Path())
    assert recommend(Settings()) is None


def test_a_hub_that_is_away_or_switched_off_recommends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assistant.models.hub.answers", lambda _: False)
    assert recommend(Settings()) is None
    monkeypatch.setattr("assistant.models.hub.answers", lambda _: pytest.fail("the network was used"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert recommend(Settings()) is None


async def test_the_first_start_says_it_and_no_later_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parley.factory.session.build_model", lambda *_: ScriptedModel())
    told: list[list[str]] = []
    for save in (False, True, True):
        notices: list[str] = []
        session = start_session(load().settings, save=save, notices=notices)
        told.append([notice for notice in notices if "would fit this machine" in notice])
        await session.close()
    assert [len(notices) for notices in told] == [0, 1, 0]


def test_the_list_of_models_ends_with_it() -> None:
    result = run("models")
    assert result.exit_code == 0
    assert "parley: qwen3-vl-2b would fit this machine, too" in result.stderr
    assert "would fit" not in run("models", "--json").stderr


def test_an_address_where_nobody_listens_does_not_answer() -> None:
    assert ANSWERS("http://127.0.0.1:1/") is False
    assert ANSWERS("nonsense") is False
