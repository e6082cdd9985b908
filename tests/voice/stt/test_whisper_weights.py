"""The bundled Whisper in its cache: put together from its parts, and made anew when it is damaged."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from assistant.errors import ModelError
from assistant.wheel_assets import WheelAsset
from voice.stt import whisper_weights
from voice.stt.whisper_weights import ensure, is_whole

PARTS = {"model.bin.part1": b"first half, ", "model.bin.part2": b"second half"}
CONTENTS = PARTS | {name: f"{{{name}}}".encode() for name in ("config.json", "tokenizer.json", "vocabulary.json")}
MODEL = b"first half, second half"


def quiet(_what: str, _done: int, _total: int) -> None:
    pass


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what was fetched; a few bytes each stand in for the files of the two wheels."""
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
    monkeypatch.setattr(whisper_weights, "_FILES", (("model.bin", len(MODEL), sha256), *small))
    return names


def test_the_parts_become_one_folder_and_take_no_room_beside_it(fetched: list[str], tmp_path: Path) -> None:
    folder = ensure(tmp_path, quiet)
    assert (folder / "model.bin").read_bytes() == MODEL
    assert sorted(path.name for path in folder.iterdir()) == sorted({*CONTENTS, "model.bin"} - set(PARTS))
    assert [path for path in (tmp_path / "parcels").rglob("*") if path.is_file()] == []
    assert ensure(tmp_path, quiet) == ensure(tmp_path, quiet, thorough=True) == folder
    assert len(fetched) == 5


@pytest.mark.parametrize("name", ["model.bin", "tokenizer.json", "vocabulary.json", "config.json"])
@pytest.mark.usefixtures("fetched")
def test_a_damaged_file_has_the_folder_made_anew(name: str, tmp_path: Path) -> None:
    file = ensure(tmp_path, quiet) / name
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    assert (ensure(tmp_path, quiet) / name).read_bytes() == whole
    file.write_bytes(whole[:-1] + b"?")
    assert is_whole(file.parent)
    assert (ensure(tmp_path, quiet, thorough=True) / name).read_bytes() == whole


@pytest.mark.usefixtures("fetched")
def test_what_is_not_the_model_never_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whisper_weights, "MODEL_SHA256", "0" * 64)
    with pytest.raises(ModelError, match="came out wrong"):
        ensure(tmp_path, quiet)
    assert not list((tmp_path / "models").glob("*whisper-base-*"))
