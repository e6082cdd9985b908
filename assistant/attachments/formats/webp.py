"""Parts of a WebP: header, pixels, transparency, the first frame, orientation, colour profile.

https://developers.google.com/speed/webp/docs/riff_container
"""

import struct

from assistant.attachments.formats.parts import MAX_EXIF_BYTES, MAX_PROFILE_BYTES, PartCounter, Parts

_XMP_FLAG, _EXIF_FLAG, _PROFILE_FLAG = 0x04, 0x08, 0x20
_HEADER = 12


def read_parts(data: bytes) -> Parts:
    """Return the parts of a WebP. Raises `PartsError`."""
    counter = PartCounter()
    width = height = frames = 0
    kept: list[tuple[bytes, bytes]] = []
    position = _HEADER
    claimed = 8 + int.from_bytes(data[4:8], "little")
    end_of_file = min(len(data), claimed)
    while position + 8 <= end_of_file:
        counter.add()
        kind = data[position : position + 4]
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        content = data[position + 8 : min(position + 8 + length, end_of_file)]
        position += 8 + length + length % 2
        frames += kind == b"ANMF"
        if not width:
            width, height = _size(kind, content)
        is_first_frame = kind == b"ANMF" and frames == 1
        is_profile = kind == b"ICCP" and length <= MAX_PROFILE_BYTES
        if is_first_frame or is_profile or kind in (b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM"):
            kept.append((kind, content))
        elif kind == b"EXIF":
            kept.append((kind, content[:MAX_EXIF_BYTES]))
    if len(data) < claimed:
        # The decoder has to see that something is missing.
        return Parts(data, width, height)
    return Parts(_assemble(kept), width, height, is_animated=frames > 1)


def _size(kind: bytes, content: bytes) -> tuple[int, int]:
    """Return width and height if the chunk tells them, else zeros."""
    if kind == b"VP8X" and len(content) >= 10:
        return 1 + int.from_bytes(content[4:7], "little"), 1 + int.from_bytes(content[7:10], "little")
    if kind == b"VP8 " and len(content) >= 10:
        width, height = struct.unpack("<HH", content[6:10])
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L" and len(content) >= 5:
        bits = int.from_bytes(content[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return 0, 0


def _assemble(chunks: list[tuple[bytes, bytes]]) -> bytes:
    kinds = {kind for kind, _ in chunks}
    body = [b"WEBP"]
    for kind, content in chunks:
        if kind == b"VP8X" and content:
            flags = content[0] & ~_XMP_FLAG
            flags &= ~(0 if b"EXIF" in kinds else _EXIF_FLAG) & ~(0 if b"ICCP" in kinds else _PROFILE_FLAG)
            content = bytes([flags]) + content[1:]  # noqa: PLW2901
        body += [kind, struct.pack("<I", len(content)), content, b"\0" * (len(content) % 2)]
    joined = b"".join(body)
    return b"RIFF" + struct.pack("<I", len(joined)) + joined
