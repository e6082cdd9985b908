"""Messages of a conversation: plain values made of text, images, audio and reasoning.

Nothing here reads files or decodes images. An `Image` holds the bytes of its file and their digest, by which caches and
the history identify it.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Literal

from assistant.text_cleaning import valid_unicode

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Text:
    """Text of a message. Lone surrogates are replaced: no file, database or server accepts them."""

    text: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", valid_unicode(self.text))


@dataclass(frozen=True)
class Image:
    """An image file.

    Attributes:
        data: Content of the file.
        media_type: Type of the file, such as "image/jpeg".
        width: Width in pixels, after any EXIF rotation.
        height: Height in pixels, after any EXIF rotation.
        name: File name, for display.
        digest: SHA-256 of `data` in hexadecimal.
    """

    data: bytes = field(repr=False)
    media_type: str
    width: int
    height: int
    name: str
    digest: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", valid_unicode(self.name))
        if not self.digest:
            object.__setattr__(self, "digest", content_digest(self.data))


@dataclass(frozen=True)
class Audio:
    """Mono audio.

    Attributes:
        data: Samples in [-1, 1], as the bytes of a little-endian float32 array.
        sample_rate: Samples a second.
        digest: SHA-256 of `data` in hexadecimal.
    """

    data: bytes = field(repr=False)
    sample_rate: int
    digest: str = ""

    def __post_init__(self) -> None:
        if not self.digest:
            object.__setattr__(self, "digest", content_digest(self.data))


@dataclass(frozen=True)
class Reasoning:
    """Reasoning of a model before its reply. It is shown, and never part of a later prompt."""

    text: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", valid_unicode(self.text))


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool by the model.

    Attributes:
        name: Name of the tool.
        arguments: JSON object of its arguments, as the model wrote it: it may be invalid.
        id: Identifier by which the model expects the result; empty if it gave none.
    """

    name: str
    arguments: str = "{}"
    id: str = ""


ContentPart = Text | Image | Audio | Reasoning

IMAGE_PLACEHOLDER = Text("[picture]\n")
"""Replaces an image in prompts from which it was trimmed."""


@dataclass(frozen=True)
class Message:
    """One message of a conversation. An interrupted reply holds the part that was shown or spoken."""

    role: Role
    parts: tuple[ContentPart, ...]
    interrupted: bool = False

    @property
    def text(self) -> str:
        """Text of all text parts, in order, joined by newlines."""
        return "\n".join(part.text for part in self.parts if isinstance(part, Text))

    @property
    def reasoning(self) -> str:
        """Reasoning before the text, or empty."""
        return "".join(part.text for part in self.parts if isinstance(part, Reasoning))

    @property
    def images(self) -> tuple[Image, ...]:
        """All images, in order."""
        return tuple(part for part in self.parts if isinstance(part, Image))

    @property
    def had_image(self) -> bool:
        """True if the message has an image, or had one that was replaced by the placeholder."""
        return bool(self.images) or IMAGE_PLACEHOLDER in self.parts


def content_digest(data: bytes) -> str:
    """Return the SHA-256 of `data` in hexadecimal, which identifies an attachment in caches and in the history."""
    return hashlib.sha256(data).hexdigest()


def system(text: str) -> Message:
    """Return a system message."""
    return Message("system", (Text(text),))


def user(text: str, *attachments: Image | Audio) -> Message:
    """Return a user message. Attachments come before the text, where vision models expect them."""
    return Message("user", (*attachments, *((Text(text),) if text else ())))


def assistant(text: str, *, reasoning: str = "", interrupted: bool = False) -> Message:
    """Return a reply of the model, with the reasoning before it."""
    return Message("assistant", (*((Reasoning(reasoning),) if reasoning else ()), Text(text)), interrupted)
