"""Parts of a PNG: header, palette, transparency, pixels, orientation, colour profile.

Texts, times, physical sizes and the other frames of an animation are left out. Ancillary chunks with a wrong checksum
are ignored, as the standard allows. https://www.w3.org/TR/png-3/
"""

import struct
import zlib
from collections.abc import Iterator

from assistant.attachments.formats.parts import MAX_EXIF_BYTES, MAX_PROFILE_BYTES, PartCounter, Parts

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_MAX_DEFLATE_RATIO = 1032
"""Most bytes that deflate unpacks from one."""
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples of a pixel by colour type."""


def read_parts(data: bytes) -> Parts:
    """Return the parts of a PNG. Raises `PartsError`."""
    kept = [_SIGNATURE]
    profile = b""
    width = height = min_bytes = 0
    is_animated = has_header = False
    for kind, content, chunk in _chunks(data):
        if kind == b"IHDR" and not has_header:
            has_header = True
            width, height, min_bytes = _read_header(content)
        if kind in _CRITICAL:
            kept.append(chunk)
        elif kind == b"acTL" and len(content) >= 4:
            is_animated = int.from_bytes(content[:4], "big") > 1
        elif not _is_intact(chunk):
            continue
        elif kind == b"tRNS":
            kept.append(chunk)
        elif kind == b"iCCP":
            profile = _read_profile(content)
        elif kind == b"eXIf":
            kept.append(_chunk(kind, content[:MAX_EXIF_BYTES]))
    return Parts(b"".join(kept), width, height, min_bytes, is_animated, profile)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield the type, the content and all bytes of each chunk, up to the end of the image."""
    counter = PartCounter()
    position = len(_SIGNATURE)
    while position + 8 <= len(data):
        counter.add()
        length = int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        end = position + 12 + length
        yield kind, data[position + 8 : position + 8 + length], data[position:end]
        if kind == b"IEND":
            return
        position = end


def _read_header(content: bytes) -> tuple[int, int, int]:
    """Return width, height and the least size of the file."""
    if len(content) < 10:
        return 0, 0, 0
    width, height, depth, colour_type = struct.unpack(">IIBB", content[:10])
    row_bytes = 1 + (width * depth * _CHANNELS.get(colour_type, 1) + 7) // 8
    return width, height, row_bytes * height // _MAX_DEFLATE_RATIO


def _is_intact(chunk: bytes) -> bool:
    return zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")


def _read_profile(content: bytes) -> bytes:
    """Return the ICC profile in an iCCP chunk, or b"" if it is broken or too large."""
    _, _, packed = content.partition(b"\0")
    unpacker = zlib.decompressobj()
    try:
        profile = unpacker.decompress(packed[1:], MAX_PROFILE_BYTES)
    except zlib.error:
        return b""
    return profile if unpacker.eof else b""


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
