"""Downloads from the hub: order, checks before the weights, resumption and integrity."""

import json
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from assistant.errors import MissingExtraError, ModelError
from assistant.messages import Image, user
from assistant.models import hub
from assistant.models.local.checkpoint import fetch_checkpoint
from assistant.models.local.model import LocalModel
from assistant.progress import no_progress
from tests.fakes.generation import complete
from tests.fakes.http_server import running
from tests.fakes.hub_server import COMMIT, HubServer, point_client_to

REPOSITORY = "tiny/llava"


@pytest.fixture
def folder(llava_folder: Path, tmp_path: Path) -> Path:
    """The folder on the hub: a copy that a test may change."""
    return Path(shutil.copytree(llava_folder, tmp_path / "on-the-hub"))


@pytest.fixture
def server(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    from huggingface_hub import constants

    with running(HubServer({REPOSITORY: folder})) as server:
        point_client_to(server, tmp_path / "cache", monkeypatch)
        # The client writes chunks of this size and resumes after the last complete one.
        monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 10_000)
        yield server


def test_a_model_is_fetched_once_and_then_read_from_the_cache(
    server: HubServer, llava_folder: Path, make_image: Callable[[int], Image]
) -> None:
    reports: list[tuple[str, int, int]] = []
    model = LocalModel.load(REPOSITORY, device="cpu", quantize="none", progress=lambda *step: reports.append(step))
    assert model.info.name == REPOSITORY
    size = (llava_folder / "model.safetensors").stat().st_size
    fetching = [step for step in reports if step[0] == f"fetching {REPOSITORY}"]
    assert len(fetching) > 5
    assert fetching[-1][1:] == (size, size)
    assert server.fetched()[-1] == "model.safetensors", "the weights come last"
    server.requests.clear()
    LocalModel.load(REPOSITORY, device="cpu", quantize="none")
    assert not server.requests


def test_only_safetensors_and_small_files_are_fetched(server: HubServer, folder: Path) -> None:
    for name in ("pytorch_model.bin", "modeling_evil.py", "consolidated.safetensors", "tf_model.h5"):
        (folder / name).write_bytes(b"not wanted")
    found = hub.fetch(REPOSITORY, "main", no_progress)
    assert not {file.name for file in found.iterdir()} & {"pytorch_model.bin", "modeling_evil.py", "tf_model.h5"}
    assert "consolidated.safetensors" not in server.fetched()


