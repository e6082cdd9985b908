"""Atomic writes: complete or not at all, one writer at a time, and nothing left behind."""

import os
import sys
from pathlib import Path

import filelock
import pytest

from assistant.atomic_files import lock_file, sync_files, work_folder, write_atomically
from assistant.progress import no_progress


def test_a_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    write_atomically(path, b"new", temporary=tmp_path / "unfinished")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError("disk full")

    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"new", temporary=tmp_path / "unfinished")
    assert path.read_bytes() == b"old"


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX permissions")
def test_a_private_file_is_private_from_the_start(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"secret", temporary=tmp_path / "unfinished", mode=0o600)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_work_folder_removes_what_killed_processes_have_left(tmp_path: Path) -> None:
    left_over = tmp_path / ".model-killed"
    left_over.mkdir()
    (left_over / "half").write_bytes(b"half")
    with work_folder(tmp_path, ".model-") as work:
        assert not left_over.exists()
        (work / "built").mkdir()
        (work / "built" / "file").write_bytes(b"complete")
        sync_files(work / "built")
        (work / "built").rename(tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (tmp_path / "model" / "file").read_bytes() == b"complete"


def test_waiting_for_a_lock_reports_and_can_be_given_up(tmp_path: Path) -> None:
    class GivenUpError(Exception):
        pass

    def give_up(label: str, done_bytes: int, total_bytes: int) -> None:
        assert (label, done_bytes, total_bytes) == ("Waiting for another process that is fetching the same file", 0, 0)
        raise GivenUpError

    with filelock.FileLock(tmp_path / ".lock"), pytest.raises(GivenUpError):  # noqa: SIM117 - the lock must be held first
        with lock_file(tmp_path / ".lock", give_up):
            pass
    with lock_file(tmp_path / ".lock", no_progress):
        pass
