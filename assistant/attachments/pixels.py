"""Decode image files into pixels: upright, 8-bit RGB, on white, with colours as the file's profile means them."""

import io
import math
import struct
import threading
import warnings
import zlib
from collections import OrderedDict
from dataclasses import dataclass

import PIL.Image
from PIL import ExifTags, ImageChops, ImageCms

from assistant.attachments.file_types import FORMATS, detect_type, unsupported_message
from assistant.errors import AttachmentError
from assistant.messages import Image

CACHE_BYTES = 64 * 2**20
"""Decoded pixels that are kept: one photo of 16 megapixels, or two of 8.

A photo is decoded when it is attached, and needed again for its preview, its prefill and any skill. With the cache a
12-megapixel photo is decoded once; each decoding takes 0.1 s (JPEG) to 0.3 s (PNG), and a copy 6 ms.
"""

_PLUGINS = tuple(name for name in FORMATS if name != "MPO")  # the JPEG plugin opens MPO files as well
# Exceptions of Pillow's decoders on damaged or hostile bytes. Pillow promises no more than "an exception"; these are
# the families that fuzzing has raised.
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
_TRANSPOSE_BY_ORIENTATION = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}
# One image is decoded at a time: that bounds the memory, and Python's warning filters are not thread-safe.
_DECODING = threading.Lock()


@dataclass(frozen=True)
class Decoded:
    """Pixels of an image file.

    Attributes:
        pixels: `height` x `width`, 8-bit RGB.
        format_name: Key of `FORMATS`.
        notice: Sentence for the user, such as that only the first frame is shown, or empty.
    """

    pixels: PIL.Image.Image
    format_name: str
    notice: str


