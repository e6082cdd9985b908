"""GGUF models on the hub: which files are chosen, fetched once, and resumed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from assistant.errors import ConfigError, ModelError
from assistant.messages import user
from assistant.models.gguf.hub_files import HubFiles, HubName, cached_gguf, choose_files, fetch_gguf, parse_hub_name
from assistant.models.gguf.model import GgufModel
from assistant.progress import no_progress
from tests.fakes.generation import complete
from tests.fakes.http_server import running
from tests.fakes.hub_server import HubServer, point_client_to
from tests.fakes.tiny_gguf import make_gguf, make_projector

REPOSITORY = "tiny/vlm"
NAME = HubName(REPOSITORY)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder on the hub."""
    folder = tmp_path / "on-the-hub"
    folder.mkdir()
    for name in ("vlm-Q4_K_M.gguf", "vlm-Q8_0.gguf"):
        make_gguf(folder / name)
    make_projector(folder / "mmproj-vlm-F16.gguf")
    (folder / "README.md").write_text("A tiny model.")
    return folder


@pytest.fixture
def server(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with running(HubServer({REPOSITORY: folder})) as server:
        point_client_to(server, tmp_path / "cache", monkeypatch)
        yield server


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hub:tiny/vlm", NAME),
        ("hub:tiny/vlm-2.5:Q4_K_M", HubName("tiny/vlm-2.5", "Q4_K_M")),
        ("tiny/vlm", None),
        ("qwen3-vl-2b", None),
    ],
)
def test_a_name_says_where_the_model_is(name: str, expected: HubName | None) -> None:
    assert parse_hub_name(name) == expected


@pytest.mark.parametrize("name", ["hub:", "hub:tiny", "hub:tiny/vlm:", "hub:a/b/c", "hub:../x y"])
def test_a_name_that_no_model_can_have_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="is no GGUF model on the hub: name one like hub:owner/name"):
        parse_hub_name(name)


FILES = {
    **dict.fromkeys(("m-BF16.gguf", "m-Q8_0.gguf", "m-Q4_K_M.gguf", "m-IQ4_XS.gguf", "README.md", "config.json"), 9),
    **dict.fromkeys(("big/m-UD-Q4_K_XL-00001-of-00002.gguf", "big/m-UD-Q4_K_XL-00002-of-00002.gguf"), 9),
    **dict.fromkeys(("mmproj-F32.gguf", "mmproj-F16.gguf"), 9),
}


@pytest.mark.parametrize(
    ("quantization", "model"),
    [
        ("", ("m-Q4_K_M.gguf",)),
        ("q8_0", ("m-Q8_0.gguf",)),
        ("BF16", ("m-BF16.gguf",)),
        ("UD-Q4_K_XL", ("big/m-UD-Q4_K_XL-00001-of-00002.gguf", "big/m-UD-Q4_K_XL-00002-of-00002.gguf")),
    ],
)
def test_one_quantization_is_chosen(quantization: str, model: tuple[str, ...]) -> None:
    assert choose_files(HubName("a/m", quantization), FILES) == HubFiles(model, "mmproj-F16.gguf")


def test_what_is_not_there_is_said() -> None:
    with pytest.raises(ModelError, match=r"a/m has no quantization Q9: choose one of BF16, IQ4_XS, Q4_K_M, Q8_0"):
        choose_files(HubName("a/m", "Q9"), FILES)
    with pytest.raises(ModelError, match="a/m has no GGUF files: choose another model"):
        choose_files(HubName("a/m"), {"model.safetensors": 9, "mmproj-F16.gguf": 9})
    assert choose_files(HubName("a/m"), {"large.gguf": 9, "m-F32.gguf": 5}).model == ("m-F32.gguf",)


def test_a_model_is_fetched_once_with_its_encoder(server: HubServer) -> None:
    assert cached_gguf(NAME) is None
    model, projector = fetch_gguf(NAME, no_progress)
    assert model.name == "vlm-Q4_K_M.gguf"
    assert projector is not None
    assert server.fetched()[-2:] == ["mmproj-vlm-F16.gguf", "vlm-Q4_K_M.gguf"]
    loaded = GgufModel.load(model, projector=projector, threads=1)
    assert complete(loaded, user("What is it?"), max_tokens=4)
    loaded.close()
    server.requests.clear()
    assert fetch_gguf(NAME, no_progress) == (model, projector)
    assert not server.requests


def test_an_interrupted_download_is_resumed(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 10_000)

    def stop(label: str, done_bytes: int, total_bytes: int) -> None:
        if label.startswith("fetching") and done_bytes > total_bytes * 0.8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_gguf(NAME, stop)
    assert cached_gguf(NAME) is None
    fetch_gguf(NAME, no_progress)
    assert server.ranges


def test_a_model_that_is_not_there_and_a_hub_out_of_reach_are_said(
    server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError, match="There is no model tiny/nothing on the hub"):
        fetch_gguf(HubName("tiny/nothing"), no_progress)
    with pytest.raises(ModelError, match="tiny/vlm has no quantization Q2_K: choose one of Q4_K_M, Q8_0"):
        fetch_gguf(HubName(REPOSITORY, "Q2_K"), no_progress)
    server.damaged.add("vlm-Q4_K_M.gguf")
    with pytest.raises(ModelError, match="is not what the hub announced"):
        fetch_gguf(NAME, no_progress)
