"""Attachments as files named by the digest of their content, so that each is stored once."""

from contextlib import suppress
from pathlib import Path

from assistant.atomic_files import make_private_folder, write_atomically
from assistant.messages import content_digest


class AttachmentStore:
    """A folder of attachments, created by the first write. Callers hold a lock: one writer at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, digest: str, data: bytes) -> None:
        """Store `data` as `digest` unless it is there, flushed to the disk. Raises `OSError`."""
        path = self.folder / digest
        with suppress(FileNotFoundError):
            if path.stat().st_size == len(data):
                return
        make_private_folder(self.folder)
        write_atomically(path, data)

    def read(self, digest: str) -> bytes | None:
        """Return the content stored as `digest`, or None if it is missing, unreadable or damaged."""
        try:
            data = (self.folder / digest).read_bytes()
        except OSError:
            return None
        return data if content_digest(data) == digest else None

    def remove(self, digest: str) -> None:
        """Delete the content stored as `digest`, if it is there. Raises `OSError`."""
        (self.folder / digest).unlink(missing_ok=True)
