"""Conversations on disk: saving, searching, deleting, and failing disks and files."""

import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import astuple, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant import messages
from assistant.errors import HistoryError
from assistant.events import Usage
from assistant.history.store import Conversation, History
from assistant.messages import Audio, Image, Message

USAGE = Usage(prompt_tokens=20, cached_tokens=8, reply_tokens=3, first_token_seconds=0.25, total_seconds=1.5)
CAT = Image(b"a picture of a cat", "image/png", 640, 480, "cat.png")
DOG = Image(b"a picture of a dog", "image/jpeg", 10, 20, "dog.jpg")


@pytest.fixture
def notices() -> list[str]:
    """Collect the notices of `history`."""
    return []


@pytest.fixture
def history(tmp_path: Path, notices: list[str]) -> History:
    return History(tmp_path / "data" / "history.sqlite3", notices.append)


def add_turns(history: History, *texts: str, image: Image | None = None) -> Conversation:
    """Return a new conversation with one turn for each text."""
    conversation = history.create("pocket", None)
    for text in texts:
        attachments = [image] if image else []
        conversation.append(messages.user(text, *attachments), messages.assistant(f"You said {text}."), USAGE)
    return conversation


def load_texts(history: History, id: str) -> list[str]:
    return [message.text for message in history.load(id)[1]]


def attachments(history: History) -> set[str]:
    return {path.name for path in history.path.parent.glob("attachments/*")}


def program(code: str, history: History) -> list[str]:
    """The command that runs `code` in another process, in which `history` is the same one."""
    setup = f"""
import os, signal, sys
from pathlib import Path
from assistant import messages
from assistant.events import Usage
from assistant.history.store import History
notices = []
history = History(Path({str(history.path)!r}), notices.append)
def talk(*said):
    conversation = history.create("pocket", None)
    for words in said:
        conversation.append(messages.user(words), messages.assistant("Yes."), Usage())
"""
    return [sys.executable, "-c", setup + code]


def in_process(code: str, history: History) -> subprocess.CompletedProcess[str]:
    return subprocess.run(program(code, history), stdout=subprocess.PIPE, text=True, timeout=30, check=False)


