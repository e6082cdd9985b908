"""Load images from paths and URLs, and check that they decode, so that nothing fails in the middle of a turn.

    path, file://, http(s):// ─▶ bytes ─▶ header (format, size in pixels) ─▶ first frame decoded ─▶ messages.Image

An `Image` holds the bytes of its file. `decode` returns its pixels.
"""

import base64
import os
import stat
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from assistant.attachments import url_fetch
from assistant.attachments.file_lookup import expand_user, find_similar, path_of_file_url
from assistant.attachments.pixels import decode, decode_file
from assistant.errors import AttachmentError
from assistant.messages import Image
from assistant.text_cleaning import clean_line

if TYPE_CHECKING:
    from assistant.settings import Settings

__all__ = ["MAX_BYTES", "ImageLoader", "LoadedImage", "decode"]

MAX_BYTES = 64 * 2**20
"""Largest file that is read: a conversation holds its images in memory, and the history copies them."""

PIPE_SECS = 20.0
"""Time that a program at the other end of a pipe may be silent."""


@dataclass(frozen=True)
class LoadedImage:
    """An image that decodes, and notices for the user, such as that only the first frame is shown."""

    image: Image
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageLoader:
    """Load images within the limits that the settings give.

    Attributes:
        allow_urls: Whether http(s) URLs are fetched.
        max_megapixels: Largest image that is decoded, judged by its header first.
        fetch: Download a URL.
    """

    allow_urls: bool = False
    max_megapixels: float = 50.0
    fetch: Callable[[str], url_fetch.Download] = field(default=url_fetch.fetch, repr=False)

    @classmethod
    def from_settings(cls, settings: "Settings") -> "ImageLoader":
        """Return a loader with the limits of `settings`."""
        return cls(settings.allow_urls, settings.max_image_megapixels)

    def load(self, source: str | Path) -> LoadedImage:
        """Load the image at `source`.

        Args:
            source: A path (`~` is the home directory), a `file://` or `data:` URL, or an http(s) URL if allowed.

        Raises:
            AttachmentError: The image cannot be read, is refused, or does not decode.
        """
        if isinstance(source, str):
            if source[:5].lower() == "data:":
                return self.load_bytes(_read_data_url(source), "the data URL")
            scheme, separator, _ = source.partition("://")
            if separator and scheme.lower() in ("http", "https"):
                if not self.allow_urls:
                    raise AttachmentError(
                        f"{_redacted(source)} was not fetched, because links are off: "
                        "set allow_urls (--allow-urls), or save the picture to a file."
                    )
                download = self.fetch(source)
                return self.load_bytes(download.data, download.name)
            path_in_url = path_of_file_url(source)
            if path_in_url == "":
                raise AttachmentError(
                    f"{_displayed(source)} is on another machine: copy the picture here and name its path."
                )
            source = path_in_url or source
        return self._load_file(expand_user(source))

    def _load_file(self, path: Path) -> LoadedImage:
        try:
            return self.load_bytes(read_file(path), path.name)
        except AttachmentError as error:
            similar = find_similar(path) if isinstance(error.__cause__, FileNotFoundError) else None
            if similar is None:
                raise
        loaded = self.load_bytes(read_file(similar), similar.name)
        notice = f"{loaded.image.name} is shown: its name is the only one that looks like the one given."
        return LoadedImage(loaded.image, (notice, *loaded.notices))

    def load_all(self, sources: Iterable[str | Path]) -> tuple[list[Image], list[str]]:
        """Load several images; return them and all their notices. Raises `AttachmentError` for the first failure."""
        loaded = [self.load(source) for source in sources]
        return [each.image for each in loaded], [notice for each in loaded for notice in each.notices]

    def load_bytes(self, data: bytes, name: str) -> LoadedImage:
        """Load the image file in `data`, shown to the user as `name`. Raises `AttachmentError` like `load`."""
        name = _displayed(name)
        if not data:
            raise AttachmentError(f"{name} is empty: choose another file.")
        if len(data) > MAX_BYTES:
            raise _too_many_bytes(name)
        image, notice = decode_file(data, name, self.max_megapixels)
        return LoadedImage(image, (notice,) if notice else ())


def _read_data_url(url: str) -> bytes:
    header, comma, content = url.partition(",")
    if len(content) > 2 * MAX_BYTES:
        raise _too_many_bytes("The data URL")
    if not comma or not header.lower().endswith(";base64"):
        raise AttachmentError("The data URL holds no base64: save the picture to a file.")
    try:
        return base64.b64decode(unquote(content), validate=False)
    except ValueError as error:
        raise AttachmentError("The data URL is damaged or cut short: copy it anew, or save the picture.") from error


def read_file(path: Path) -> bytes:
    """Return the content of a file or a pipe. Raises `AttachmentError` for all else, and for more than `MAX_BYTES`."""
    displayed = _displayed(str(path))
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise AttachmentError(f"{displayed} is a folder: name a picture in it.")
        if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
            raise AttachmentError(f"{displayed} is no file but a device or a socket: name a picture file.")
        with open(path, "rb", buffering=0, opener=_without_blocking) as file:
            # Asked again: a pipe may have replaced the file.
            is_pipe = stat.S_ISFIFO(os.fstat(file.fileno()).st_mode)
            data = _read_pipe(file.fileno(), displayed) if is_pipe else _read_all(file)
    except FileNotFoundError as error:
        raise AttachmentError(f"{displayed} does not exist: check the path.") from error
    except PermissionError as error:
        raise AttachmentError(f"{displayed} may not be read by you: check its permissions.") from error
    except (OSError, ValueError) as error:
        # ValueError is a NUL inside the path; OSError a path that is too long, a loop of links, a failing disk.
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "no valid path"
        raise AttachmentError(f"{displayed} cannot be read ({reason.lower()}): check the path.") from error
    if len(data) > MAX_BYTES:
        raise _too_many_bytes(displayed)
    return data


def _read_all(file: FileIO) -> bytes:
    data = bytearray()
    while len(data) <= MAX_BYTES and (piece := file.read(MAX_BYTES + 1 - len(data))):
        data += piece
    return bytes(data)


def _read_pipe(descriptor: int, displayed: str) -> bytes:
    """Return what another program writes to a pipe, until it closes it. A program that writes nothing is waited for."""
    data = bytearray()
    end = time.monotonic() + PIPE_SECS
    while len(data) <= MAX_BYTES:
        try:
            piece = os.read(descriptor, 2**20)
        except BlockingIOError:
            piece = None
        if piece:
            data += piece
            end = time.monotonic() + PIPE_SECS
        elif piece == b"" and data:
            break  # before the first byte it may mean that no program has opened the pipe yet
        elif time.monotonic() > end:
            raise AttachmentError(
                f"{displayed} is a pipe to which nothing was written for {PIPE_SECS:g} s: name a file."
            )
        else:
            time.sleep(0.02)
    return bytes(data)


def _without_blocking(path: str, flags: int) -> int:
    # A pipe that replaces the file after the check would otherwise wait for a writer for ever.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _displayed(name: str) -> str:
    """Return `name` without control characters, which terminals would obey, on one line, and not too long."""
    name = clean_line(name, 10_000)
    return name if len(name) <= 120 else f"{name[:60]}…{name[-50:]}"


def _redacted(url: str) -> str:
    try:
        return url_fetch.redacted_url(urlsplit(url))
    except ValueError:
        return "That link"


def _too_many_bytes(name: str) -> AttachmentError:
    return AttachmentError(f"{name} is larger than {MAX_BYTES // 2**20} MB: save a smaller version of it.")
