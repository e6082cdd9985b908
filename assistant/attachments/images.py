"""Pictures from outside: read, judged and decoded once at the door, so that nothing fails in the middle of a turn.

    path, file://, http(s):// ─▶ bytes ─▶ header (format, size in pixels) ─▶ first frame, decoded ─▶ messages.Image

The value that comes out holds the file's own bytes. `decode` turns it into pixels whenever someone needs to look:
upright, RGB, on white where it is see-through, with colours as the file's colour profile means them.
"""

import io
import math
import os
import stat
import struct
import threading
import warnings
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import PIL.Image
from PIL import ExifTags, ImageChops, ImageCms

from assistant.attachments import url_fetch
from assistant.attachments.file_types import FORMATS, detect_type, unsupported_message
from assistant.attachments.paths_in_text import ExtractedImages, expand_user, extract_images
from assistant.errors import AttachmentError
from assistant.messages import Image

if TYPE_CHECKING:
    from assistant.settings import Settings

__all__ = ["MAX_BYTES", "ExtractedImages", "ImageLoader", "LoadedImage", "decode", "extract_images"]

MAX_BYTES = 64 * 2**20
"""The largest file that is read, in bytes: a conversation holds its pictures in memory, and its history copies them."""

_PLUGINS = tuple(name for name in FORMATS if name != "MPO")  # the JPEG one opens these as well
# What Pillow's decoders raise on damaged or hostile bytes. They promise no more than "an exception", so this names
# the families that fuzzing them brings out.
_DECODER_FAILURES = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    EOFError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
)
_UPRIGHT = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}
# One picture is decoded at a time: that bounds the memory, and Python's warning filters are not thread-safe.
_DECODING = threading.Lock()


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
            source: A path (`~` is the home directory), a `file://` URL, or an http(s) URL if allowed.

        Raises:
            AttachmentError: The image cannot be read, is refused, or does not decode.
        """
        if isinstance(source, str):
            scheme, separator, _ = source.partition("://")
            if separator and scheme.lower() in ("http", "https"):
                if not self.allow_urls:
                    raise AttachmentError(
                        f"{_shown_link(source)} was not fetched, because links are off: "
                        "set allow_urls, or save the picture to a file."
                    )
                download = self.fetch(source)
                return self.load_bytes(download.data, download.name)
            if separator and scheme.lower() == "file":
                source = _path_of_file_url(source)
        path = expand_user(source)
        return self.load_bytes(_read_file(path), path.name)

    def load_all(self, sources: Iterable[str | Path]) -> tuple[list[Image], list[str]]:
        """Load several images; return them and all their notices. Raises `AttachmentError` for the first failure."""
        loaded = [self.load(source) for source in sources]
        return [each.image for each in loaded], [notice for each in loaded for notice in each.notices]

    def load_bytes(self, data: bytes, name: str) -> LoadedImage:
        """Load the image file in `data`, shown to the user as `name`. Raises `AttachmentError` like `load`."""
        name = _printable(name)
        if not data:
            raise AttachmentError(f"{name} is empty: choose another file.")
        if len(data) > MAX_BYTES:
            raise _too_many_bytes(name)
        decoded = _decode(data, name, self.max_megapixels)
        width, height = decoded.picture.size
        image = Image(data, FORMATS[decoded.format_name].media_type, width, height, name)
        return LoadedImage(image, (decoded.notice,) if decoded.notice else ())


def decode(image: Image) -> PIL.Image.Image:
    """The pixels of `image`, `height` x `width`, 8-bit RGB, upright, with white behind what is see-through.

    Raises `AttachmentError` if they cannot be decoded, which `load_image` and `read_image` have made sure of.
    """
    return _decode(image.data, image.name, math.inf).picture


@dataclass(frozen=True)
class _Decoded:
    picture: PIL.Image.Image
    format_name: str
    notice: str


def _decode(data: bytes, name: str, max_megapixels: float) -> _Decoded:
    with _DECODING, warnings.catch_warnings():
        # Pillow warns of odd metadata on standard error, in the middle of the screen; what matters is raised below.
        warnings.simplefilter("ignore")
        try:
            with PIL.Image.open(io.BytesIO(data), formats=_PLUGINS) as opened:
                megapixels = opened.width * opened.height / 1e6
                if megapixels > max_megapixels:
                    raise _too_many_pixels(name, max_megapixels, f" ({opened.width} x {opened.height} pixels)")
                notice = _notice(opened, name)
                opened.load()
                turned = _turned_upright(opened)
                format_name = opened.format or ""
                return _Decoded(_as_rgb(turned, format_name), format_name, notice)
        except PIL.Image.DecompressionBombError as error:
            raise _too_many_pixels(name, min(max_megapixels, 100)) from error
        except _DECODER_FAILURES as error:
            if detect_type(data) in FORMATS:
                raise AttachmentError(f"{name} is damaged or cut short: get a fresh copy of it.") from error
            raise AttachmentError(unsupported_message(data, name)) from error


def _notice(opened: PIL.Image.Image, name: str) -> str:
    try:
        has_more = bool(getattr(opened, "is_animated", False))
    except _DECODER_FAILURES:
        has_more = True  # there is a second frame, and it is broken
    # Phones put a second view or a depth map behind the photo (MPO): nobody expects to see that.
    if not has_more or opened.format == "MPO":
        return ""
    return f"{name} is animated: only its first frame is shown."


def _turned_upright(opened: PIL.Image.Image) -> PIL.Image.Image:
    try:
        orientation = opened.getexif().get(ExifTags.Base.Orientation)
    except _DECODER_FAILURES:
        return opened  # unreadable EXIF data says nothing about the pixels
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return opened if turn is None else opened.transpose(turn)


def _as_rgb(picture: PIL.Image.Image, format_name: str) -> PIL.Image.Image:
    profile = picture.info.get("icc_profile")
    if picture.mode.startswith("I;16"):
        picture = _eight_bit(picture)
    elif picture.mode == "CMYK" and format_name == "JPEG" and "adobe" not in picture.info:
        # Pillow takes every CMYK JPEG for one of Adobe's, which store the inks inverted; only these carry the mark.
        picture = ImageChops.invert(picture)
    if picture.has_transparency_data:
        picture = _on_white(picture)
    elif picture.mode not in ("L", "RGB", "CMYK"):
        picture = picture.convert("RGB")
    if isinstance(profile, bytes):
        picture = _in_srgb(picture, profile)
    return picture.convert("RGB")


def _eight_bit(picture: PIL.Image.Image) -> PIL.Image.Image:
    # 65,535 is 257 times 255. Pillow's own conversion would clip: everything above 255 turns white.
    grey = picture.convert("I").point(lambda value: value * (1 / 257) + 0.5).convert("L")
    grey.info.pop("transparency", None)  # a value of the old range
    return grey


def _on_white(picture: PIL.Image.Image) -> PIL.Image.Image:
    see_through = picture.convert("RGBA")
    canvas = PIL.Image.new("RGBA", see_through.size, "white")
    canvas.alpha_composite(see_through)
    return canvas.convert("RGB")


def _in_srgb(picture: PIL.Image.Image, profile: bytes) -> PIL.Image.Image:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        # Most photos say they are sRGB already; converting 12 megapixels of them would take 0.2 s for nothing.
        if picture.mode == "RGB" and "sRGB" in ImageCms.getProfileDescription(source):
            return picture
        converted = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return picture  # a broken profile, or one of another colour space: the plain conversion is close
    return converted or picture


def _read_file(path: Path) -> bytes:
    shown = _printable(str(path))
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise AttachmentError(f"{shown} is a folder: name a picture in it.")
        if not stat.S_ISREG(mode):
            raise AttachmentError(f"{shown} is no ordinary file but a pipe or a device: name a picture file.")
        with open(path, "rb", opener=_without_blocking) as file:
            data = file.read(MAX_BYTES + 1) or b""
    except FileNotFoundError as error:
        raise AttachmentError(f"{shown} does not exist: check the path.") from error
    except PermissionError as error:
        raise AttachmentError(f"{shown} may not be read by you: check its permissions.") from error
    except (OSError, ValueError) as error:
        # ValueError is a NUL inside the path; OSError a path that is too long, a loop of links, a failing disk.
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "no valid path"
        raise AttachmentError(f"{shown} cannot be read ({reason.lower()}): check the path.") from error
    if len(data) > MAX_BYTES:
        raise _too_many_bytes(shown)
    return data


def _without_blocking(path: str, flags: int) -> int:
    # A pipe put in the file's place after the check would otherwise wait for a writer for ever.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _path_of_file_url(url: str) -> str:
    # Parsed by hand: `?` and `#` are ordinary characters in the paths that terminals and file managers paste.
    host, slash, path = url[len("file://") :].partition("/")
    if host.lower() not in ("", "localhost"):
        raise AttachmentError(f"{_printable(url)} is on another machine: copy the picture here and name its path.")
    return unquote(slash + path)


def _printable(name: str) -> str:
    """`name` as it can be printed: without control characters, which terminals would obey, and not too long."""
    name = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in name)
    return name if len(name) <= 120 else f"{name[:60]}…{name[-50:]}"


def _shown_link(url: str) -> str:
    try:
        return url_fetch.shown_url(urlsplit(url))
    except ValueError:
        return "That link"


def _too_many_bytes(name: str) -> AttachmentError:
    return AttachmentError(f"{name} is larger than {MAX_BYTES // 2**20} MB: save a smaller version of it.")


def _too_many_pixels(name: str, limit: float, size: str = "") -> AttachmentError:
    return AttachmentError(
        f"{name}{size} is larger than the {limit:g} megapixels allowed: scale it down, or raise max_image_megapixels."
    )
