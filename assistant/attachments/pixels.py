"""Decode image files into pixels: upright, 8-bit RGB, on white, with colours as the file's profile means them."""

import io
import struct
import threading
import warnings
import zlib
from collections import OrderedDict
from dataclasses import dataclass

import PIL.Image
from PIL import ExifTags, ImageChops, ImageCms

from assistant.attachments.file_types import FORMATS, detect_type, unsupported_message
from assistant.attachments.formats import read_parts
from assistant.attachments.formats.parts import Parts, PartsError
from assistant.errors import AttachmentError
from assistant.messages import Image

MAX_MEGAPIXELS = 100.0
"""Largest image whatever the settings say. Its pixels, and one copy of them, take 0.8 GB."""

MAX_SIDE = 65_535
"""Longest side in pixels: that of a JPEG. Models and previews make room for the ratio of the sides."""

CACHE_BYTES = 64 * 2**20
"""Decoded pixels that are kept: one photo of 16 megapixels, or two of 8.

A photo is decoded when it is attached, and needed again for its preview, its prefill and any skill. With the cache a
12-megapixel photo is decoded once; each decoding takes 0.1 s (JPEG) to 0.3 s (PNG), and a copy 6 ms.
"""

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
    AssertionError,
    struct.error,
    zlib.error,
)
_STRIP_PIXELS = 2**20
_CHECKED_PIXELS = 10**6
"""Smaller images are decoded whatever the size of their file, which costs nothing."""
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
            pixels = _decode(image.data, image.name, MAX_MEGAPIXELS).pixels
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
    format_name = detect_type(data)
    if format_name not in FORMATS:
        raise AttachmentError(unsupported_message(data, name))
    try:
        parts = read_parts(data, format_name)
    except PartsError as error:
        raise AttachmentError(f"{name} {error}: save it anew as PNG or JPEG.") from error
    _check_size(parts.width, parts.height, name, max_megapixels)
    if len(data) < parts.min_bytes and parts.width * parts.height > _CHECKED_PIXELS:
        raise AttachmentError(
            f"{name} claims {_size(parts.width, parts.height)} and holds {len(data):,} bytes, too few for so many: "
            "get a fresh copy of it."
        )
    with warnings.catch_warnings():
        # Pillow warns about odd metadata on standard error, which is where the terminal app draws; errors are raised.
        warnings.simplefilter("ignore")
        try:
            with PIL.Image.open(io.BytesIO(parts.data), formats=[format_name]) as opened:
                # Also of formats whose headers only Pillow reads.
                _check_size(opened.width, opened.height, name, max_megapixels)
                is_animated = parts.is_animated or _is_animated(opened)
                opened.load()
                pixels = _to_rgb(_upright(opened), format_name, parts)
        except PIL.Image.DecompressionBombError as error:
            raise _too_many_pixels(name, min(max_megapixels, MAX_MEGAPIXELS)) from error
        except _DECODER_FAILURES as error:
            raise AttachmentError(f"{name} is damaged or cut short: get a fresh copy of it.") from error
    notice = f"{name} is animated: only its first frame is shown." if is_animated else ""
    return Decoded(pixels, format_name, notice)


def _check_size(width: int, height: int, name: str, max_megapixels: float) -> None:
    """Raise `AttachmentError` if an image has too many pixels, or too many in a row."""
    limit = min(max_megapixels, MAX_MEGAPIXELS)
    if width * height > limit * 1e6:
        raise _too_many_pixels(name, limit, f" ({_size(width, height)})")
    if max(width, height) > MAX_SIDE:
        raise AttachmentError(
            f"{name} ({_size(width, height)}) is longer than the {MAX_SIDE:,} pixels allowed on a side: "
            "scale it down, or cut it into pieces."
        )


def _size(width: int, height: int) -> str:
    return f"{width} x {height} pixels"


def _is_animated(opened: PIL.Image.Image) -> bool:
    try:
        return bool(getattr(opened, "is_animated", False))
    except _DECODER_FAILURES:
        return True  # there is a second frame, and it is broken


def _upright(opened: PIL.Image.Image) -> PIL.Image.Image:
    try:
        orientation = opened.getexif().get(ExifTags.Base.Orientation)
    except _DECODER_FAILURES:
        return opened  # unreadable EXIF data says nothing about the pixels
    transpose = _TRANSPOSE_BY_ORIENTATION.get(orientation) if isinstance(orientation, int) else None
    return opened if transpose is None else opened.transpose(transpose)


def _to_rgb(pixels: PIL.Image.Image, format_name: str, parts: Parts) -> PIL.Image.Image:
    profile = parts.profile or pixels.info.get("icc_profile")
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
    # In strips: three copies of 100 megapixels would take 1.2 GB.
    canvas = PIL.Image.new("RGB", pixels.size, "white")
    rows = max(1, _STRIP_PIXELS // pixels.width)
    for top in range(0, pixels.height, rows):
        strip = pixels.crop((0, top, pixels.width, min(top + rows, pixels.height))).convert("RGBA")
        background = PIL.Image.new("RGBA", strip.size, "white")
        background.alpha_composite(strip)
        canvas.paste(background.convert("RGB"), (0, top))
    return canvas


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
    remedy = "scale it down, or raise max_image_megapixels" if limit < MAX_MEGAPIXELS else "scale it down"
    return AttachmentError(f"{name}{size} is larger than the {limit:g} megapixels allowed: {remedy}.")
