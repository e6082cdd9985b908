"""Atomic writes: complete or not at all, private, one writer at a time, and nothing left behind."""

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import filelock
import pytest

from assistant.atomic_files import (
    lock_file,
    make_private_folder,
    open_private,
    replace_file,
    sync_files,
    work_folder,
    write_atomically,
)
from assistant.progress import no_progress

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX permissions")


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o000, 0o022, 0o077], ids="umask {:03o}".format)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


class TestReplacing:
    def test_a_file_is_replaced(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"old")
        write_atomically(path, b"new")
        assert path.read_bytes() == b"new"
        assert list(tmp_path.iterdir()) == [path]

    def test_a_write_that_fails_leaves_the_old_content(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(_: int) -> None:
            raise OSError("disk full")

        path = tmp_path / "file"
        path.write_bytes(b"old")
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="disk full"):
            write_atomically(path, b"new")
        assert path.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [path]

    def test_an_exception_of_the_writer_leaves_the_old_content(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"old")
        with pytest.raises(ZeroDivisionError), replace_file(path) as file:
            file.write(bytes(1 // len(b"")))
        assert path.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [path]

    @posix
    def test_a_new_file_is_private_from_the_start(self, tmp_path: Path, umask: int) -> None:
        path = tmp_path / "file"
        with replace_file(path):
            (unfinished,) = tmp_path.iterdir()
            assert mode_of(unfinished) == 0o600
        assert mode_of(path) == 0o600

    @posix
    @pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o444, 0o666])
    def test_an_existing_file_keeps_its_permissions(self, mode: int, tmp_path: Path, umask: int) -> None:
        path = tmp_path / "file"
        path.touch()
        path.chmod(mode)
        write_atomically(path, b"new")
        assert mode_of(path) == mode

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
    def test_an_existing_file_keeps_its_owner(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.touch()
        os.chown(path, 1234, 2345)
        write_atomically(path, b"new")
        assert (path.stat().st_uid, path.stat().st_gid) == (1234, 2345)

    @posix
    def test_permissions_shrink_where_the_owner_cannot_be_kept(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "file"
        path.touch()
        path.chmod(0o640)

        def refuse(*_: int) -> None:
            raise PermissionError

        new = os.fstat
        monkeypatch.setattr(os, "fchown", refuse)
        monkeypatch.setattr(os, "fstat", lambda descriptor: _of_another_group(new(descriptor)))
        write_atomically(path, b"new")
        assert mode_of(path) == 0o600

    @posix
    def test_a_planted_link_is_replaced_and_its_target_is_not_touched(self, tmp_path: Path) -> None:
        victim = tmp_path / "victim"
        victim.write_bytes(b"precious")
        path = tmp_path / "file"
        path.symlink_to(victim)
        write_atomically(path, b"new")
        assert victim.read_bytes() == b"precious"
        assert not path.is_symlink()

    def test_no_two_temporary_names_are_alike(self, tmp_path: Path) -> None:
        names = set()
        for _ in range(5):
            with replace_file(tmp_path / "file"):
                names |= {path.name for path in tmp_path.glob(".file.*")}
        assert len(names) == 5

    @pytest.mark.parametrize("name", ["x" * 255, "\N{CAT FACE}" * 63])
    def test_the_longest_names_can_be_written(self, name: str, tmp_path: Path) -> None:
        write_atomically(tmp_path / name, b"new")
        assert (tmp_path / name).read_bytes() == b"new"

    def test_what_killed_processes_left_is_removed_and_what_is_in_use_stays(self, tmp_path: Path) -> None:
        old = tmp_path / f".other.{'0' * 16}.unfinished"
        recent = tmp_path / f".other.{'1' * 16}.unfinished"
        users = tmp_path / ".my notes.unfinished"
        for path in (old, recent, users):
            path.touch()
        for path in (old, users):
            os.utime(path, (1e9, 1e9))
        write_atomically(tmp_path / "file", b"new")
        assert not old.exists()
        assert recent.exists()
        assert users.exists()


def _of_another_group(status: os.stat_result) -> os.stat_result:
    values = list(status)
    values[stat.ST_GID] += 1
    return os.stat_result(values)


@posix
class TestPrivateFiles:
    def test_new_files_and_folders_belong_to_their_owner_alone(self, tmp_path: Path, umask: int) -> None:
        path = tmp_path / "new" / "folder" / "log"
        with open_private(path, append=True) as file:
            file.write(b"line")
        assert mode_of(path) == 0o600
        assert mode_of(path.parent) == mode_of(path.parent.parent) == 0o700

    def test_existing_ones_stay_as_they_are(self, tmp_path: Path, umask: int) -> None:
        path = tmp_path / "log"
        path.write_bytes(b"one")
        path.chmod(0o644)
        tmp_path.chmod(0o755)
        with open_private(path, append=True) as file:
            file.write(b" two")
        assert path.read_bytes() == b"one two"
        assert mode_of(path) == 0o644
        assert mode_of(tmp_path) == 0o755
        with open_private(path) as file:
            file.write(b"three")
        assert path.read_bytes() == b"three"

    def test_a_link_of_ones_own_is_followed(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "file")
        with open_private(tmp_path / "link") as file:
            file.write(b"text")
        assert (tmp_path / "file").read_bytes() == b"text"

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
    def test_a_link_of_a_neighbour_is_refused(self, tmp_path: Path) -> None:
        victim = tmp_path / "victim"
        victim.write_bytes(b"precious")
        link = tmp_path / "link"
        link.symlink_to(victim)
        os.lchown(link, 1234, 1234)
        with pytest.raises(OSError, match="a symbolic link of another user"):
            open_private(link)
        assert victim.read_bytes() == b"precious"

    def test_a_file_in_the_place_of_a_folder_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(NotADirectoryError):
            make_private_folder(tmp_path / "file")
        with pytest.raises(NotADirectoryError):
            make_private_folder(tmp_path / "file" / "below")


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
