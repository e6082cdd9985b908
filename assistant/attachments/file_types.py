"""Detect the type of a file by its first bytes, whatever its name."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """A supported format: its media type, and its usual name (empty for a variant of another format)."""

    media_type: str
    label: str


FORMATS = {
    "JPEG": Format("image/jpeg", "JPEG"),
    "PNG": Format("image/png", "PNG"),
    "GIF": Format("image/gif", "GIF"),
    "WEBP": Format("image/webp", "WebP"),
    "BMP": Format("image/bmp", "BMP"),
    "AVIF": Format("image/avif", "AVIF"),
}
"""Supported formats by Pillow's names.

Pillow's many others are rare and little tested. TIFF is left out because libtiff writes warnings directly to standard
error, which is where the terminal app draws.
"""

SUFFIXES = frozenset(".jpg .jpeg .jpe .jfif .png .apng .gif .webp .bmp .dib .avif".split())
"""Suffixes of files of a supported format."""

REFUSED_SUFFIXES = frozenset(".pdf .svg .tif .tiff .heic .heif .jxl .psd .ico .jp2".split())
"""Suffixes of files that are often tried, and refused."""

HEAD_BYTES = 1024
"""Number of bytes that detection needs."""

_labels = [known.label for known in FORMATS.values() if known.label]
_SUPPORTED = f"{', '.join(_labels[:-1])} or {_labels[-1]}"
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")


def detect_type(data: bytes) -> str:
    """Return a key of `FORMATS`; "PDF", "SVG", "HEIC", "TIFF" or "HTML", which are often tried; or "" if unknown."""
    head = data[:HEAD_BYTES]
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if head[4:8] == b"ftyp":
        return "AVIF" if head[8:12] in (b"avif", b"avis") else "HEIC" if head[8:12] in _HEIC_BRANDS else ""
    # Two letters are weak evidence. The four reserved bytes are zero in practice.
    if head.startswith(b"BM") and head[6:10] == b"\0\0\0\0":
        return "BMP"
    return _detect_document(head)


def _detect_document(head: bytes) -> str:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"%pdf-" in text:
        return "PDF"
    if b"<svg" in text and text.startswith(b"<"):
        return "SVG"
    if text.startswith((b"<!doctype html", b"<html")):
        return "HTML"
    return ""


def unsupported_message(data: bytes, name: str) -> str:
    """Return a sentence that says why `data` is no supported image, and what to do."""
    match detect_type(data):
        case "PDF":
            return f"{name} is a PDF, not a picture: save the page you mean as PNG or JPEG."
        case "SVG":
            return f"{name} is an SVG drawing, which is not read: export it as PNG."
        case "HEIC":
            return f"{name} is a HEIC photo, which is not read: export it as JPEG."
        case "TIFF":
            return f"{name} is a TIFF, which is not read: export it as PNG or JPEG."
        case "HTML":
            return f"{name} is a web page, not a picture: use the picture's own file or link."
        case _:
            return _other_type_message(data[:HEAD_BYTES], name)


def _other_type_message(head: bytes, name: str) -> str:
    for is_type, sentence in _OTHER_TYPES:
        if is_type(head):
            return f"{name} is {sentence}."
    return f"{name} is no picture that can be read: use {_SUPPORTED}."


def _is_text(head: bytes) -> bool:
    text = head.decode("utf-8", errors="ignore")
    # The last character may be cut in two.
    is_complete = len(text.encode()) >= len(head) - 3
    return is_complete and all(character.isprintable() or character in "\t\n\r\f\ufeff" for character in text)


def _starts(*signatures: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(signatures)


_OTHER_TYPES: tuple[tuple[Callable[[bytes], bool], str], ...] = (
    (
        lambda head: (
            head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide")
            or head.startswith((b"\x1aE\xdf\xa3", b"\0\0\x01\xba", b"FLV\1"))
            or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")
        ),
        "a video or recording, not a picture: save the frame you mean as PNG or JPEG",
    ),
    (
        lambda head: (
            head.startswith((b"ID3", b"OggS", b"fLaC", b"FORM", b"\xff\xfb", b"\xff\xf3"))
            or (head[:4] == b"RIFF" and head[8:12] == b"WAVE")
        ),
        "a recording, not a picture: parley transcribe reads what is said in it",
    ),
    (_starts(b"PK\3\4"), "a ZIP archive or an office document, not a picture: save the page you mean as PNG"),
    (_starts(b"8BPS"), "a Photoshop file, which is not read: export it as PNG"),
    (_starts(b"\0\0\1\0"), "an icon file, which is not read: save it as PNG"),
    (_starts(b"\xff\x0a", b"\0\0\0\x0cJXL "), "a JPEG XL picture, which is not read: export it as JPEG or PNG"),
    (_starts(b"\0\0\0\x0cjP  "), "a JPEG 2000 picture, which is not read: export it as JPEG or PNG"),
    (_starts(b"%!PS"), "a PostScript drawing, which is not read: export it as PNG"),
    (_is_text, "a text, not a picture: put its words into the message"),
)
"""Other types that are tried, by their first bytes, and what to do about them."""
