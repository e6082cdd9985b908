"""Attachments as files named by the digest of their content, so that each is stored once."""

import re
import stat
from contextlib import suppress
from pathlib import Path

from assistant.atomic_files import make_private_folder, write_atomically
from assistant.messages import content_digest

_DIGEST = re.compile(r"[0-9a-f]{64}")
_MAX_BYTES = 1 << 30


class AttachmentStore:
    """A folder of attachments, created by the first write. Callers hold a lock: one writer at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, digest: str, data: bytes) -> None:
        """Store `data` as `digest` unless it is there, flushed to the disk. Raises `OSError`."""
        path = self._path(digest)
        with suppress(FileNotFoundError):
            if path.stat().st_size == len(data):
                return
        make_private_folder(self.folder)
        write_atomically(path, data)

    def read(self, digest: str) -> bytes | None:
        """Return the content stored as `digest`, or None if it is missing, unreadable or damaged."""
        try:
            # Never another file, and no pipe that would be waited for: others may have changed the folder.
            path = self._path(digest)
            found = path.lstat()
            if not stat.S_ISREG(found.st_mode) or found.st_size > _MAX_BYTES:
                return None
            data = path.read_bytes()
        except OSError:
            return None
        return data if content_digest(data) == digest else None

    def remove(self, digest: str) -> None:
        """Delete the content stored as `digest`, if it is there. Raises `OSError`."""
        with suppress(FileNotFoundError, IsADirectoryError):
            self._path(digest).unlink()

    def _path(self, digest: str) -> Path:
        """Return the path of an attachment. Raises `FileNotFoundError` for what is no digest, such as "../config"."""
        if not _DIGEST.fullmatch(digest):
            raise FileNotFoundError(digest)
        return self.folder / digest
