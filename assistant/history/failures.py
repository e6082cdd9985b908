"""Sentences for the user about a file of the history that cannot be used."""

import errno
import os
import shutil
import sqlite3
from pathlib import Path

from assistant.errors import HistoryError, first_line

_ANOTHER_FOLDER = "name another folder with PARLEY_DATA_DIR"
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_LITTLE_BYTES = 1 << 16


def result_code(error: Exception) -> int:
    """Return the primary result code of SQLite, or 0 for errors that Python raises itself."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def database_failure(path: Path, error: Exception, *, reading: bool) -> HistoryError:
    """Return the sentence about an error of SQLite."""
    verb = "read" if reading else "written"
    match result_code(error):
        case sqlite3.SQLITE_FULL:
            return HistoryError(f"The disk is full, so {path} cannot be {verb}: make room or {_ANOTHER_FOLDER}.")
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_CANTOPEN if _is_full(path.parent):
            return HistoryError(f"The disk is full, so {path} cannot be {verb}: make room or {_ANOTHER_FOLDER}.")
        case sqlite3.SQLITE_IOERR:
            return HistoryError(
                f"{path} cannot be {verb} ({error}): the disk may be full, over its quota or failing; make room or "
                f"{_ANOTHER_FOLDER}."
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN if _is_read_only(path.parent):
            return HistoryError(f"{path} is on a disk that can only be read: {_ANOTHER_FOLDER}.")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            what = "opened" if reading else "opened for writing"
            return HistoryError(f"{path} cannot be {what}: check its permissions or {_ANOTHER_FOLDER}.")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return HistoryError(f"{path} is in use by another program: try again when that has finished.")
        case _:
            return HistoryError(
                f"{path} cannot be used ({first_line(error)}): move it away to start a new history, or "
                f"{_ANOTHER_FOLDER}."
            )


def file_failure(path: Path, error: OSError, *, reading: bool) -> HistoryError:
    """Return the sentence about an error of the operating system."""
    reason = first_line(error).lower()
    match error.errno:
        case errno.ENOTDIR | errno.EEXIST:
            advice = "move away the file that is in the place of the folder"
        case number if number in _NO_SPACE:
            advice = "make room"
        case _:
            advice = "check its permissions"
    return HistoryError(
        f"The conversations in {path.parent} cannot be {'read' if reading else 'written'} ({reason}): {advice} or "
        f"{_ANOTHER_FOLDER}."
    )


def wrong_file(path: Path, reason: str) -> HistoryError:
    """Return the sentence about a file that is there and cannot be a history."""
    return HistoryError(f"{path} {reason}: move it away or {_ANOTHER_FOLDER}.")


def _is_full(folder: Path) -> bool:
    """Tell whether a file system has no room for a file, or no more of the numbers that files get."""
    try:
        if hasattr(os, "statvfs") and (found := os.statvfs(folder)).f_files and not found.f_favail:
            return True
        return shutil.disk_usage(folder).free < _LITTLE_BYTES
    except OSError:
        return False


def _is_read_only(folder: Path) -> bool:
    try:
        return hasattr(os, "statvfs") and bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
    except OSError:
        return False
