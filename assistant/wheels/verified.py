"""Remember which files have been verified, so that a start does not read them all: 1.1 GB take a second or more."""

import hashlib
from contextlib import suppress
from pathlib import Path

from assistant.atomic_files import open_private
from assistant.wheels.assets import Asset


def is_valid(path: Path, asset: Asset, *, full_check: bool = False) -> bool:
    """Return True if `path` is the complete, undamaged file of `asset`.

    The file is read when nothing tells that it has been before, or when its size or time has changed since then.

    Args:
        path: File to check.
        asset: What it should be.
        full_check: Read it in any case.
    """
    if not path.is_file() or path.stat().st_size != asset.size:
        return False
    if not full_check and _read_stamp(path) == _stamp(path, asset):
        return True
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != asset.sha256:
            return False
    mark_verified(path, asset)
    return True


def mark_verified(path: Path, asset: Asset) -> None:
    """Note beside `path` that its content has been compared with the SHA-256 of `asset`."""
    stamp = _stamp(path, asset)
    # Without a whole note, such as on a read-only disk or after a crash, the file is read once more.
    with suppress(OSError):
        if _read_stamp(path) != stamp:
            with open_private(_stamp_path(path)) as file:
                file.write(stamp)


def forget(path: Path) -> None:
    """Delete the note about `path`."""
    _stamp_path(path).unlink(missing_ok=True)


def _stamp_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.verified")


def _stamp(path: Path, asset: Asset) -> bytes:
    status = path.stat()
    return f"{asset.sha256} {status.st_size} {status.st_mtime_ns}\n".encode()


def _read_stamp(path: Path) -> bytes:
    try:
        with _stamp_path(path).open("rb") as file:
            return file.read(200)
    except OSError:
        return b""