@pytest.mark.parametrize("status", ["disconnected", "abandoned"])
def test_an_interrupted_download_is_resumed(
    server: HubServer, llava_folder: Path, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Abandoned(Exception):
        pass

    def abandon(label: str, done: int, total: int) -> None:
        if label.startswith("fetching") and done > 100_000:
            raise Abandoned

    if status == "disconnected":
        monkeypatch.setattr("time.sleep", lambda _: None)
        server.cut_after = 150_000
        found = hub.fetch(REPOSITORY, "main", no_progress)
        assert server.ranges
    else:
        with pytest.raises(Abandoned):
            hub.fetch(REPOSITORY, "main", abandon)
        assert hub.cached_folder(REPOSITORY, "main") is None
        assert not hub.list_cached()[0].complete
        reports: list[int] = []
        found = hub.fetch(REPOSITORY, "main", lambda label, done, _: reports.append(done) if "fetch" in label else None)
        assert server.ranges
        assert reports[1] >= 90_000
    assert (found / "model.safetensors").read_bytes() == (llava_folder / "model.safetensors").read_bytes()


def test_damaged_weights_are_deleted_and_fetched_again(server: HubServer, llava_folder: Path) -> None:
    server.damaged.add("model.safetensors")
    with pytest.raises(ModelError, match=r"model\.safetensors of tiny/llava is not what the hub announced"):
        hub.fetch(REPOSITORY, "main", no_progress)
    assert hub.cached_folder(REPOSITORY, "main") is None
    server.damaged.clear()
    found = hub.fetch(REPOSITORY, "main", no_progress)
    assert (found / "model.safetensors").read_bytes() == (llava_folder / "model.safetensors").read_bytes()


def change_config(folder: Path, **changes: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def make_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def add_code(folder: Path) -> None:
    change_config(folder, model_type="mystery", auto_map={"AutoConfig": "configuration_mystery.Mystery"})


def make_text_only(folder: Path) -> None:
    change_config(folder, model_type="llama")


def need_torchvision(folder: Path) -> None:
    file = folder / "processor_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"processor_class": "SmolVLMProcessor"}))
    (folder / "video_preprocessor_config.json").write_text('{"video_processor_type": "SmolVLMVideoProcessor"}')


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (make_pickle, "weights as pickles only"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no safetensors weights"),
        (lambda folder: (folder / "config.json").unlink(), "not a model for transformers"),
        (add_code, "own code, which Parley never runs"),
        (make_text_only, "cannot look at pictures"),
        (need_torchvision, "needs torchvision"),
    ],
)
def test_an_unusable_model_is_refused_before_its_weights_are_fetched(
    server: HubServer, folder: Path, change: Callable[[Path], object], sentence: str
) -> None:
    change(folder)
    with pytest.raises((ModelError, MissingExtraError), match=sentence) as caught:
        fetch_checkpoint(REPOSITORY)
    assert "\n" not in str(caught.value)
    assert not any(name.endswith((".safetensors", ".bin", ".py")) for name in server.fetched())


def test_a_gated_model_says_where_to_accept_its_terms(server: HubServer) -> None:
    server.gated.add(REPOSITORY)
    with pytest.raises(ModelError, match=r"accept its terms: do that at https://huggingface\.co/tiny/llava"):
        hub.fetch(REPOSITORY, "main", no_progress)


def test_a_hub_that_does_not_answer_is_given_up_soon(
    server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "_HUB_TIMEOUT", 0.7)
    reports: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://{address}")
        with pytest.raises(
            ModelError, match=rf"{REPOSITORY} is not on this machine, and the hub at {address} "
        ) as caught:
            hub.fetch(REPOSITORY, "main", lambda label, *_: reports.append(label))
    assert "check the network, or name a local folder" in str(caught.value)
    assert reports.count(f"asking the hub for {REPOSITORY}") > 1


def test_waiting_for_the_hub_can_be_stopped(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(KeyboardInterrupt):
            hub.fetch(REPOSITORY, "main", stop)


def test_a_hub_that_refuses_connections_is_named(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelError, match=r"the hub at 127\.0\.0\.1:9 cannot be reached"):
        hub.fetch(REPOSITORY, "main", no_progress)


def test_a_missing_model_is_named(server: HubServer) -> None:
    with pytest.raises(ModelError, match="There is no model tiny/other on the hub"):
        hub.fetch("tiny/other", "main", no_progress)


def test_an_invalid_id_is_named(server: HubServer) -> None:
    with pytest.raises(ModelError, match=r"owner/--name is not a hub id, like owner/name"):
        hub.fetch("owner/--name", "main", no_progress)


def test_a_full_disk_is_reported_with_the_folder(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**5, 0, 10**5))
    with pytest.raises(ModelError, match=r"takes .* more and the cache, .*cache, has 0\.1 MB left"):
        hub.fetch(REPOSITORY, "main", no_progress)


def test_a_model_of_two_terabytes_is_refused_before_its_weights_are_fetched(server: HubServer) -> None:
    server.announced["model.safetensors"] = 2 * 10**12
    with pytest.raises(ModelError, match=r"takes 2000\.0 GB more and the cache, .*cache, has .* left: make room there"):
        fetch_checkpoint(REPOSITORY)
    assert "model.safetensors" not in server.fetched()


def test_a_revision_that_has_vanished_is_named(server: HubServer) -> None:
    server.vanished.add("5" * 40)
    with pytest.raises(ModelError, match=rf"The hub has no revision {'5' * 40} of {REPOSITORY} any more: update"):
        hub.fetch(REPOSITORY, "5" * 40, no_progress)


def test_half_a_model_without_the_hub_is_not_taken_for_a_whole_one(
    server: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(folder / "model.safetensors", folder / "model-00002-of-00002.safetensors")
    found = hub.fetch(REPOSITORY, "main", no_progress)
    (found / "model-00002-of-00002.safetensors").resolve().unlink()
    (found / "model-00002-of-00002.safetensors").unlink()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert hub.cached_folder(REPOSITORY, "main") is None
    with pytest.raises(ModelError, match=f"{REPOSITORY} is not .*on this machine, and HF_HUB_OFFLINE is set"):
        LocalModel.load(REPOSITORY, device="cpu")


def test_a_quantized_model_that_cannot_run_here_is_refused_before_its_weights_are_fetched(
    server: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assistant.models.local.own_quantization.find_spec", lambda _: None)
    change_config(folder, quantization_config={"quant_method": "awq", "bits": 4})
    with pytest.raises(MissingExtraError, match="quantized by AWQ, which needs gptqmodel"):
        LocalModel.load(REPOSITORY, device="cpu")
    assert "model.safetensors" not in server.fetched()


def test_the_cache_is_listed_and_emptied(server: HubServer, folder: Path, tmp_path: Path) -> None:
    assert hub.list_cached() == []
    hub.fetch(REPOSITORY, COMMIT, no_progress)
    [model] = hub.list_cached()
    assert (model.repository, model.complete) == (REPOSITORY, True)
    assert model.size >= (folder / "model.safetensors").stat().st_size
    assert hub.remove(REPOSITORY) == model.size
    assert hub.list_cached() == []
    assert not any(file.is_file() and file.stat().st_size > 10_000 for file in (tmp_path / "cache").rglob("*"))
    with pytest.raises(ModelError, match="is not in the cache"):
        hub.remove(REPOSITORY)


def test_a_question_is_answered_by_a_model_from_the_hub(server: HubServer, make_image: Callable[[int], Image]) -> None:
    model = LocalModel.load(REPOSITORY, device="cpu", quantize="none")
    assert complete(model, user("Look!", make_image(1)), max_tokens=4)
