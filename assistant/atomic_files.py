"""Write files and folders so that they appear under their name complete, or not at all, also after a crash.

Files and folders that are new belong to their owner alone (0600 and 0700, whatever the umask): conversations, calls
and settings are private. What exists keeps its permissions. Temporary files have names that nobody can foresee, so
that no link can be put in their place.
"""

import errno
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from assistant.progress import Progress

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700

_LOCK_TICK_SECONDS = 0.2
_LEFT_OVER_SECONDS = 3600.0
"""Age at which a temporary file is taken for one that a killed process has left."""
_UNFINISHED = re.compile(r"\..*\.[0-9a-f]{16}\.unfinished", re.DOTALL)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def make_private_folder(folder: Path) -> None:
    """Create `folder` and its missing parents for their owner alone; existing ones stay. Raises `OSError`."""
    # `mkdir(parents=True)` would create the parents with the permissions of the umask.
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_private_folder(folder.parent)
    # Not `exist_ok`, which would take a file in the place of the folder for an error of the caller.
    try:
        folder.mkdir(mode=PRIVATE_FOLDER)
    except FileExistsError:
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None


def open_private(path: Path, *, append: bool = False) -> IO[bytes]:
    """Open `path` for writing, unbuffered, and create its folder. A new file belongs to its owner alone.

    A symbolic link is followed if this user or root made it. Another user's link is refused: it would let a neighbour
    choose which file is written.

    Args:
        path: File to write; an existing one keeps its permissions.
        append: Write at the end. Without it an existing file is emptied.

    Raises:
        OSError: The file cannot be written, or is another user's link.
    """
    make_private_folder(path.parent)
    if path.is_symlink():
        if hasattr(os, "geteuid") and path.lstat().st_uid not in (os.geteuid(), 0):
            raise OSError(errno.ELOOP, "a symbolic link of another user", str(path))
        path = path.resolve()
    flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if append else os.O_TRUNC) | _NO_FOLLOW
    return os.fdopen(os.open(path, flags, PRIVATE_FILE), "ab" if append else "wb", buffering=0)


@contextmanager
def replace_file(path: Path, mode: int = PRIVATE_FILE) -> Iterator[IO[bytes]]:
    """Open a temporary file that becomes `path` when the block ends, flushed to the disk.

    After an exception the old content stays, and no temporary file. An existing file keeps its permissions and owner.
    A symbolic link at `path` is replaced and not followed.

    Args:
        path: File to write.
        mode: Permissions of a new file, before the umask; 0o666 for a file that the user has asked for.

    Raises:
        OSError: The file cannot be written.
    """
    # A name may be 255 bytes long, and a character 4.
    temporary = path.with_name(f".{path.name[:50]}.{secrets.token_hex(8)}.unfinished")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            _copy_permissions(path, descriptor)
            _remove_left_over(path.parent, os.fstat(descriptor).st_mtime)
            yield file
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def write_atomically(path: Path, data: bytes) -> None:
    """Replace the content of `path` by `data` as `replace_file` does. Raises `OSError`."""
    with replace_file(path) as file:
        file.write(data)


def _copy_permissions(path: Path, descriptor: int) -> None:
    """Give an open new file the owner and permissions of `path`, or fewer, but never more."""
    try:
        old = path.lstat()
    except OSError:
        return
    if os.name != "posix" or not stat.S_ISREG(old.st_mode):
        return
    mode = old.st_mode & 0o777
    new = os.fstat(descriptor)
    if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
        try:
            os.fchown(descriptor, old.st_uid, old.st_gid)
        except OSError:
            # The rights of the group would be given to another group.
            mode &= 0o700
    os.fchmod(descriptor, mode)


def _remove_left_over(folder: Path, now: float) -> None:
    """Delete temporary files that killed processes have left. `now` is by the clock of the file system."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _UNFINISHED.fullmatch(entry.name):
                with suppress(OSError):
                    if now - entry.stat(follow_symlinks=False).st_mtime > _LEFT_OVER_SECONDS:
                        Path(entry.path).unlink()


def sync_files(folder: Path) -> None:
    """Flush every file of `folder` to the disk, so that a rename that follows cannot outlive their content."""
    for path in folder.iterdir():
        with path.open("r+b") as file:
            os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Flush the names in `folder` to the disk. Windows cannot open folders, and writes names through by itself."""
    if os.name != "posix":
        return
    # A folder that may be written but not listed cannot be opened, and some file systems do not sync folders.
    with suppress(PermissionError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise
        finally:
            os.close(descriptor)


@contextmanager
def lock_file(path: Path, progress: Progress) -> Iterator[None]:
    """Hold the lock file `path`, so that one process at a time does the work. Calls `progress` while it waits."""
    # Imported here: reading the settings takes this module along and needs no lock.
    import filelock

    lock = filelock.FileLock(path, mode=PRIVATE_FILE)
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