class PixelCache:
    """The most recently used decoded images, by the digest of their files. Not thread-safe."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._pixels: OrderedDict[str, PIL.Image.Image] = OrderedDict()

    def get(self, digest: str) -> PIL.Image.Image | None:
        if digest in self._pixels:
            self._pixels.move_to_end(digest)
        return self._pixels.get(digest)

    def add(self, digest: str, pixels: PIL.Image.Image) -> None:
        self._pixels[digest] = pixels
        # Pillow stores RGB as 4 bytes a pixel.
        while sum(4 * each.width * each.height for each in self._pixels.values()) > self._max_bytes:
            self._pixels.popitem(last=False)


_cache = PixelCache(CACHE_BYTES)


def decode(image: Image) -> PIL.Image.Image:
    """Return the pixels of `image`: `height` x `width`, 8-bit RGB, upright, with white behind transparency.

    The result belongs to the caller and may be changed.

    Raises:
        AttachmentError: The file does not decode, which `ImageLoader` rules out.
    """
    with _DECODING:
        pixels = _cache.get(image.digest)
        if pixels is None:
            pixels = _decode(image.data, image.name, math.inf).pixels
            _cache.add(image.digest, pixels)
        return pixels.copy()


def decode_file(data: bytes, name: str, max_megapixels: float) -> tuple[Image, str]:
    """Decode an image file for the first time.

    Args:
        data: Content of the file.
        name: Name for messages.
        max_megapixels: Largest image that is decoded, judged by its header.

    Returns:
        The image, whose pixels are cached for `decode`, and a notice for the user, or "".

    Raises:
        AttachmentError: The file is damaged, too large or of another type.
    """
    with _DECODING:
        decoded = _decode(data, name, max_megapixels)
        width, height = decoded.pixels.size
        image = Image(data, FORMATS[decoded.format_name].media_type, width, height, name)
        _cache.add(image.digest, decoded.pixels)
    return image, decoded.notice


def _decode(data: bytes, name: str, max_megapixels: float) -> Decoded:
    with warnings.catch_warnings():
        # Pillow warns about odd metadata on standard error, which is where the terminal app draws; errors are raised.
        warnings.simplefilter("ignore")
        try:
            with PIL.Image.open(io.BytesIO(data), formats=_PLUGINS) as opened:
                megapixels = opened.width * opened.height / 1e6
                if megapixels > max_megapixels:
                    raise _too_many_pixels(name, max_megapixels, f" ({opened.width} x {opened.height} pixels)")
                notice = _animation_notice(opened, name)
                opened.load()
                format_name = opened.format or ""
                return Decoded(_to_rgb(_upright(opened), format_name), format_name, notice)
        except PIL.Image.DecompressionBombError as error:
            raise _too_many_pixels(name, min(max_megapixels, 100)) from error
        except _DECODER_FAILURES as error:
            if detect_type(data) in FORMATS:
                raise AttachmentError(f"{name} is damaged or cut short: get a fresh copy of it.") from error
            raise AttachmentError(unsupported_message(data, name)) from error


def _animation_notice(opened: PIL.Image.Image, name: str) -> str:
    try:
        has_more = bool(getattr(opened, "is_animated", False))
    except _DECODER_FAILURES:
        has_more = True  # there is a second frame, and it is broken
    # Phones put a second view or a depth map behind the photo (MPO), which nobody expects to see.
    if not has_more or opened.format == "MPO":
        return ""
    return f"{name} is animated: only its first frame is shown."


def _upright(opened: PIL.Image.Image) -> PIL.Image.Image:
    try:
        orientation = opened.getexif().get(ExifTags.Base.Orientation)
    except _DECODER_FAILURES:
        return opened  # unreadable EXIF data says nothing about the pixels
    transpose = _TRANSPOSE_BY_ORIENTATION.get(orientation) if isinstance(orientation, int) else None
    return opened if transpose is None else opened.transpose(transpose)


def _to_rgb(pixels: PIL.Image.Image, format_name: str) -> PIL.Image.Image:
    profile = pixels.info.get("icc_profile")
    if pixels.mode.startswith("I;16"):
        pixels = _to_8_bit(pixels)
    elif pixels.mode == "CMYK" and format_name == "JPEG" and "adobe" not in pixels.info:
        # Pillow takes every CMYK JPEG for one of Adobe's, which store the inks inverted; only these carry the mark.
        pixels = ImageChops.invert(pixels)
    if pixels.has_transparency_data:
        pixels = _on_white(pixels)
    elif pixels.mode not in ("L", "RGB", "CMYK"):
        pixels = pixels.convert("RGB")
    if isinstance(profile, bytes):
        pixels = _to_srgb(pixels, profile)
    return pixels.convert("RGB")


def _to_8_bit(pixels: PIL.Image.Image) -> PIL.Image.Image:
    # 65,535 is 257 times 255. Pillow's own conversion would clip: everything above 255 turns white.
    grey = pixels.convert("I").point(lambda value: value * (1 / 257) + 0.5).convert("L")
    grey.info.pop("transparency", None)  # a value of the old range
    return grey


def _on_white(pixels: PIL.Image.Image) -> PIL.Image.Image:
    rgba = pixels.convert("RGBA")
    canvas = PIL.Image.new("RGBA", rgba.size, "white")
    canvas.alpha_composite(rgba)
    return canvas.convert("RGB")


def _to_srgb(pixels: PIL.Image.Image, profile: bytes) -> PIL.Image.Image:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        # Most photos are in sRGB already; converting 12 megapixels of them would take 0.2 s for nothing.
        if pixels.mode == "RGB" and "sRGB" in ImageCms.getProfileDescription(source):
            return pixels
        converted = ImageCms.profileToProfile(pixels, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return pixels  # a broken profile, or one of another colour space: the plain conversion is close
    return converted or pixels


def _too_many_pixels(name: str, limit: float, size: str = "") -> AttachmentError:
    return AttachmentError(
        f"{name}{size} is larger than the {limit:g} megapixels allowed: scale it down, or raise max_image_megapixels."
    )
