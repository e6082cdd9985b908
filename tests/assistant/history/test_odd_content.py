"""Histories that are valid databases with content that this program has not written."""

import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from assistant import messages
from assistant.errors import HistoryError
from assistant.history import checks
from assistant.history.database import Database
from assistant.history.schema import Schema
from assistant.history.store import History
from tests.fakes.history import CAT, USAGE, add_turns, attachment_names, in_process, load_texts

RIGHT = "the right one"


def change(history: History, *statements: str, values: tuple[object, ...] = ()) -> None:
    """Change the file as another program would, without the rules of its tables."""
    with closing(sqlite3.connect(history.path, isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for statement in statements:
            connection.execute(statement, values)


def drop_rules(history: History) -> None:
    """Let every column of the file hold anything, as an older or newer program's table might."""
    change(
        history,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_master SET sql = replace(replace(sql, ' NOT NULL', ''), ' TEXT', '') WHERE type = 'table'",
    )


@pytest.fixture
def wrong(history: History) -> str:
    """Make a conversation to be changed, and then one that stays right; return the first one's id."""
    identifier = add_turns(history, "the wrong one", image=CAT).id
    add_turns(history, RIGHT)
    return identifier


class TestConversations:
    @pytest.mark.parametrize(
        ("column", "value"),
        [
            *(("created", value) for value in ("x", "", None, 7, b"x", "0001-01-01T00:00:00+00:00", "9" * 5000)),
            *(("created", f"{year}-12-31T23:59:59+00:00") for year in (1, 9999)),
            *((column, value) for column in ("title", "model") for value in (None, b"\xff", b"blob")),
        ],
    )
    def test_an_odd_row_is_left_out_with_a_notice(
        self, column: str, value: object, wrong: str, history: History, notices: list[str]
    ) -> None:
        drop_rules(history)
        change(history, f"UPDATE conversations SET {column} = ? WHERE id = '{wrong}'", values=(value,))  # noqa: S608 - of this file
        content = history.path.read_bytes()
        assert [summary.title for summary in history.list()] == [RIGHT]
        assert [summary.title for summary in history.search("one")] == [RIGHT]
        assert len(notices) == 2
        assert f"One of the conversations in {history.path} cannot be read and is left out" in notices[0]
        assert wrong in notices[0]
        assert history.path.read_bytes() == content
        assert load_texts(history, wrong) == ["the wrong one", "You said the wrong one."]

    @pytest.mark.parametrize("value", ["x", None, b"x", 5])
    def test_an_odd_time_of_a_turn_hides_no_conversation(
        self, value: object, wrong: str, history: History, notices: list[str]
    ) -> None:
        drop_rules(history)
        change(history, "UPDATE turns SET finished = ?", values=(value,))
        assert [summary.title for summary in history.list()] == [RIGHT, "the wrong one"]
        assert history.list()[0].updated == history.list()[0].created
        assert notices == []

    def test_the_latest_that_can_be_read_is_continued(self, history: History) -> None:
        right = add_turns(history, "one").id
        change(history, f"UPDATE conversations SET created = 'x' WHERE id = '{add_turns(history, 'two').id}'")  # noqa: S608 - of this file
        assert history.latest() == right

    def test_a_long_title_is_cut_and_invalid_text_replaced(self, wrong: str, history: History) -> None:
        change(history, "UPDATE conversations SET title = ?", values=("\x1b]0;x\x07" + "long " * 100_000,))
        assert {len(summary.title) for summary in history.list()} <= {199, 200}
        change(history, "UPDATE conversations SET title = CAST(x'61ff62' AS TEXT)")
        assert {summary.title for summary in history.list()} == {"a\N{REPLACEMENT CHARACTER}b"}

    def test_a_turn_of_no_conversation_is_not_found(self, wrong: str, history: History) -> None:
        change(history, f"DELETE FROM conversations WHERE id = '{wrong}'")  # noqa: S608 - of this file
        assert [summary.title for summary in history.search("one")] == [RIGHT]
        assert len(history.list()) == 1

    def test_a_conversation_with_odd_values_can_be_deleted_and_continued(self, wrong: str, history: History) -> None:
        change(history, f"UPDATE conversations SET created = 'x' WHERE id = '{wrong}'")  # noqa: S608 - of this file
        conversation, _ = history.load(wrong)
        conversation.append(messages.user("more"), messages.assistant("Yes."), USAGE)
        assert load_texts(history, wrong)[-2:] == ["more", "Yes."]
        history.delete(wrong)
        assert attachment_names(history) == set()


class TestParts:
    @pytest.mark.parametrize(
        "update",
        [
            "role = 'system'",
            "role = NULL",
            "text = x'ff'",
            "text = NULL",
            "digest = x'00', text = NULL",
            f"digest = '{CAT.digest}', text = NULL, width = 'wide', height = 1, name = 'a', media_type = 'image/png'",
            f"digest = '{CAT.digest}', text = NULL, width = -1, height = 1, name = 'a', media_type = 'image/png'",
            f"digest = '{CAT.digest}', text = NULL, width = 1, height = 1, name = NULL, media_type = 'image/png'",
            f"digest = '{CAT.digest}', text = NULL, sample_rate = 0",
            f"digest = '{CAT.digest}', text = NULL, sample_rate = 9223372036854775807",
        ],
    )
    def test_an_odd_part_is_left_out_with_a_notice(self, update: str, history: History, notices: list[str]) -> None:
        kept = add_turns(history, "one", "two", image=CAT).id
        drop_rules(history)
        change(history, f"UPDATE parts SET {update} WHERE id = 2")  # noqa: S608 - of this file
        assert load_texts(history, kept) == ["", "You said one.", "two", "You said two."]
        (notice,) = notices
        assert notice.startswith("One of the parts of this conversation in")

    def test_negative_ids_are_like_others(self, history: History) -> None:
        kept = add_turns(history, "one").id
        change(history, "UPDATE parts SET id = -id", "UPDATE turns SET id = -9", "UPDATE parts SET turn = -9")
        change(history, REBUILD)
        assert sorted(load_texts(history, kept)) == ["You said one.", "one"]

    @pytest.mark.parametrize(
        "digest", ["../../victim", "../history.sqlite3", "", ".", "a" * 5000, "A" * 64, "/etc/passwd"]
    )
    def test_a_digest_that_is_none_names_no_file(
        self, digest: str, history: History, notices: list[str], tmp_path: Path
    ) -> None:
        victim = tmp_path / "victim"
        victim.write_bytes(b"precious")
        kept = add_turns(history, "What is this?", image=CAT).id
        change(history, "UPDATE parts SET digest = ? WHERE digest IS NOT NULL", values=(digest,))
        assert history.load(kept)[1][0].text == "[The picture cat.png is missing.]\nWhat is this?"
        assert len(notices) == 1
        assert len(notices[0]) < 300
        history.delete(kept)
        assert victim.read_bytes() == b"precious"
        assert history.list() == []

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
    @pytest.mark.parametrize("kind", ["pipe", "link"])
    def test_only_regular_files_are_attachments(self, kind: str, history: History, tmp_path: Path) -> None:
        kept = add_turns(history, "What is this?", image=CAT).id
        path = history.path.parent / "attachments" / CAT.digest
        if kind == "pipe":
            path.unlink()
            os.mkfifo(path)
        else:
            path.rename(tmp_path / "elsewhere")
            path.symlink_to(tmp_path / "elsewhere")
        assert history.load(kept)[1][0].text == "[The picture cat.png is missing.]\nWhat is this?"


REBUILD = "INSERT INTO words (words) VALUES ('rebuild')"


class TestTables:
    @pytest.mark.parametrize(
        "statements",
        [
            ["DROP TABLE turns"],
            ["ALTER TABLE conversations RENAME TO others", "CREATE VIEW conversations AS SELECT * FROM others"],
            ["DROP TABLE words", "CREATE TABLE words (text)"],
            ["CREATE TRIGGER t AFTER INSERT ON turns BEGIN DELETE FROM conversations; END"],
            ["PRAGMA user_version = -1"],
            ["PRAGMA user_version = 0"],
        ],
    )
    def test_other_tables_are_refused_and_not_changed(
        self, statements: list[str], wrong: str, history: History, notices: list[str]
    ) -> None:
        change(history, *statements)
        content = history.path.read_bytes()
        fresh = History(history.path, notices.append)
        for use in (fresh.list, lambda: add_turns(fresh, "more"), lambda: fresh.search("one")):
            with pytest.raises(HistoryError, match=r"was changed by another program .*: move it away or name another"):
                use()
        assert history.path.read_bytes() == content
        assert notices == []

    def test_what_others_add_beside_the_tables_is_no_reason(self, wrong: str, history: History) -> None:
        change(history, "CREATE TABLE notes (a)", "CREATE VIEW counts AS SELECT count(*) FROM turns", "ANALYZE")
        assert len(History(history.path).list()) == 2

    @pytest.mark.parametrize(
        "damage",
        [
            "UPDATE words_data SET block = x'ffffffffffff' WHERE id > 10",
            "UPDATE words_data SET block = x'ffffffffffff'",
            "DELETE FROM words_data",
            "DELETE FROM words_docsize",
            "DELETE FROM words_config",
        ],
    )
    def test_a_damaged_index_of_words_is_built_anew(
        self, damage: str, wrong: str, history: History, notices: list[str]
    ) -> None:
        change(history, damage)
        fresh = History(history.path, notices.append)
        assert {summary.title for summary in fresh.search("right")} == {RIGHT}
        add_turns(fresh, "more")
        assert len(fresh.list()) == 3
        assert notices == []

    def test_an_index_that_takes_no_more_words_loses_no_turn(self, history: History, notices: list[str]) -> None:
        add_turns(history, "one")
        change(history, "UPDATE words_data SET block = x'ff' WHERE id = 10")
        add_turns(history, "two")
        assert [summary.title for summary in history.search("two")] == ["two"]
        assert notices == []

    def test_the_log_of_another_file_does_not_change_this_one(
        self, history: History, notices: list[str], tmp_path: Path
    ) -> None:
        add_turns(history, *(f"mine {n}" for n in range(50)))
        other = History(tmp_path / "other" / "history.sqlite3")
        add_turns(other, "theirs")
        log = other.path.with_name("history.sqlite3-wal")
        with closing(sqlite3.connect(other.path)) as reader:
            # While somebody reads, the log stays.
            reader.execute("SELECT * FROM turns").fetchall()
            add_turns(other, *("x" * 5000 for _ in range(20)))
            foreign = log.read_bytes()
        history.path.with_name("history.sqlite3-wal").write_bytes(foreign)
        fresh = History(history.path, notices.append)
        assert [summary.title for summary in fresh.list()] == ["mine 0"]
        assert load_texts(fresh, fresh.list()[0].id)[-1] == "You said mine 49."
        (notice,) = notices
        assert notice.startswith(f"The log beside {history.path} was another file's: it is kept as history.corrupt-")
        assert foreign in [path.read_bytes() for path in history.path.parent.glob("history.corrupt-*-wal")]

    def test_the_log_of_a_process_that_was_killed_is_used(self, history: History, notices: list[str]) -> None:
        add_turns(history, "one")
        in_process("talk('two'); history.delete(history.find(history.list()[1].id))", history)
        code = """
import sqlite3
reader = sqlite3.connect(history.path)
reader.execute("SELECT * FROM turns").fetchall()
talk("three")
os.kill(os.getpid(), signal.SIGKILL)
"""
        in_process(code, history)
        assert history.path.with_name("history.sqlite3-wal").stat().st_size > 0
        assert [summary.title for summary in History(history.path, notices.append).list()] == ["three", "two"]
        assert notices == []

    def test_a_text_without_end_is_refused(self, wrong: str, history: History, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(checks, "MAX_VALUE_BYTES", 5000)
        change(history, "UPDATE parts SET text = ? WHERE text IS NOT NULL", values=("x" * 6000,))
        with pytest.raises(HistoryError, match="too big"):
            history.load(wrong)

    def test_versions_are_those_of_the_migrations(self, tmp_path: Path, notices: list[str]) -> None:
        one = Schema([["CREATE TABLE a (b)"]], [], "SELECT b FROM a")
        two = Schema([*one.migrations, ["CREATE TABLE c (d)"]], [], "SELECT b FROM a")
        Database(tmp_path / "file", one, notices.append).write(lambda file: file.execute("INSERT INTO a VALUES (1)"))
        count = "SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM c)"
        migrated = Database(tmp_path / "file", two, notices.append)
        assert migrated.read(lambda file: file.execute(count).fetchone()) == (1, 0)
        assert notices == []


class TestUnwritableText:
    def test_lone_surrogates_do_not_keep_a_turn_from_being_saved(self, history: History) -> None:
        conversation = history.create("model \udcff", "system \udcff")
        conversation.append(messages.user("bad \udcff"), messages.assistant("\ud800"), USAGE)
        assert load_texts(history, conversation.id) == ["bad \N{REPLACEMENT CHARACTER}", "\N{REPLACEMENT CHARACTER}"]
        assert history.search("\udcff") == []
        with pytest.raises(HistoryError, match="There is no conversation"):
            history.find("\udcff")

    def test_many_words_can_be_searched(self, history: History) -> None:
        words = " ".join(f"word{n}" for n in range(2000))
        add_turns(history, words)
        assert len(history.search(words)) == 1


class TestPlaces:
    """Messages where the file or its folder is something else."""

    def test_a_file_in_the_place_of_the_folder(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        history = History(tmp_path / "file" / "history.sqlite3")
        with pytest.raises(HistoryError, match=r"cannot be read \(not a directory\): move away the file"):
            history.list()

    @pytest.mark.skipif(sys.platform == "win32", reason="needs links")
    @pytest.mark.parametrize("name", ["history.sqlite3", ""])
    def test_a_link_to_a_disk_that_is_not_there(self, name: str, tmp_path: Path) -> None:
        history = History(tmp_path / "data" / "history.sqlite3")
        if name:
            history.path.parent.mkdir()
        (history.path.parent / name).symlink_to(tmp_path / "unplugged")
        with pytest.raises(HistoryError, match="is a link to something that is not there"):
            history.list()

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
    def test_a_pipe_in_the_place_of_the_file(self, history: History) -> None:
        history.path.parent.mkdir()
        os.mkfifo(history.path)
        for use in (history.list, lambda: add_turns(history, "one")):
            with pytest.raises(HistoryError, match="is no regular file: move it away or name another folder"):
                use()

    def test_a_folder_in_the_place_of_the_file(self, history: History) -> None:
        history.path.mkdir(parents=True)
        with pytest.raises(HistoryError, match="is a folder: move it away"):
            history.list()

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
    @pytest.mark.parametrize("closed", ["history.sqlite3", ""])
    def test_what_may_not_be_read_is_named(self, closed: str, history: History) -> None:
        add_turns(history, "one")
        opened = {parent: parent.stat().st_mode for parent in history.path.parents if parent.stat().st_uid == 0}
        for parent in opened:
            parent.chmod(parent.stat().st_mode | 0o011)
        history.path.chmod(0o644)
        (history.path.parent / closed).chmod(0)
        os.seteuid(65534)
        try:
            with pytest.raises(HistoryError, match=r"check its permissions or name another folder"):
                History(history.path).list()
        finally:
            os.seteuid(0)
            for parent, mode in opened.items():
                parent.chmod(mode)
