"""The tables of the history."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Schema:
    """Tables and queries of a history file.

    Attributes:
        migrations: Statements that lead from each version of the schema to the next.
        rebuild_index: Statements that build the index of words anew.
        identifiers: Query for what tells the contents of two files apart.
    """

    migrations: Sequence[Sequence[str]]
    rebuild_index: Sequence[str]
    identifiers: str


_CREATE_INDEX = """CREATE VIRTUAL TABLE words USING fts5(
    text, content='parts', content_rowid='id', tokenize='unicode61 remove_diacritics 2'
)"""

MIGRATIONS = (
    (
        """CREATE TABLE conversations (
            id TEXT PRIMARY KEY,
            title TEXT NOT NULL,
            model TEXT NOT NULL,
            system TEXT,
            created TEXT NOT NULL
        )""",
        """CREATE TABLE turns (
            id INTEGER PRIMARY KEY,
            conversation TEXT NOT NULL REFERENCES conversations ON DELETE CASCADE,
            finished TEXT NOT NULL,
            interrupted INTEGER NOT NULL,
            prompt_tokens INTEGER NOT NULL,
            cached_tokens INTEGER NOT NULL,
            reply_tokens INTEGER NOT NULL,
            first_token_seconds REAL NOT NULL,
            total_seconds REAL NOT NULL
        )""",
        "CREATE INDEX turns_of_conversation ON turns (conversation)",
        """CREATE TABLE parts (
            id INTEGER PRIMARY KEY,
            turn INTEGER NOT NULL REFERENCES turns ON DELETE CASCADE,
            role TEXT NOT NULL CHECK (role IN ('user', 'assistant')),
            text TEXT,
            digest TEXT,
            media_type TEXT,
            width INTEGER,
            height INTEGER,
            name TEXT,
            sample_rate INTEGER,
            CHECK ((text IS NULL) <> (digest IS NULL))
        )""",
        "CREATE INDEX parts_of_turn ON parts (turn)",
        "CREATE INDEX parts_with_digest ON parts (digest) WHERE digest IS NOT NULL",
        _CREATE_INDEX,
        """CREATE TRIGGER words_of_new_part AFTER INSERT ON parts WHEN new.text IS NOT NULL BEGIN
            INSERT INTO words (rowid, text) VALUES (new.id, new.text);
        END""",
        """CREATE TRIGGER words_of_deleted_part AFTER DELETE ON parts WHEN old.text IS NOT NULL BEGIN
            INSERT INTO words (words, rowid, text) VALUES ('delete', old.id, old.text);
        END""",
        """CREATE TRIGGER words_of_changed_part AFTER UPDATE OF text ON parts WHEN old.text IS NOT NULL BEGIN
            INSERT INTO words (words, rowid, text) VALUES ('delete', old.id, old.text);
            INSERT INTO words (rowid, text) VALUES (new.id, new.text);
        END""",
    ),
    # What the model thought before the reply. No part of its own: searching finds what was said.
    ("ALTER TABLE turns ADD COLUMN reasoning TEXT",),
)
"""Statements that lead from each version of the file (`PRAGMA user_version`) to the next.

Never change one that was released: add another.
"""

SCHEMA = Schema(
    MIGRATIONS,
    rebuild_index=(
        # A damaged index cannot be dropped, so it is forgotten first.
        "PRAGMA writable_schema = ON",
        "DELETE FROM sqlite_master WHERE type = 'table' AND name = 'words'",
        "PRAGMA writable_schema = RESET",
        *(f"DROP TABLE IF EXISTS words_{part}" for part in ("data", "idx", "docsize", "config")),
        _CREATE_INDEX,
        "INSERT INTO words (words) VALUES ('rebuild')",
    ),
    identifiers="SELECT id FROM conversations",
)
