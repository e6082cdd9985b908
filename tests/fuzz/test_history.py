"""Histories with odd but valid content, and damaged files."""

import random
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from assistant import messages
from assistant.errors import HistoryError
from assistant.events import Usage
from assistant.history.store import History
from tests.fakes.history import CAT, DOG, add_turns
from tests.fuzz.harness import fuzz, mutate_bytes, odd_text

pytestmark = pytest.mark.slow

RIGHT = "the right one"
COLUMNS = {
    "conversations": ("id", "title", "model", "system", "created"),
    "turns": ("id", "conversation", "finished", "interrupted", "prompt_tokens", "total_seconds"),
    "parts": ("id", "turn", "role", "text", "digest", "media_type", "width", "height", "name", "sample_rate"),
}
# Everything but what belongs to the right conversation.
OTHERS = {
    "conversations": "title <> 'the right one'",
    "turns": "conversation NOT IN (SELECT id FROM conversations WHERE title = 'the right one')",
    "parts": "turn NOT IN (SELECT turns.id FROM turns JOIN conversations ON conversation = conversations.id "
    "WHERE title = 'the right one')",
}
TABLES = ("words_data", "words_idx", "words_docsize", "words_config")
ODD_VALUES = (
    *(None, "", "x", b"\xff\x00", b"", 0, -1, 2**63 - 1, -(2**63), 1e308, float("inf"), "9" * 5000, "user", "system"),
    *("0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59-23:59", "2026-11-29", "2026-11-29T00:00:00", "../../x", "/"),
    *(CAT.digest, DOG.digest, "image/png", "assistant", "\x1b[2J", "\u202e", "a" * 100_000),
)
SCHEMA_CHANGES = (
    "PRAGMA user_version = 2",
    "PRAGMA user_version = -5",
    "PRAGMA user_version = 0",
    "PRAGMA application_id = 7",
    "DROP TABLE parts",
    "DROP TABLE words",
    "DROP TRIGGER words_of_new_part",
    "ALTER TABLE turns ADD COLUMN more",
    "ALTER TABLE turns RENAME COLUMN finished TO ended",
    "CREATE VIEW x AS SELECT * FROM x",
    "CREATE TRIGGER t AFTER INSERT ON parts BEGIN SELECT raise(ABORT, 'no'); END",
    "INSERT INTO words (words) VALUES ('delete-all')",
    "VACUUM",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA auto_vacuum = FULL",
    "REINDEX",
)


@dataclass
class Input:
    """Damage that another program or a failing disk has done to the files.

    Attributes:
        statements: Changes of the content, with their values.
        schema: Changes of the tables.
        damage: Makes other bytes of the file, or None.
        log: Content of the log beside the file, or None.
        attachments: "kept", "gone", "cut", or "folder".
    """

    statements: list[tuple[str, tuple[object, ...]]] = field(default_factory=list)
    schema: list[str] = field(default_factory=list)
    damage: Callable[[bytes], bytes] | None = None
    log: bytes | None = None
    attachments: str = "kept"


def odd_statement(rng: random.Random) -> tuple[str, tuple[object, ...]]:
    value = rng.choice(ODD_VALUES) if rng.random() < 0.8 else odd_text(rng).encode("utf-8", "replace").decode()
    if rng.random() < 0.1:
        table = rng.choice(TABLES)
        column = {"words_data": "block", "words_idx": "term", "words_docsize": "sz", "words_config": "v"}[table]
        return f"UPDATE {table} SET {column} = ? WHERE rowid % {rng.randint(1, 3)} = 0", (value,)  # noqa: S608
    table = rng.choice([*COLUMNS])
    column = rng.choice(COLUMNS[table])
    where = f"{OTHERS[table]} AND rowid % {rng.randint(1, 4)} = 0"
    return f"UPDATE OR IGNORE {table} SET {column} = ? WHERE {where}", (value,)  # noqa: S608


