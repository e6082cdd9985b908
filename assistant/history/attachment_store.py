"""Attachments as files named by the digest of their bytes, so that each is stored once however often it is shown."""

from contextlib import suppress
from pathlib import Path

from assistant.atomic_files import write_atomically
from assistant.messages import content_digest


class AttachmentStore:
    """A folder of such files, made when the first is written. One writer at a time: its callers hold a lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, digest: str, data: bytes) -> None:
        """Have `data` on the disk as `digest`: complete, or not at all. Raises `OSError`."""
        path = self.folder / digest
        with suppress(FileNotFoundError):
            if path.stat().st_size == len(data):
                return
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(path, data, temporary=self.folder / "unfinished", mode=0o600)

    def read(self, digest: str) -> bytes | None:
        """The bytes kept as `digest`; None if they are gone, unreadable or no longer the same."""
        try:
            data = (self.folder / digest).read_bytes()
        except OSError:
            return None
        return data if content_digest(data) == digest else None

    def remove(self, digest: str) -> None:
        """Delete what is kept as `digest`, if it is there. Raises `OSError`."""
        (self.folder / digest).unlink(missing_ok=True)
