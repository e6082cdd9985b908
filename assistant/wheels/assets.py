"""Files whose bytes lie in wheels of the package index."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class WheelAsset:
    """One data file in one wheel of the package index: a whole file, or a part of a `SplitAsset`.

    Attributes:
        package: Name of the package.
        version: Version of the package.
        wheel_sha256: SHA-256 of the wheel in hexadecimal, as the index shows it.
        member: Path of the file in the wheel.
        sha256: SHA-256 of the file.
        size: Unpacked size in bytes.
        title: Name for users, by default the file name.
    """

    package: str
    version: str
    wheel_sha256: str
    member: str
    sha256: str
    size: int
    title: str = ""

    @property
    def name(self) -> str:
        """File name."""
        return Path(self.member).name

    @property
    def parts(self) -> "tuple[WheelAsset, ...]":
        """This file as the only part."""
        return (self,)


@dataclass(frozen=True)
class SplitAsset:
    """One file that lies on the package index in parts.

    Attributes:
        name: File name.
        sha256: SHA-256 of the whole file. This is what is trusted; those of the parts tell which ones are complete.
        parts: The parts in their order, of different wheels or not.
        title: Name for users, by default the file name.
    """

    name: str
    sha256: str
    parts: tuple[WheelAsset, ...]
    title: str = ""

    @property
    def size(self) -> int:
        """Size of the whole file in bytes."""
        return sum(part.size for part in self.parts)


Asset = WheelAsset | SplitAsset
