"""Checks of an SQLite file before it is used: whole pages, and the tables and triggers of the schema."""

import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing

from assistant.history.failures import result_code

# Findings of SQLite about the content of rows, which are read with care, and about the index of words, which is
# built anew where it is used.
_NO_DAMAGE = re.compile(r"ok$|\w+ value in |CHECK constraint failed in |.*inverted index for FTS")

MAX_VALUE_BYTES = 100 << 20
"""Longest text. Without a limit, a column that is computed may have a gigabyte."""


def distrust(connection: sqlite3.Connection) -> sqlite3.Connection:
    """Prepare a connection for a file that may hold anything, and return it."""
    # Text columns may hold any bytes.
    connection.text_factory = lambda data: data.decode("utf-8", "replace")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
    # Sorting must not need room on a full disk.
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def is_damaged(connection: sqlite3.Connection) -> bool:
    """Read every page of the file and return True if some are damaged. Raises `sqlite3.DatabaseError` for others."""
    return not all(_NO_DAMAGE.match(finding) for (finding,) in connection.execute("PRAGMA quick_check(1000)"))


def may_be_index(error: Exception) -> bool:
    """Return True for errors that also a damaged index of words causes, which can be built anew from the parts."""
    # Nothing that is written violates a constraint of the tables.
    return result_code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_CONSTRAINT) or "fts5" in str(error)


def changed_table(connection: sqlite3.Connection, migrations: Sequence[Sequence[str]]) -> str | None:
    """Return the name of a table or trigger that is not as the migrations make it, or None.

    A view in the place of a table could compute without end, and a trigger on one could hide what is written.
    """
    query = "SELECT name, type, tbl_name, CASE type WHEN 'trigger' THEN sql END FROM sqlite_master"
    with closing(sqlite3.connect(":memory:")) as made:
        for statements in migrations:
            for statement in statements:
                made.execute(statement)
        expected = {row[0]: row for row in made.execute(query) if row[1] in ("table", "trigger")}
    found = {row[0]: row for row in connection.execute(query)}
    added = (row for row in found.values() if row[1] == "trigger" and row[2] in expected)
    wrong = (row for row in (*expected.values(), *added) if expected.get(row[0]) != found.get(row[0]))
    return next((str(row[0]) for row in wrong), None)
