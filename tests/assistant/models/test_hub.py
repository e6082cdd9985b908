"""Models from a hub: what is fetched in which order, what is refused before it is, and what an interruption leaves."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from assistant.errors import MissingExtraError, ModelError
from assistant.messages import Image, user
from assistant.models import hub
from assistant.models.local.loader import fetch_model
from assistant.models.local.model import LocalModel
from tests.fakes.hub_server import COMMIT, HubServer, running

REPOSITORY = "tiny/llava"


def quiet(what: str, done: int, total: int) -> None:
    """Nobody watches."""


@pytest.fixture
def folder(llava_folder: Path, tmp_path: Path) -> Path:
    """What the hub has: a copy that a test may change."""
    return Path(shutil.copytree(llava_folder, tmp_path / "on-the-hub"))


@pytest.fixture
def server(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    from huggingface_hub import constants

    with running(HubServer({REPOSITORY: folder})) as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        # The client hands on what it has in pieces of this size, and goes on from whole ones.
        monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 10_000)
        yield server


def test_a_model_is_fetched_once_and_then_asks_nobody(
    server: HubServer, llava_folder: Path, picture: Callable[[int], Image]
) -> None:
    heard: list[tuple[str, int, int]] = []
    model = LocalModel.load(REPOSITORY, device="cpu", quantize="none", progress=lambda *step: heard.append(step))
    assert model.info.name == REPOSITORY
    size = (llava_folder / "model.safetensors").stat().st_size
    fetching = [step for step in heard if step[0] == f"fetching {REPOSITORY}"]
    assert len(fetching) > 5
    assert fetching[-1][1:] == (size, size)
    assert server.fetched()[-1] == "model.safetensors", "the weights come last"
    server.asked.clear()
    LocalModel.load(REPOSITORY, device="cpu", quantize="none")
    assert not server.asked


def test_what_is_no_safetensors_is_never_fetched(server: HubServer, folder: Path) -> None:
    for name in ("pytorch_model.bin", "modeling_evil.py", "consolidated.safetensors", "tf_model.h5"):
        (folder / name).write_bytes(b"not wanted")
    found = hub.fetch(REPOSITORY, "main", quiet)
    assert not {file.name for file in found.iterdir()} & {"pytorch_model.bin", "modeling_evil.py", "tf_model.h5"}
    assert "consolidated.safetensors" not in server.fetched()


@pytest.mark.parametrize("status", ["cut", "abandoned"])
def test_an_interrupted_download_goes_on_where_it_left_off(
    server: HubServer, llava_folder: Path, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Abandoned(Exception):
        pass

    def leave(what: str, done: int, total: int) -> None:
        if what.startswith("fetching") and done > 100_000:
            raise Abandoned

    if status == "cut":
        monkeypatch.setattr("time.sleep", lambda _: None)
        server.cut_after = 150_000
        found = hub.fetch(REPOSITORY, "main", quiet)
        assert server.ranges
    else:
        with pytest.raises(Abandoned):
            hub.fetch(REPOSITORY, "main", leave)
        assert hub.cached_folder(REPOSITORY, "main") is None
        assert not hub.list_cached()[0].complete
        heard: list[int] = []
        found = hub.fetch(REPOSITORY, "main", lambda what, done, _: heard.append(done) if "fetch" in what else None)
        assert server.ranges
        assert heard[1] >= 90_000
    assert (found / "model.safetensors").read_bytes() == (llava_folder / "model.safetensors").read_bytes()


def test_damaged_weights_are_thrown_away_and_fetched_anew(server: HubServer, llava_folder: Path) -> None:
    server.damaged.add("model.safetensors")
    with pytest.raises(ModelError, match=r"model\.safetensors of tiny/llava is not what the hub announced"):
        hub.fetch(REPOSITORY, "main", quiet)
    assert hub.cached_folder(REPOSITORY, "main") is None
    server.damaged.clear()
    found = hub.fetch(REPOSITORY, "main", quiet)
    assert (found / "model.safetensors").read_bytes() == (llava_folder / "model.safetensors").read_bytes()


def change_config(folder: Path, **changes: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def as_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def with_code(folder: Path) -> None:
    change_config(folder, model_type="mystery", auto_map={"AutoConfig": "configuration_mystery.Mystery"})


def for_words_only(folder: Path) -> None:
    change_config(folder, model_type="llama")


def with_videos(folder: Path) -> None:
    file = folder / "processor_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"processor_class": "SmolVLMProcessor"}))
    (folder / "video_preprocessor_config.json").write_text('{"video_processor_type": "SmolVLMVideoProcessor"}')


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (as_pickle, "weights as pickles only"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no safetensors weights"),
        (lambda folder: (folder / "config.json").unlink(), "no model for transformers"),
        (with_code, "own code, which Parley never runs"),
        (for_words_only, "cannot look at pictures"),
        (with_videos, "needs torchvision"),
    ],
)
def test_what_cannot_be_run_is_refused_before_its_weights_are_fetched(
    server: HubServer, folder: Path, change: Callable[[Path], object], sentence: str
) -> None:
    change(folder)
    with pytest.raises((ModelError, MissingExtraError), match=sentence) as caught:
        fetch_model(REPOSITORY)
    assert "\n" not in str(caught.value)
    assert not any(name.endswith((".safetensors", ".bin", ".py")) for name in server.fetched())


def test_a_model_behind_terms_says_where_to_accept_them(server: HubServer) -> None:
    server.gated.add(REPOSITORY)
    with pytest.raises(ModelError, match=r"accept its terms: do that at https://huggingface\.co/tiny/llava"):
        hub.fetch(REPOSITORY, "main", quiet)


def test_a_model_that_is_not_there_is_named(server: HubServer) -> None:
    with pytest.raises(ModelError, match="There is no model tiny/other on the hub"):
        hub.fetch("tiny/other", "main", quiet)


def test_what_can_be_no_id_is_named(server: HubServer) -> None:
    with pytest.raises(ModelError, match=r"owner/--name is no id of the hub, like owner/name"):
        hub.fetch("owner/--name", "main", quiet)


def test_too_little_room_is_told_with_the_folder(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**5, 0, 10**5))
    with pytest.raises(ModelError, match=r"takes .* more and the cache, .*cache, has 0\.1 MB left"):
        hub.fetch(REPOSITORY, "main", quiet)


def test_the_cache_is_listed_and_emptied(server: HubServer, folder: Path, tmp_path: Path) -> None:
    assert hub.list_cached() == []
    hub.fetch(REPOSITORY, COMMIT, quiet)
    [model] = hub.list_cached()
    assert (model.repository, model.complete) == (REPOSITORY, True)
    assert model.size >= (folder / "model.safetensors").stat().st_size
    assert hub.remove(REPOSITORY) == model.size
    assert hub.list_cached() == []
    assert not any(file.is_file() and file.stat().st_size > 10_000 for file in (tmp_path / "cache").rglob("*"))
    with pytest.raises(ModelError, match="is not in the cache"):
        hub.remove(REPOSITORY)


def test_a_question_is_answered_by_a_model_from_the_hub(server: HubServer, picture: Callable[[int], Image]) -> None:
    import threading

    from assistant.models.base import GenerationOptions

    model = LocalModel.load(REPOSITORY, device="cpu", quantize="none")
    assert list(model.stream([user("Look!", picture(1))], GenerationOptions(max_tokens=4), threading.Event()))
