"""A machine without a GPU is told once which model would fit it."""

from pathlib import Path

import pytest

from assistant.models import hub
from assistant.models.gguf.hub_files import HubName
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
    for gigabytes in (1, 3, 8, 500):
        monkeypatch.setattr("assistant.models.memory.free_memory", lambda found=gigabytes: found * 10**9)
        entry = largest_that_fits()
        names[gigabytes] = entry.name if entry else None
    two, four = (f"hub:Qwen/Qwen3-VL-{size}-Instruct-GGUF" for size in ("2B", "4B"))
    assert names == {1: None, 3: two, 8: four, 500: four}


def test_the_sentence_tells_memory_download_and_command() -> None:
    entry = largest_that_fits()
    assert entry is not None
    sentence = describe(entry)
    assert "It takes 4." in sentence
    assert sentence.endswith("of memory and 3.0 GB to download: `parley models use recommended`.")


def test_nothing_is_recommended_where_another_model_answers_or_the_hub_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert recommend(Settings()) is not None
    assert recommend(Settings(model="pocket")) is not None
    assert recommend(Settings(model="somebody/vlm")) is None
    assert recommend(Settings(base_url="http://localhost:1/v1")) is None
    monkeypatch.setattr("assistant.models.gguf.hub_files.cached_gguf", lambda _: (Path(), None))
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
    assert "parley: Qwen3-VL-4B-Instruct-GGUF would fit this machine, too" in result.stderr
    assert "would fit" not in run("models", "--json").stderr


def test_an_address_where_nobody_listens_does_not_answer() -> None:
    assert ANSWERS("http://127.0.0.1:1/") is False
    assert ANSWERS("nonsense") is False


def test_the_recommended_model_is_fetched_and_used(monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[HubName] = []

    def fetch(name: HubName, _: object) -> tuple[Path, None]:
        fetched.append(name)
        return Path(), None

    monkeypatch.setattr("assistant.models.gguf.hub_files.fetch_gguf", fetch)
    result = run("models", "use", "recommended")
    assert result.exit_code == 0, result.stderr
    assert fetched == [HubName("Qwen/Qwen3-VL-4B-Instruct-GGUF")]
    assert load().settings.model == "hub:Qwen/Qwen3-VL-4B-Instruct-GGUF"


def test_a_machine_with_little_memory_or_with_a_gpu_is_recommended_what_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("assistant.models.memory.free_memory", lambda: 10**9)
    result = run("models", "use", "recommended")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "No vision-language model fits the free memory" in result.stderr
    monkeypatch.setattr("parley.factory.models.gpu_backend", lambda: "cuda")
    assert run("models", "use", "recommended").stdout.startswith("auto is the model of ")
