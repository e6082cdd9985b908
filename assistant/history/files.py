"""The file of the history and its log, as files: found, copied, and kept under other names."""

import os
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

from assistant.history.failures import wrong_file

_NUMBERS = ("", *(f"-{number}" for number in range(2, 100)))


def file_exists(path: Path) -> bool:
    """Tell whether there is a file.

    Raises:
        HistoryError: There is something else.
        OSError: That cannot be known.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        for part in (path, *path.parents):
            # The conversations may be on a disk that is not there now.
            if part.is_symlink() and not part.exists():
                raise wrong_file(part, "is a link to something that is not there") from None
        return False
    if not stat.S_ISREG(mode):
        raise wrong_file(path, "is a folder" if stat.S_ISDIR(mode) else "is no regular file")
    return True


def has_log(path: Path) -> bool:
    """Tell whether there is a log with transactions that are not in the file yet."""
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size > 0
    except FileNotFoundError:
        return False


def snapshot(path: Path) -> sqlite3.Connection:
    """Return a copy in memory of the file and its log, for folders in which SQLite can create no file."""
    memory = sqlite3.connect(":memory:", isolation_level=None)
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder) / path.name
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{path}{suffix}", f"{copied}{suffix}")
        with closing(sqlite3.connect(copied)) as connection:
            connection.backup(memory)
    return memory


def set_aside(path: Path, suffixes: Sequence[str]) -> str:
    """Rename `path` with each of `suffixes` to a name that is free, and return that name.

    Args:
        path: The file.
        suffixes: What follows its name, such as "-wal"; missing files are skipped. The last is in the result.

    Raises:
        OSError: The folder cannot be written.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    targets = [path.with_name(f"{path.stem}.corrupt-{stamp}{number}{path.suffix}") for number in _NUMBERS]
    target = next(target for target in targets if not (os.path.lexists(target) or os.path.lexists(f"{target}-wal")))
    for suffix in suffixes:
        with suppress(FileNotFoundError):
            Path(f"{path}{suffix}").rename(f"{target}{suffix}")
    return f"{target.name}{suffixes[-1]}"
