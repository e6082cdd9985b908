"""Ranges of a file on the hub, the second source of files in parts."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from assistant.errors import ModelError
from assistant.models.hub_ranges import read_range
from tests.fakes.http_server import running
from tests.fakes.hub_server import HubServer, point_client_to

DATA = bytes(range(256)) * 1000


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    folder = tmp_path / "on-the-hub"
    folder.mkdir()
    (folder / "model.gguf").write_bytes(DATA)
    with running(HubServer({"Qwen/model": folder})) as server:
        point_client_to(server, tmp_path / "cache", monkeypatch)
        yield server


def test_only_the_range_is_read_and_reported(server: HubServer) -> None:
    target = io.BytesIO()
    reports: list[tuple[int, int]] = []
    read_range("Qwen/model", "model.gguf", 1000, 50_000, target, lambda done, total: reports.append((done, total)))
    assert target.getvalue() == DATA[1000:51_000]
    assert server.ranges == ["bytes=1000-50999"]
    assert reports[-1] == (50_000, 50_000)


def test_an_exception_of_the_progress_ends_it(server: HubServer) -> None:
    def leave(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_range("Qwen/model", "model.gguf", 0, 50_000, io.BytesIO(), leave)


@pytest.mark.parametrize(
    ("repository", "name", "start", "message"),
    [
        ("Qwen/other", "model.gguf", 0, r"There is no model Qwen/other on the hub"),
        ("Qwen/model", "other.gguf", 0, r"Qwen/model has no other\.gguf on the hub"),
        ("Qwen/model", "model.gguf", len(DATA) - 1, r"model\.gguf of Qwen/model is another file on the hub"),
    ],
)
def test_what_the_hub_does_not_have_is_one_sentence(
    server: HubServer, repository: str, name: str, start: int, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        read_range(repository, name, start, 50_000, io.BytesIO(), lambda *_: None)


def test_without_a_network_it_is_one_sentence(
    server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(ModelError, match=r"the hub at 127\.0\.0\.1:\d+ cannot be reached"):
        read_range("Qwen/model", "model.gguf", 0, 50_000, io.BytesIO(), lambda *_: None)


def test_without_the_hub_allowed_it_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE is set: unset it"):
        read_range("Qwen/model", "model.gguf", 0, 50_000, io.BytesIO(), lambda *_: None)
