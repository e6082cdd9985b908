"""The parts of an image file, and limits on them."""

from dataclasses import dataclass

MAX_PARTS = 500_000
"""Chunks, segments or blocks of a file. A GIF of 64 MB has 260,000 blocks."""

MAX_PROFILE_BYTES = 16 * 2**20
"""Largest ICC profile that is applied; those of printers take 3 MB."""

MAX_EXIF_BYTES = 2**16
"""Bytes of EXIF data that are looked at. The orientation is at their beginning."""


class PartsError(ValueError):
    """A file has more of something than is read. The message continues a sentence that begins with its name."""


@dataclass(frozen=True)
class Parts:
    """The parts of an image file that its first frame needs.

    Attributes:
        data: A file of the same format with these parts only.
        width: Width in pixels as the header claims, 0 if it is not known without decoding.
        height: Height in pixels, like `width`.
        min_bytes: Least size that a file with so many pixels can have.
        is_animated: True if there are more frames.
        profile: ICC profile, if it is not in `data`.
    """

    data: bytes
    width: int = 0
    height: int = 0
    min_bytes: int = 0
    is_animated: bool = False
    profile: bytes = b""


class PartCounter:
    """Counts the parts of a file, and raises `PartsError` if there are too many."""

    def __init__(self) -> None:
        self._count = 0

    def add(self) -> None:
        """Count one more part."""
        self._count += 1
        if self._count > MAX_PARTS:
            raise PartsError(f"consists of more than {MAX_PARTS:,} parts")