class TestSaving:
    def test_a_conversation_is_loaded_as_it_was_saved(self, history: History, notices: list[str]) -> None:
        recording = Audio(b"\0\0\0\0", 16_000)
        turns = [
            (messages.user("What is this?", CAT, DOG), messages.assistant("A cat\nand a dog.")),
            (Message("user", (recording,)), messages.assistant("", interrupted=True)),
        ]
        conversation = history.create("pocket", "Be brief.")
        for user, reply in turns:
            conversation.append(user, reply, USAGE)
        read, said = history.load(conversation.id)
        assert said == [message for turn in turns for message in turn]
        assert (read.id, read.model, read.system, read.title) == (
            conversation.id,
            "pocket",
            "Be brief.",
            "What is this?",
        )
        assert read.created == conversation.created
        assert notices == []

    def test_turns_are_saved_with_time_and_usage(self, history: History) -> None:
        conversation = add_turns(history, "one", "two")
        with closing(sqlite3.connect(history.path)) as connection:
            connection.row_factory = sqlite3.Row
            first, second = connection.execute("SELECT * FROM turns ORDER BY id").fetchall()
        assert [first[field.name] for field in fields(Usage)] == list(astuple(USAGE))
        times = [datetime.fromisoformat(row["finished"]) for row in (first, second)]
        assert conversation.created <= times[0] <= times[1]
        assert timedelta(0) <= datetime.now(UTC) - times[1] < timedelta(minutes=1)

    def test_a_resumed_conversation_continues(self, history: History) -> None:
        kept = add_turns(history, "one").id
        resumed, _ = History(history.path).load(kept)
        resumed.append(messages.user("two"), messages.assistant("Yes."), USAGE)
        assert load_texts(history, kept) == ["one", "You said one.", "two", "Yes."]
        (summary,) = history.list()
        assert (summary.title, summary.turns) == ("one", 2)

    def test_a_conversation_without_turns_is_not_saved(self, history: History) -> None:
        history.create("pocket", None)
        assert history.list() == []
        assert history.latest() is None
        assert history.search("word") == []
        assert not history.path.parent.exists()

    @settings(max_examples=25, deadline=None)
    @given(user=st.text(), reply=st.text(), system=st.none() | st.text(), name=st.text(max_size=20))
    def test_any_text_is_saved_and_loaded(
        self, user: str, reply: str, system: str | None, name: str, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        history = History(tmp_path_factory.mktemp("any") / "history.sqlite3")
        conversation = history.create("pocket", system)
        picture = Image(b"x", "image/png", 1, 1, name)
        conversation.append(messages.user(user, picture), messages.assistant(reply), USAGE)
        read, said = history.load(conversation.id)
        assert said == [messages.user(user, picture), messages.assistant(reply)]
        assert read.system == system

    @pytest.mark.parametrize(
        ("message", "title"),
        [
            (messages.user("  What\n is\tthis?\n"), "What is this?"),
            (messages.user("word " * 30), "word word word word word word word word word word word word…"),
            (messages.user("", CAT, DOG), "cat.png, dog.jpg"),
            (messages.user("a\x1b[2Jb"), "a[2Jb"),
        ],
    )
    def test_titles_are_one_short_line(self, message: Message, title: str, history: History) -> None:
        conversation = history.create("pocket", None)
        conversation.append(message, messages.assistant("Yes."), USAGE)
        assert conversation.title == history.list()[0].title == title
        assert len(title) <= 60

    def test_lists_show_the_latest_turn_first(self, history: History) -> None:
        old, new = add_turns(history, "old"), add_turns(history, "new")
        assert [summary.title for summary in history.list()] == ["new", "old"]
        old.append(messages.user("again"), messages.assistant("Yes."), USAGE)
        assert [summary.id for summary in history.list()] == [old.id, new.id]
        assert history.latest() == old.id

    def test_only_their_owner_can_read_them(self, history: History) -> None:
        add_turns(history, "secret", image=CAT)
        for path in (history.path.parent, *history.path.parent.rglob("*")):
            assert path.stat().st_mode & 0o077 == 0

    def test_a_turn_survives_a_process_that_is_killed_right_after_it(
        self, history: History, notices: list[str]
    ) -> None:
        killed = in_process('talk("remember me"); os.kill(os.getpid(), signal.SIGKILL)', history)
        assert killed.returncode == -signal.SIGKILL
        assert [summary.title for summary in history.list()] == ["remember me"]
        assert notices == []


class TestFinding:
    def test_a_prefix_of_an_id_is_enough(self, history: History) -> None:
        kept = add_turns(history, "one").id
        assert history.find(kept) == history.find(kept[:4]) == kept
        assert history.load(kept[:4])[0].id == kept

    @pytest.mark.parametrize("id", ["nothing", "", "%", "_", "'"])
    def test_unknown_ids(self, id: str, history: History) -> None:
        add_turns(history, "one")
        for use in (history.load, history.delete, history.find):
            with pytest.raises(HistoryError, match=r"There is no conversation .*`parley history list`"):
                use(id)

    def test_ambiguous_ids(self, history: History) -> None:
        for identifier in ("abc1", "abc2"):
            conversation = Conversation(history, identifier, "pocket", None, datetime.now(UTC))
            conversation.append(messages.user(identifier), messages.assistant("Yes."), USAGE)
        with pytest.raises(HistoryError, match="Several conversations begin with abc"):
            history.load("abc")
        assert history.find("abc2") == "abc2"

    def test_search_finds_all_words_anywhere_in_a_conversation(self, history: History) -> None:
        cats = add_turns(history, "Who painted the Müller cats?", "And the red boat?")
        add_turns(history, "A boat on a lake")
        assert [summary.id for summary in history.search("boat muller")] == [cats.id]
        assert [summary.id for summary in history.search("PAINT")] == [cats.id]
        assert len(history.search("boat")) == 2
        assert history.search("boat submarine") == []

    def test_search_returns_an_excerpt(self, history: History) -> None:
        add_turns(history, f"{'before ' * 50} needle {'after ' * 50}", "something else")
        (found,) = history.search("needle")
        assert "needle" in found.excerpt
        assert len(found.excerpt) < 200
        assert found.turns == 2

    @pytest.mark.parametrize(
        "query", ["", "  ", '"', "*", "AND", "a NOT b", "NEAR(a b)", "text:a", "(", "a'b", "-a", "^"]
    )
    def test_search_takes_words_literally(self, query: str, history: History) -> None:
        add_turns(history, "hello")
        assert history.search(query) == []


class TestDeleting:
    def test_no_trace_remains_on_the_disk(self, history: History) -> None:
        add_turns(history, "keep this")
        secret = add_turns(history, "my xyzzyword", image=CAT)
        history.delete(secret.id[:8])
        assert [summary.title for summary in history.list()] == ["keep this"]
        assert history.search("xyzzyword") == []
        assert attachments(history) == set()
        with pytest.raises(HistoryError):
            history.load(secret.id)
        for path in history.path.parent.rglob("*"):
            assert not path.is_file() or b"xyzzyword" not in path.read_bytes()

    def test_an_attachment_is_deleted_with_its_last_conversation(self, history: History) -> None:
        first, second = add_turns(history, "a", "b", image=CAT), add_turns(history, "c", image=CAT)
        assert attachments(history) == {CAT.digest}
        history.delete(first.id)
        assert history.load(second.id)[1][0].images == (CAT,)
        history.delete(second.id)
        assert attachments(history) == set()

    def test_a_conversation_deleted_while_in_use_is_saved_from_its_next_turn(self, history: History) -> None:
        conversation = add_turns(history, "one")
        history.delete(conversation.id)
        conversation.append(messages.user("two"), messages.assistant("Yes."), USAGE)
        assert load_texts(history, conversation.id) == ["two", "Yes."]


class TestAttachments:
    @pytest.mark.parametrize("damage", ["gone", "changed", "folder"])
    def test_a_missing_image_is_named_and_the_rest_is_loaded(
        self, damage: str, history: History, notices: list[str]
    ) -> None:
        kept = add_turns(history, "What is this?", image=CAT).id
        path = history.path.parent / "attachments" / CAT.digest
        path.unlink()
        if damage == "changed":
            path.write_bytes(b"a picture of a cow")
        elif damage == "folder":
            path.mkdir()
        said = history.load(kept)[1]
        assert said[0] == messages.Message(
            "user", (messages.Text("[The picture cat.png is missing.]"), messages.Text("What is this?"))
        )
        (notice,) = notices
        assert "cat.png" in notice

    def test_a_truncated_attachment_is_written_again_with_the_next_use(self, history: History) -> None:
        add_turns(history, "one", image=CAT)
        (history.path.parent / "attachments" / CAT.digest).write_bytes(b"a pic")
        kept = add_turns(history, "two", image=CAT).id
        assert history.load(kept)[1][0].images == (CAT,)

    def test_a_full_disk_leaves_no_partial_attachment(self, history: History) -> None:
        history.delete(add_turns(history, "small").id)
        large = Image(os.urandom(300_000), "image/png", 1, 1, "large.png")
        with limit_file_size(200_000), pytest.raises(HistoryError, match="cannot be written"):
            add_turns(history, "one", image=large)
        assert large.digest not in attachments(history)
        assert history.list() == []


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
        "content", [b"hello", b"\0" * 4096, os.urandom(8192), b"SQLite format 3\0" + b"\xff" * 2000]
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

    def test_a_folder_that_cannot_be_created(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        history = History(tmp_path / "file" / "history.sqlite3")
        with pytest.raises(HistoryError, match="PARLEY_DATA_DIR"):
            add_turns(history, "one")

    def test_a_folder_in_the_place_of_the_file(self, history: History) -> None:
        history.path.mkdir(parents=True)
        with pytest.raises(HistoryError, match="PARLEY_DATA_DIR"):
            add_turns(history, "one")


def test_importing_it_loads_the_standard_library_only() -> None:
    imports = "import sys; before = set(sys.modules); import assistant.history.store; "
    code = f"{imports}print(sorted(set(sys.modules) - before))"
    names = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    roots = {name.partition(".")[0] for name in json.loads(names.replace("'", '"'))}
    assert roots - set(sys.stdlib_module_names) - {"assistant"} <= {"_distutils_hack"}


@contextmanager
def limit_file_size(size: int) -> Iterator[None]:
    """Make writing past `size` bytes of a file fail, as a full disk would."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Take the right to write in `folder`, which root has to give up to lose it."""
    is_root = os.geteuid() == 0
    opened = {parent: parent.stat().st_mode for parent in folder.parents if parent.stat().st_uid == os.geteuid()}
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o444)
    for parent in opened:
        parent.chmod(parent.stat().st_mode | 0o011)
    folder.chmod(0o555)
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        for parent, mode in opened.items():
            parent.chmod(mode)
        folder.chmod(0o700)
        for path in folder.rglob("*"):
            path.chmod(0o700 if path.is_dir() else 0o600)
