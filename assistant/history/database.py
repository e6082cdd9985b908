"""The SQLite file of the history: opened for each operation, migrated, and quarantined if it is damaged.

    run(work) ─▶ open ─▶ check (owner, version, integrity) ─▶ migrate ─▶ work in one transaction ─▶ close
                              │
                              └─ damaged: rename to history.corrupt-<date>.sqlite3, notice, retry with a new file

Only a file whose pages are damaged, or that is another program's, is replaced. One that is whole and has odd content,
or other tables, is left as it is.

Nothing stays open between operations, so any thread and process may use the file at any time. It is in WAL mode:
readers see the last finished transaction while another process writes.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar

from assistant.atomic_files import PRIVATE_FILE, make_private_folder
from assistant.errors import HistoryError
from assistant.history.checks import changed_table, distrust, is_damaged, may_be_index
from assistant.history.failures import database_failure, file_failure, result_code, wrong_file
from assistant.history.files import file_exists, has_log, set_aside, snapshot
from assistant.history.schema import Schema
from assistant.progress import OnNotice
from assistant.text_cleaning import clean_line

APPLICATION_ID = 0x5061726C  # "Parl" in the file's header: distinguishes it from databases of other programs

BUSY_SECONDS = 5.0
"""Longest wait for the transaction of another process."""

Result = TypeVar("Result")
Work = Callable[[sqlite3.Connection], Result]


class Database:
    """One SQLite file with a schema."""

    def __init__(self, path: Path, schema: Schema, on_notice: OnNotice) -> None:
        """Create a database; no file is touched.

        Args:
            path: The file; created by the first write.
            schema: Its tables.
            on_notice: Receives a notice when a damaged file was replaced.
        """
        self.path = path
        self._schema = schema
        self._on_notice = on_notice
        self._lock = threading.Lock()
        self._checked: tuple[int, int] | None = None

    def read(self, work: Work[Result]) -> Result:
        """Run `work` on one consistent state of the file, or an empty database if there is no file.

        Raises:
            HistoryError: The file cannot be read.
        """
        return self._run(work, "DEFERRED")

    def write(self, work: Work[Result]) -> Result:
        """Run `work` in a transaction that is on the disk when this returns. If `work` raises, nothing is written.

        `work` runs again, on a new file, if the first one proves damaged.

        Raises:
            HistoryError: The file cannot be written.
        """
        return self._run(work, "IMMEDIATE")

    def _run(self, work: Work[Result], transaction: str) -> Result:
        seen = self._identity()
        reading = transaction == "DEFERRED"
        try:
            try:
                return self._attempt(work, transaction)
            except (sqlite3.DatabaseError, _DamagedError) as error:
                if may_be_index(error) and self._is_whole():
                    self._attempt(self._rebuild_index, "IMMEDIATE")
                elif _is_damaged(error):
                    self._quarantine(seen)
                else:
                    raise
                return self._attempt(work, transaction)
        except (sqlite3.Error, _DamagedError) as error:
            raise database_failure(self.path, error, reading=reading) from error
        except OSError as error:
            raise file_failure(self.path, error, reading=reading) from error

    def _attempt(self, work: Work[Result], transaction: str) -> Result:
        try:
            with closing(self._open(transaction)) as connection:
                connection.execute(f"BEGIN {transaction}")
                try:
                    result = work(connection)
                    connection.execute("COMMIT")
                finally:
                    # On a full disk SQLite has rolled back already.
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                return result
        except UnicodeDecodeError as error:
            # An error of SQLite that quotes a damaged schema: Python cannot decode it.
            raise _DamagedError("its schema is damaged") from error

    def _is_whole(self) -> bool:
        try:
            with closing(self._connect("mode=rw")) as connection:
                return not is_damaged(connection)
        except (sqlite3.Error, UnicodeDecodeError):
            return False

    def _rebuild_index(self, connection: sqlite3.Connection) -> None:
        for statement in self._schema.rebuild_index:
            connection.execute(statement)

    def _open(self, transaction: str) -> sqlite3.Connection:
        if transaction == "IMMEDIATE":
            self._make_private_file()
        if not file_exists(self.path):
            return self._prepared(":memory:")
        if has_log(self.path) and self._identity() != self._checked:
            self._check_log()
        try:
            # `mode=rw` never creates a file, so one that another thread is quarantining is not replaced by accident.
            return self._prepared("mode=rw")
        except sqlite3.OperationalError as error:
            # WAL readers need a shared-memory file, which they cannot create in a read-only folder or on a full disk.
            could_not_create = result_code(error) in _CANNOT_CREATE
            if transaction == "IMMEDIATE" or not could_not_create:
                raise
        # Without a log there is only this one file, and nobody can change it: open it as immutable.
        return distrust(snapshot(self.path)) if has_log(self.path) else self._prepared("mode=ro&immutable=1")

    def _check_log(self) -> None:
        """Set the log aside if it is that of another file, put beside this one by mistake.

        SQLite cannot tell, and closing a connection that may write moves the log into the file for good.
        """
        try:
            with closing(self._connect("mode=ro")) as connection:
                self._check(connection)
                with_log = self._contents(connection)
        except sqlite3.OperationalError:
            return
        except (sqlite3.DatabaseError, UnicodeDecodeError, _DamagedError):
            with_log = None
        try:
            with closing(self._connect("mode=ro&immutable=1")) as connection:
                self._checked = None
                self._check(connection)
                alone = self._contents(connection)
        except (sqlite3.Error, UnicodeDecodeError, _DamagedError):
            # Not usable without its log, so the log is its own, or there is nothing to be saved.
            return
        # Its own log adds conversations and removes some, but does not replace all.
        if alone and (with_log is None or (with_log and not with_log & alone)):
            self._set_aside(("-shm", "-wal"), "The log beside {} was another file's: it is kept as {}.")

    def _contents(self, connection: sqlite3.Connection) -> set[object]:
        return {identifier for (identifier,) in connection.execute(self._schema.identifiers)}

    def _connect(self, mode: str) -> sqlite3.Connection:
        if mode == ":memory:":
            return sqlite3.connect(mode, isolation_level=None)
        uri = f"{self.path.absolute().as_uri()}?{mode}"
        return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_SECONDS)

    def _make_private_file(self) -> None:
        """Create the folder and the file so that only their owner may read them."""
        make_private_folder(self.path.parent)
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE))

    def _prepared(self, mode: str) -> sqlite3.Connection:
        connection = self._connect(mode)
        try:
            distrust(connection)
            connection.execute("PRAGMA foreign_keys = ON")
            # FULL syncs the log at each commit: a turn reported as finished survives a power cut.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA secure_delete = ON")  # overwrite deleted content
            self._check(connection)
            if self._version(connection) < len(self._schema.migrations):
                self._migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check(self, connection: sqlite3.Connection) -> None:
        # In this order: while another process creates the file, whoever sees its tables also sees its application id.
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        version = self._version(connection)
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        if application != APPLICATION_ID and (tables or version):
            raise _DamagedError("it belongs to another program")
        if version > len(self._schema.migrations):
            raise HistoryError(
                f"{self.path} was written by a newer version of Parley: update Parley, or name another folder with "
                "PARLEY_DATA_DIR."
            )
        if version < 0 or (version == 0 and tables):
            raise wrong_file(self.path, f"was changed by another program (its version is {version})")
        # Reading every page takes 0.1 s for 100 MB, so each file is checked once.
        if (identity := self._identity()) != self._checked:
            if is_damaged(connection):
                raise _DamagedError("it is damaged")
            if version == len(self._schema.migrations) and (name := changed_table(connection, self._schema.migrations)):
                raise wrong_file(self.path, f"was changed by another program (see {clean_line(name, 40)} in it)")
            self._checked = identity

    def _migrate(self, connection: sqlite3.Connection) -> None:
        self._enable_wal(connection)
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Read the version again: another process may have migrated while this one waited.
            for version in range(self._version(connection), len(self._schema.migrations)):
                for statement in self._schema.migrations[version]:
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {len(self._schema.migrations)}")
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    @staticmethod
    def _enable_wal(connection: sqlite3.Connection) -> None:
        """Switch to WAL mode. SQLite does not wait by itself for another process that does the same."""
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if result_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    @staticmethod
    def _version(connection: sqlite3.Connection) -> int:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        return int(version)

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _quarantine(self, seen: tuple[int, int] | None) -> None:
        """Rename the damaged file, unless it is no longer the one that was `seen` to be damaged."""
        # Another process may have found the same damage, and its new file must not be renamed.
        # The log first: beside a new file, it would be replayed into that.
        self._set_aside(
            ("-wal", "-shm", ""),
            "The history in {} could not be read: it is kept as {}, and a new one was started.",
            unless=lambda: self._identity() != seen,
        )

    def _set_aside(self, suffixes: Sequence[str], notice: str, unless: Callable[[], bool] = lambda: False) -> None:
        # Imported here: hardly ever needed.
        from filelock import FileLock

        with self._lock, FileLock(f"{self.path}.lock", mode=PRIVATE_FILE, timeout=BUSY_SECONDS):
            if unless():
                return
            self._on_notice(notice.format(self.path, set_aside(self.path, suffixes)))


_CANNOT_CREATE = frozenset(
    {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_PERM}
)


class _DamagedError(Exception):
    """The file belongs to another program or is damaged."""


def _is_damaged(error: Exception) -> bool:
    if isinstance(error, sqlite3.Error):
        return result_code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    return isinstance(error, _DamagedError)
