"""What is said in a conversation: messages made of parts, as plain values.

Nothing here reads a file or decodes a picture. An `Image` carries the bytes of its file as they were found, and a
digest of them, so that caches and the history can tell pictures apart without looking inside.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Literal

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Text:
    """Words."""

    text: str


@dataclass(frozen=True)
class Image:
    """A picture: the file's own bytes with what its header says.

    `width` and `height` are in pixels, as shown (after any EXIF rotation); `media_type` is like "image/jpeg";
    `name` is the file's name, for showing to people.
    """

    data: bytes = field(repr=False)
    media_type: str
    width: int
    height: int
    name: str
    digest: str = ""

    def __post_init__(self) -> None:
        if not self.digest:
            object.__setattr__(self, "digest", content_digest(self.data))


@dataclass(frozen=True)
class Audio:
    """A recording: mono samples as the bytes of a little-endian float32 array in [-1, 1]."""

    data: bytes = field(repr=False)
    sample_rate: int
    digest: str = ""

    def __post_init__(self) -> None:
        if not self.digest:
            object.__setattr__(self, "digest", content_digest(self.data))


ContentPart = Text | Image | Audio

IMAGE_PLACEHOLDER = Text("[picture]\n")
"""What stands in a prompt for a picture that is not looked at any more."""


@dataclass(frozen=True)
class Message:
    """One contribution to a conversation. An interrupted reply holds what was shown or heard of it."""

    role: Role
    parts: tuple[ContentPart, ...]
    interrupted: bool = False

    @property
    def text(self) -> str:
        """The words of all its text parts, in order, joined by new lines."""
        return "\n".join(part.text for part in self.parts if isinstance(part, Text))

    @property
    def images(self) -> tuple[Image, ...]:
        """Its pictures, in order."""
        return tuple(part for part in self.parts if isinstance(part, Image))

    @property
    def had_image(self) -> bool:
        """Whether it has a picture, or had one that is not looked at any more."""
        return bool(self.images) or IMAGE_PLACEHOLDER in self.parts


def content_digest(data: bytes) -> str:
    """SHA-256 of `data` in hexadecimal: the name of an attachment wherever it is cached or stored."""
    return hashlib.sha256(data).hexdigest()


def system(text: str) -> Message:
    """Instructions that stand before the conversation."""
    return Message("system", (Text(text),))


def user(text: str, *attachments: Image | Audio) -> Message:
    """What a person says, pictures first: that is where vision models expect them."""
    return Message("user", (*attachments, *((Text(text),) if text else ())))


def assistant(text: str, *, interrupted: bool = False) -> Message:
    """What the model says."""
    return Message("assistant", (Text(text),), interrupted)
