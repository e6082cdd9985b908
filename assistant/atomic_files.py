"""Write files and folders so that they appear under their name complete, or not at all, also after a crash."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from assistant.progress import Progress

_LOCK_TICK_SECONDS = 0.2


def write_atomically(path: Path, data: bytes, *, temporary: Path, mode: int = 0o666) -> None:
    """Replace the content of `path` by `data`, flushed to the disk.

    Args:
        path: File to write.
        data: Its complete content.
        temporary: File in the same folder that holds the data meanwhile. A fixed name, so that crashes leave one file
            and not one each. Callers make sure that no other process writes it at the same time.
        mode: Permissions of a new file, before the umask.

    Raises:
        OSError: The file cannot be written.
    """

    def open_with_mode(name: str, flags: int) -> int:
        return os.open(name, flags, mode)

    with open(temporary, "wb", opener=open_with_mode) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def sync_files(folder: Path) -> None:
    """Flush every file of `folder` to the disk, so that a rename that follows cannot outlive their content."""
    for path in folder.iterdir():
        with path.open("r+b") as file:
            os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Flush the names in `folder` to the disk. Windows cannot open folders, and writes names through by itself."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def lock_file(path: Path, progress: Progress) -> Iterator[None]:
    """Hold the lock file `path`, so that one process at a time does the work. Calls `progress` while it waits."""
    # Imported here: reading the settings takes this module along and needs no lock.
    import filelock

    lock = filelock.FileLock(path)
    while True:
        try:
            # Short waits, so that an exception raised by `progress` can end them.
            lock.acquire(timeout=_LOCK_TICK_SECONDS)
            break
        except filelock.Timeout:
            progress("Waiting for another process that is fetching the same file", 0, 0)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def work_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Make a temporary folder in `parent`, and delete those that killed processes have left. Hold a lock around it.

    What is renamed out of it stays, everything else goes.
    """
    for left_over in parent.glob(f"{prefix}*"):
        shutil.rmtree(left_over, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=parent, ignore_cleanup_errors=True) as work:
        yield Path(work)
