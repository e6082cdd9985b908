"""The bundled model in the cache: a damaged folder is assembled again, and a full disk is one sentence."""

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from assistant.errors import ModelError
from assistant.models.pocket import assemble, vision_weights
from assistant.models.pocket.vision_weights import ensure
from assistant.progress import no_progress


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def write_model(folder: Path) -> None:
    for name in ("config", "generation_config", "processor_config", "tokenizer_config", "names", "tokenizer"):
        (folder / f"{name}.json").write_text(json.dumps({"name": name}))
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    for name in ("model", "picture_adapter"):
        save_file({"weight": torch.ones(100)}, folder / f"{name}.safetensors")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that were assembled: small stand-ins, because the wheel assets are not available in tests."""
    folders: list[Path] = []

    def assembled(_decoder: Path, _tower: Path, _weights: Path, target: Path) -> None:
        folders.append(target)
        write_model(target)

    monkeypatch.setattr(vision_weights, "fetch", lambda *_: Path())
    monkeypatch.setattr(assemble, "assemble", assembled)
    return folders


def test_a_complete_folder_is_kept(made: list[Path], tmp_path: Path) -> None:
    assert ensure(tmp_path, no_progress) == ensure(tmp_path, no_progress, full_check=True)
    assert len(made) == 1


@pytest.mark.parametrize("name", ["model.safetensors", "picture_adapter.safetensors", "config.json", "tokenizer.json"])
def test_a_folder_with_a_missing_or_truncated_file_is_assembled_again(
    name: str, made: list[Path], tmp_path: Path
) -> None:
    file = ensure(tmp_path, no_progress) / name
    content = file.read_bytes()
    file.write_bytes(content[:-1])
    assert (ensure(tmp_path, no_progress, full_check=True) / name).read_bytes() == content
    file.unlink()
    assert (ensure(tmp_path, no_progress) / name).read_bytes() == content
    assert len(made) == 3


@pytest.mark.usefixtures("made")
def test_too_little_space_is_reported_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 9 * 10**8, 10**8))
    with pytest.raises(ModelError, match=r"takes 620 MB and .*models has 100 MB left: make room"):
        ensure(tmp_path, no_progress)


@pytest.mark.parametrize(
    ("failure", "message"),
    [(SafetensorError("No space left on device"), "No space left on device.*620 MB"), (MemoryError(), "memory")],
)
@pytest.mark.usefixtures("made")
def test_a_failure_half_way_is_one_sentence_and_leaves_nothing(
    failure: Exception, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Path) -> None:
        raise failure

    monkeypatch.setattr(assemble, "assemble", fail)
    with pytest.raises(ModelError, match=message):
        ensure(tmp_path, no_progress)
    assert not list((tmp_path / "models").glob("*pocket-*"))
