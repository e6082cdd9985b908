"""The history under concurrent use, with damaged files and with failing disks."""

import os
import sqlite3
import subprocess
import threading
from contextlib import closing
from pathlib import Path

import pytest

from assistant import messages
from assistant.errors import HistoryError
from assistant.history.store import History
from tests.fakes.history import (
    CAT,
    USAGE,
    add_turns,
    in_process,
    limit_file_size,
    load_texts,
    program,
    read_only,
)


class TestConcurrency:
    def test_a_process_reads_while_another_writes(self, history: History) -> None:
        add_turns(history, "one")
        with closing(sqlite3.connect(history.path, isolation_level=None)) as writer:
            writer.execute("BEGIN IMMEDIATE")
            writer.execute("DELETE FROM conversations")
            reader = in_process("print([summary.title for summary in history.list()])", history)
            assert reader.stdout.strip() == "['one']"
            assert [summary.title for summary in history.list()] == ["one"]
            writer.execute("ROLLBACK")

    def test_processes_start_and_write_at_once(self, history: History, notices: list[str]) -> None:
        code = 'for i in range(5): talk(f"{os.getpid()} {i}", "more")\nassert not notices, notices'
        processes = [subprocess.Popen(program(code, history)) for _ in range(3)]
        seen = 0
        while any(process.poll() is None for process in processes):
            assert len(history.list()) >= seen
            seen = len(history.list())
        assert [process.wait() for process in processes] == [0, 0, 0]
        assert [summary.turns for summary in history.list()] == [2] * 15
        assert notices == []

    def test_threads_share_one_history(self, history: History) -> None:
        threads = [
            threading.Thread(target=add_turns, args=(history, f"{n}", "more"), kwargs={"image": CAT}) for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(summary.title for summary in history.list()) == ["0", "1", "2", "3"]

    def test_threads_that_create_the_file_at_once_do_not_take_it_for_damaged(
        self, tmp_path: Path, notices: list[str]
    ) -> None:
        for attempt in range(25):
            history = History(tmp_path / str(attempt) / "history.sqlite3", notices.append)
            threads = [threading.Thread(target=add_turns, args=(history, f"{n}", "more")) for n in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert notices == []
            assert len(history.list()) == 4

    def test_a_writer_that_never_finishes_is_reported(self, history: History, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("assistant.history.database.BUSY_SECONDS", 0.05)
        add_turns(history, "one")
        with closing(sqlite3.connect(history.path, isolation_level=None)) as writer:
            writer.execute("BEGIN IMMEDIATE")
            with pytest.raises(HistoryError, match="is in use by another program: try again"):
                add_turns(history, "two")


class TestDamagedFiles:
    @pytest.mark.parametrize(
        "content",
        [b"hello", b"\0" * 4096, os.urandom(8192), b"SQLite format 3\0" + b"\xff" * 2000],
        ids=["text", "zeros", "random", "header only"],
    )
    def test_garbage_is_quarantined_with_a_notice(self, content: bytes, history: History, notices: list[str]) -> None:
        history.path.parent.mkdir()
        history.path.write_bytes(content)
        conversation = add_turns(history, "new start")
        assert load_texts(history, conversation.id) == ["new start", "You said new start."]
        self.assert_quarantined(history, notices, content)

    @pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 0.99])
    def test_a_truncated_file_is_quarantined(self, share: float, history: History, notices: list[str]) -> None:
        add_turns(history, *(f"{n} {'words ' * 1000}" for n in range(8)))
        content = history.path.read_bytes()
        content = content[: int(len(content) * share)]
        history.path.write_bytes(content)
        fresh = History(history.path, notices.append)
        assert fresh.list() == []
        self.assert_quarantined(fresh, notices, content)

    def test_a_file_damaged_while_in_use_is_quarantined_and_the_turn_saved(
        self, history: History, notices: list[str]
    ) -> None:
        conversation = add_turns(history, "one")
        content = bytearray(history.path.read_bytes())
        content[4096:] = b"\xa5" * (len(content) - 4096)
        history.path.write_bytes(content)
        conversation.append(messages.user("two"), messages.assistant("Yes."), USAGE)
        assert load_texts(history, conversation.id) == ["two", "Yes."]
        self.assert_quarantined(history, notices, bytes(content))

    def test_a_schema_of_other_bytes_is_quarantined(self, history: History, notices: list[str]) -> None:
        add_turns(history, "one")
        content = history.path.read_bytes().replace(b"CREATE TABLE turns", b"CREATE \x9d\x80BLE turns")
        history.path.write_bytes(content)
        assert History(history.path, notices.append).list() == []
        self.assert_quarantined(history, notices, content)

    def test_the_database_of_another_program_is_quarantined(self, history: History, notices: list[str]) -> None:
        history.path.parent.mkdir()
        with closing(sqlite3.connect(history.path)) as other:
            other.execute("CREATE TABLE bookmarks (url)")
        content = history.path.read_bytes()
        assert history.list() == []
        self.assert_quarantined(history, notices, content)

    def test_the_log_of_a_damaged_file_is_not_replayed_into_the_new_one(self, history: History) -> None:
        add_turns(history, "before")
        log = history.path.with_name("history.sqlite3-wal")
        with closing(sqlite3.connect(history.path)) as reader:
            # As long as somebody reads, the log is not put into the file.
            reader.execute("SELECT * FROM turns").fetchall()
            add_turns(history, "in the log")
            assert b"in the log" in log.read_bytes()
            history.path.write_bytes(b"x" * history.path.stat().st_size)
            assert history.list() == []
            add_turns(history, "new")
            assert [summary.title for summary in history.list()] == ["new"]
        kept = [path.read_bytes() for path in history.path.parent.glob("history.corrupt-*")]
        assert any(b"in the log" in content for content in kept)

    def test_every_damaged_file_gets_its_own_name(self, history: History) -> None:
        history.path.parent.mkdir()
        for content in (b"first", b"second", b"third"):
            history.path.write_bytes(content)
            assert history.list() == []
        kept = [path.read_bytes() for path in history.path.parent.glob("history.corrupt-*")]
        assert sorted(kept) == [b"first", b"second", b"third"]

    def test_an_empty_file_is_used_as_new(self, history: History, notices: list[str]) -> None:
        history.path.parent.mkdir()
        history.path.touch()
        add_turns(history, "one")
        assert len(history.list()) == 1
        assert notices == []

    def test_a_newer_version_is_refused_and_not_changed(self, history: History) -> None:
        add_turns(history, "one")
        with closing(sqlite3.connect(history.path)) as newer:
            newer.execute("PRAGMA user_version = 99")
        content = history.path.read_bytes()
        for use in (history.list, lambda: add_turns(history, "two"), History(history.path).latest):
            with pytest.raises(HistoryError, match="was written by a newer version of Parley: update Parley"):
                use()
        assert history.path.read_bytes() == content
        assert [path.name for path in history.path.parent.iterdir()] == ["history.sqlite3"]

    @staticmethod
    def assert_quarantined(history: History, notices: list[str], content: bytes) -> None:
        (kept,) = history.path.parent.glob("history.corrupt-*.sqlite3")
        assert kept.read_bytes() == content
        (notice,) = notices
        assert kept.name in notice
        assert str(history.path) in notice


class TestFailingDisks:
    def test_a_full_disk_is_reported_and_later_turns_are_saved(
        self, history: History, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        conversation = add_turns(history, "one")
        connect = sqlite3.connect

        def small(*args: object, **kwargs: object) -> sqlite3.Connection:
            connection = connect(*args, **kwargs)  # type: ignore[call-overload]
            connection.execute("PRAGMA max_page_count = 20")
            return connection  # type: ignore[no-any-return]

        with monkeypatch.context() as patch:
            patch.setattr(sqlite3, "connect", small)
            with pytest.raises(HistoryError, match=r"The disk is full, so .* cannot be written"):
                conversation.append(messages.user("x" * 200_000), messages.assistant("Yes."), USAGE)
        conversation.append(messages.user("two"), messages.assistant("Yes."), USAGE)
        assert load_texts(history, conversation.id) == ["one", "You said one.", "two", "Yes."]

    def test_a_failed_write_loses_only_its_turn(self, history: History) -> None:
        conversation = add_turns(history, "one")
        with limit_file_size(60_000), pytest.raises(HistoryError, match=r"history\.sqlite3"):
            conversation.append(messages.user("x" * 200_000), messages.assistant("Yes."), USAGE)
        assert load_texts(history, conversation.id) == ["one", "You said one."]

    def test_a_read_only_folder_can_be_read(self, history: History) -> None:
        conversation = add_turns(history, "one")
        with read_only(history.path.parent):
            assert load_texts(history, conversation.id) == ["one", "You said one."]
            assert len(history.search("one")) == 1
            for use in (lambda: add_turns(history, "two"), lambda: history.delete(conversation.id)):
                with pytest.raises(HistoryError, match="check its permissions or name another folder"):
                    use()
        add_turns(history, "three")
        assert len(history.list()) == 2

    def test_a_read_only_folder_with_the_log_of_a_killed_process_can_be_read(self, history: History) -> None:
        add_turns(history, "in the file")
        code = """
import sqlite3
reader = sqlite3.connect(history.path)
reader.execute("SELECT * FROM turns").fetchall()
talk("in the log")
os.kill(os.getpid(), signal.SIGKILL)
"""
        in_process(code, history)
        history.path.with_name("history.sqlite3-shm").unlink()
        with read_only(history.path.parent):
            assert [summary.title for summary in History(history.path).list()] == ["in the log", "in the file"]

    def test_a_disk_without_room_for_another_file_can_be_read(
        self, history: History, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        add_turns(history, "one")
        connect = sqlite3.connect

        def full(*args: str, **kwargs: object) -> sqlite3.Connection:
            if "mode=rw" in args[0]:
                error = sqlite3.OperationalError("disk I/O error")
                error.sqlite_errorcode = sqlite3.SQLITE_IOERR
                raise error
            return connect(*args, **kwargs)  # type: ignore[call-overload,no-any-return]

        monkeypatch.setattr(sqlite3, "connect", full)
        assert [summary.title for summary in history.list()] == ["one"]
        with pytest.raises(HistoryError, match="the disk may be full, over its quota or failing"):
            add_turns(history, "two")

    def test_a_folder_that_cannot_be_created(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        history = History(tmp_path / "file" / "history.sqlite3")
        with pytest.raises(HistoryError, match="PARLEY_DATA_DIR"):
            add_turns(history, "one")

    def test_a_folder_in_the_place_of_the_file(self, history: History) -> None:
        history.path.mkdir(parents=True)
        with pytest.raises(HistoryError, match="PARLEY_DATA_DIR"):
            add_turns(history, "one")
