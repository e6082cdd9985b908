"""Size of a BMP. All of it is header and pixels.

https://learn.microsoft.com/windows/win32/api/wingdi/ns-wingdi-bitmapinfoheader
"""

import struct

from assistant.attachments.formats.parts import Parts

_FILE_HEADER = 14
_OLD_HEADER = 12
_MAX_RUN = 255
"""Pixels of a run of two bytes, in files with compression."""
_UNCOMPRESSED = (0, 3, 6)


def read_parts(data: bytes) -> Parts:
    """Return the parts of a BMP."""
    header = data[_FILE_HEADER : _FILE_HEADER + 20].ljust(20, b"\0")
    if int.from_bytes(header[:4], "little") == _OLD_HEADER:
        width, height, _, bits = struct.unpack("<HHHH", header[4:12])
        compression = 0
    else:
        width, height, _, bits, compression = struct.unpack("<iiHHI", header[4:])
    width, height = abs(width), abs(height)
    if compression in _UNCOMPRESSED:
        min_bytes = (width * bits + 7) // 8 * height
    else:
        min_bytes = width * height * 2 // _MAX_RUN // 8
    return Parts(data, width, height, min_bytes)