def make_input(rng: random.Random) -> Input:
    value = Input(attachments=rng.choice(("kept", "kept", "gone", "cut", "folder")))
    kind = rng.randrange(5)
    if kind <= 2:
        value.statements = [odd_statement(rng) for _ in range(rng.randint(1, 4))]
    if kind == 2:
        value.schema = [rng.choice(SCHEMA_CHANGES)]
    elif kind == 3:
        seed = rng.random()
        value.damage = lambda data: mutate_bytes(random.Random(seed), data)
    elif kind == 4:
        value.log = rng.choice((b"", rng.randbytes(5000), mutate_bytes(rng, LOGS[0]), LOGS[0]))
    return value


LOGS: list[bytes] = []
"""The log of another history; filled once it is made."""


@pytest.fixture
def folder() -> Iterator[Path]:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


def make_template(folder: Path) -> None:
    history = History(folder / "history.sqlite3")
    for nth in range(3):
        add_turns(history, f"number {nth}", "What is this?", image=(CAT, DOG)[nth % 2])
    add_turns(history, RIGHT, "more")


def make_log(folder: Path) -> bytes:
    history = History(folder / "history.sqlite3")
    add_turns(history, "of another file")
    with closing(sqlite3.connect(history.path)) as reader:
        reader.execute("SELECT * FROM turns").fetchall()
        add_turns(history, "in the log", "x" * 5000)
        return history.path.with_name("history.sqlite3-wal").read_bytes()


def apply(value: Input, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        if value.statements:
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute("UPDATE sqlite_master SET sql = replace(sql, ' NOT NULL', '') WHERE type = 'table'")
            connection.execute("PRAGMA writable_schema = RESET")
        for statement, values in value.statements:
            # Some do not fit the damage that others have done.
            with suppress(sqlite3.Error):
                connection.execute(statement, values)
        for statement in value.schema:
            with suppress(sqlite3.Error):
                connection.execute(statement)
    if value.damage is not None:
        path.write_bytes(value.damage(path.read_bytes()))
    if value.log is not None:
        path.with_name(f"{path.name}-wal").write_bytes(value.log)
    for attachment in (path.parent / "attachments").iterdir():
        if value.attachments != "kept":
            data = attachment.read_bytes()
            attachment.unlink()
            if value.attachments == "cut":
                attachment.write_bytes(data[:5])
            elif value.attachments == "folder":
                attachment.mkdir()


def test_history(folder: Path) -> None:
    make_template(folder / "template")
    LOGS.append(make_log(folder / "other"))
    data = folder / "data"

    def use(value: Input) -> None:
        shutil.rmtree(data, ignore_errors=True)
        shutil.copytree(folder / "template", data)
        path = data / "history.sqlite3"
        apply(value, path)
        before = path.read_bytes()
        notices: list[str] = []
        history = History(path, notices.append)
        try:
            titles = [summary.title for summary in history.list()]
        except HistoryError:
            assert path.read_bytes() == before, "a file that cannot be used was changed"
            raise
        kept = [file.read_bytes() for file in data.glob("history*.sqlite3")]
        kept_aside = [file.read_bytes() for file in data.glob("history.corrupt-*.sqlite3")]
        # Damage may change a row of the file, which stays as it is.
        is_reported = value.damage and (notices or len(titles) == 4) and before in kept
        assert RIGHT in titles or before in kept_aside or value.log or is_reported, f"lost: {titles}, {notices}"
        if not value.damage:
            assert RIGHT in titles or value.schema, f"{titles}, {notices}"
        use_everything(history)
        assert all(len(notice) < 1000 and "\n" not in notice for notice in notices)

    def use_everything(history: History) -> None:
        for summary in history.list():
            with suppress(HistoryError):
                for message in history.load(summary.id)[1]:
                    message.text.encode()
        with suppress(HistoryError):
            history.search("what right number")
        with suppress(HistoryError):
            history.latest()
        conversation = history.create("scripted", None)
        try:
            conversation.append(messages.user("new", CAT), messages.assistant("Yes."), Usage())
        except HistoryError:
            return
        loaded = [message.text for message in history.load(conversation.id)[1]]
        assert loaded == ["new", "Yes."], "a turn that was reported as saved is not there"
        assert [summary.title for summary in history.search("new")] == ["new"]
        for summary in history.list():
            with suppress(HistoryError):
                history.delete(summary.id)

    fuzz("history", make_input, use)
