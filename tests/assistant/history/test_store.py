"""Conversations on disk: saving, searching, deleting and attachments."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import fields
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant import messages
from assistant.errors import HistoryError
from assistant.events import Usage
from assistant.history.store import Conversation, History
from assistant.messages import Audio, Image, Message
from tests.fakes.history import (
    CAT,
    DOG,
    USAGE,
    add_turns,
    attachment_names,
    in_process,
    limit_file_size,
    load_texts,
)


class TestSaving:
    def test_a_conversation_is_loaded_as_it_was_saved(self, history: History, notices: list[str]) -> None:
        recording = Audio(b"\0\0\0\0", 16_000)
        turns = [
            (messages.user("What is this?", CAT, DOG), messages.assistant("A cat\nand a dog.")),
            (Message("user", (recording,)), messages.assistant("", interrupted=True)),
            (messages.user("Red?"), messages.assistant("Yes.", reasoning="It is red,\nI think.")),
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
        columns = [field.name for field in fields(Usage) if field.name in first.keys()]  # noqa: SIM118 - of a row
        assert len(columns) == 5
        assert [first[name] for name in columns] == [getattr(USAGE, name) for name in columns]
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
        assert attachment_names(history) == set()
        with pytest.raises(HistoryError):
            history.load(secret.id)
        for path in history.path.parent.rglob("*"):
            assert not path.is_file() or b"xyzzyword" not in path.read_bytes()

    def test_an_attachment_is_deleted_with_its_last_conversation(self, history: History) -> None:
        first, second = add_turns(history, "a", "b", image=CAT), add_turns(history, "c", image=CAT)
        assert attachment_names(history) == {CAT.digest}
        history.delete(first.id)
        assert history.load(second.id)[1][0].images == (CAT,)
        history.delete(second.id)
        assert attachment_names(history) == set()

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
        assert large.digest not in attachment_names(history)
        assert history.list() == []


def test_importing_it_loads_the_standard_library_only() -> None:
    imports = "import sys; before = set(sys.modules); import assistant.history.store; "
    code = f"{imports}print(sorted(set(sys.modules) - before))"
    names = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    roots = {name.partition(".")[0] for name in json.loads(names.replace("'", '"'))}
    assert roots - set(sys.stdlib_module_names) - {"assistant"} <= {"_distutils_hack"}
