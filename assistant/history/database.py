"""The SQLite file of the history: opened for each operation, migrated, and quarantined if it is damaged.

    run(work) ─▶ open ─▶ check (owner, version, integrity) ─▶ migrate ─▶ work in one transaction ─▶ close
                              │
                              └─ damaged: rename to history.corrupt-<date>.sqlite3, notice, retry with a new file

Nothing stays open between operations, so any thread and process may use the file at any time. It is in WAL mode:
readers see the last finished transaction while another process writes.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from assistant.atomic_files import PRIVATE_FILE, make_private_folder
from assistant.errors import HistoryError
from assistant.progress import OnNotice

APPLICATION_ID = 0x5061726C  # "Parl" in the file's header: distinguishes it from databases of other programs

BUSY_SECONDS = 10.0
"""Longest wait for the transaction of another process."""

Result = TypeVar("Result")
Work = Callable[[sqlite3.Connection], Result]


class Database:
    """One SQLite file with a schema."""

    def __init__(self, path: Path, migrations: Sequence[Sequence[str]], on_notice: OnNotice) -> None:
        """Create a database; no file is touched.

        Args:
            path: The file; created by the first write.
            migrations: Statements that lead from each version of the schema to the next.
            on_notice: Receives a notice when a damaged file was replaced.
        """
        self.path = path
        self._migrations = migrations
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
        try:
            try:
                return self._attempt(work, transaction)
            except (sqlite3.DatabaseError, _DamagedError) as error:
                if not _is_damaged(error):
                    raise
                self._quarantine(seen)
                return self._attempt(work, transaction)
        except (sqlite3.Error, _DamagedError) as error:
            raise self._history_error(error) from error
        except OSError as error:
            raise HistoryError(
                f"{self.path.parent} cannot be written ({(error.strerror or str(error)).lower()}): "
                "make room or name another folder with PARLEY_DATA_DIR."
            ) from error

    def _attempt(self, work: Work[Result], transaction: str) -> Result:
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

    def _open(self, transaction: str) -> sqlite3.Connection:
        if transaction == "IMMEDIATE":
            self._make_private_file()
        elif not self.path.exists():
            return self._prepared(sqlite3.connect(":memory:", isolation_level=None))
        # `mode=rw` never creates a file, so one that another thread is quarantining is not replaced by accident.
        uri = f"{self.path.absolute().as_uri()}?mode=rw"
        try:
            return self._prepared(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_SECONDS))
        except sqlite3.OperationalError as error:
            # WAL readers need a shared-memory file, which they cannot create in a read-only folder. Without a log
            # there is only this one file, and nobody can change it: open it as immutable.
            is_closed = not self.path.with_name(f"{self.path.name}-wal").exists()
            may_not_write = _code(error) in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
            if transaction == "IMMEDIATE" or not may_not_write or not is_closed:
                raise
        uri = f"{self.path.absolute().as_uri()}?mode=ro&immutable=1"
        return self._prepared(sqlite3.connect(uri, uri=True, isolation_level=None))

    def _make_private_file(self) -> None:
        """Create the folder and the file so that only their owner may read them."""
        make_private_folder(self.path.parent)
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE))

    def _prepared(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            # FULL syncs the log at each commit: a turn reported as finished survives a power cut.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA secure_delete = ON")  # overwrite deleted content
            self._check(connection)
            if self._version(connection) < len(self._migrations):
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
        if version > len(self._migrations):
            raise HistoryError(
                f"{self.path} was written by a newer version of Parley: update Parley, or name another folder with "
                "PARLEY_DATA_DIR."
            )
        # Reading every page takes 0.1 s for 100 MB, so each file is checked once.
        if (identity := self._identity()) != self._checked:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise _DamagedError("it is damaged")
            self._checked = identity

    def _migrate(self, connection: sqlite3.Connection) -> None:
        self._enable_wal(connection)
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Read the version again: another process may have migrated while this one waited.
            for version in range(self._version(connection), len(self._migrations)):
                for statement in self._migrations[version]:
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {len(self._migrations)}")
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
                if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
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
        # Imported here: hardly ever needed.
        from filelock import FileLock

        # Another process may have found the same damage, and its new file must not be renamed.
        with self._lock, FileLock(f"{self.path}.lock"):
            if self._identity() != seen:
                return
            stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
            names = (f"{self.path.stem}.corrupt-{stamp}{nth}{self.path.suffix}" for nth in ("", *_SUFFIXES))
            target = next(target for name in names if not (target := self.path.with_name(name)).exists())
            # The log first: beside a new file, it would be replayed into that.
            for suffix in ("-wal", "-shm", ""):
                with suppress(FileNotFoundError):
                    Path(f"{self.path}{suffix}").rename(f"{target}{suffix}")
            self._on_notice(
                f"The history in {self.path} could not be read: it is kept as {target.name}, and a new one was started."
            )

    def _history_error(self, error: Exception) -> HistoryError:
        match _code(error):
            case sqlite3.SQLITE_FULL:
                return HistoryError(
                    f"The disk is full, so {self.path} cannot be written: make room or name another folder with "
                    "PARLEY_DATA_DIR."
                )
            case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
                return HistoryError(
                    f"{self.path} cannot be opened for writing: check its permissions or name another folder with "
                    "PARLEY_DATA_DIR."
                )
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return HistoryError(f"{self.path} is in use by another program: try again when that has finished.")
            case _:
                return HistoryError(
                    f"{self.path} cannot be used ({error}): check the disk or name another folder with PARLEY_DATA_DIR."
                )


_SUFFIXES = tuple(f"-{nth}" for nth in range(2, 100))


class _DamagedError(Exception):
    """The file belongs to another program or is damaged."""


def _code(error: Exception) -> int:
    """Return the primary result code, or 0 for errors that Python raises itself."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _is_damaged(error: Exception) -> bool:
    if isinstance(error, sqlite3.Error):
        return _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    return isinstance(error, _DamagedError)
