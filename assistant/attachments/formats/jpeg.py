"""Parts of a JPEG: tables, frame, scans, orientation, colour profile.

Comments, thumbnails, the second views that phones append (MPO), and everything behind the end of the image are left
out. https://www.w3.org/Graphics/JPEG/itu-t81.pdf
"""

import re

from assistant.attachments.formats.parts import MAX_EXIF_BYTES, PartCounter, Parts, PartsError

MAX_SCANS = 100
"""Scans of a progressive image. Programs write about ten; each goes over all pixels, so thousands take minutes."""

MAX_SCANNED_PIXELS = 2 * 10**9
"""Pixels times scans: 4 s."""

_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_APP0, _APP15, _COMMENT = 0xE0, 0xEF, 0xFE
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ARITHMETIC = 0xC9
"""First frame type with arithmetic coding, which has no least number of bits for a block."""
_DEEP_BITS = (12, 16)
# Inside of a scan, FF 00 is a byte FF, and FF D0 to FF D7 are restart markers.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_FILL = re.compile(rb"\xff\xff+")
# With Huffman codes a block of 8 x 8 pixels takes at least one bit. A component may have a sixteenth of the blocks.
_MAX_PIXELS_PER_BYTE = 8 * 64 * 16


def read_parts(data: bytes) -> Parts:
    """Return the parts of a JPEG. Raises `PartsError`."""
    kept = [data[:2]]
    width = height = min_bytes = scans = 0
    counter = PartCounter()
    position = 2
    while match := _NEXT_MARKER.search(data, position):
        counter.add()
        marker = data[match.end() - 1]
        if marker == _END_OF_IMAGE:
            kept.append(b"\xff\xd9")
            break
        length = int.from_bytes(data[match.end() : match.end() + 2], "big")
        position = match.end() + length
        content = data[match.end() + 2 : position]
        if marker in _FRAMES:
            width, height, min_bytes = _read_frame(marker, content)
        if _is_needed(marker, content):
            kept.append(data[match.start() : position])
        if marker == _START_OF_SCAN:
            scans += 1
            start, position = position, _end_of_scan(data, position)
            # Megabytes of fill bytes take the decoder seconds.
            kept.append(_FILL.sub(b"\xff", data[start:position]))
        max_scans = min(MAX_SCANS, MAX_SCANNED_PIXELS // max(1, width * height))
        if scans > max_scans > 0:
            raise PartsError(f"has more than the {max_scans} scans that are read at its size")
    return Parts(b"".join(kept), width, height, min_bytes)


def _end_of_scan(data: bytes, position: int) -> int:
    match = _NEXT_MARKER.search(data, position)
    return match.start() if match else len(data)


def _is_needed(marker: int, content: bytes) -> bool:
    if marker == _COMMENT:
        return False
    if _APP0 <= marker <= _APP15:
        is_exif = content.startswith(b"Exif\0\0") and len(content) <= MAX_EXIF_BYTES
        return is_exif or content.startswith((b"JFIF\0", b"ICC_PROFILE\0", b"Adobe"))
    return True


def _read_frame(marker: int, content: bytes) -> tuple[int, int, int]:
    """Return width, height and the least size of the file."""
    if len(content) < 5:
        return 0, 0, 0
    bits = content[0]
    if bits in _DEEP_BITS:
        raise PartsError(f"stores {bits} bits a colour, of which 8 are read")
    height, width = int.from_bytes(content[1:3], "big"), int.from_bytes(content[3:5], "big")
    return width, height, 0 if marker >= _ARITHMETIC else width * height // _MAX_PIXELS_PER_BYTE
