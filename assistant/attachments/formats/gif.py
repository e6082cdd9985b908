"""Parts of a GIF: header, colours and the first frame, with what says how it is drawn.

Comments, the programs of other applications and all later frames are left out.
https://www.w3.org/Graphics/GIF/spec-gif89a.txt
"""

from assistant.attachments.formats.parts import PartCounter, Parts

_EXTENSION, _IMAGE, _END = 0x21, 0x2C, 0x3B
_GRAPHIC_CONTROL = 0xF9
_MAX_PIXELS_PER_BYTE = 4096
"""A code of 12 bits stands for up to 4,096 pixels, and the codes before it for fewer."""


def read_parts(data: bytes) -> Parts:
    """Return the parts of a GIF. Raises `PartsError`."""
    if len(data) < 13:
        return Parts(data)
    counter = PartCounter()
    position = 13 + _colours(data[10])
    kept = [data[:position]]
    control = b""
    while position < len(data) and data[position] in (_EXTENSION, _IMAGE):
        if data[position] == _EXTENSION:
            end = _end_of_blocks(data, position + 2, counter)
            if data[position + 1 : position + 2] == bytes([_GRAPHIC_CONTROL]):
                control = data[position:end]
            position = end
            continue
        descriptor = data[position : position + 10].ljust(10, b"\0")
        end = _end_of_blocks(data, position + 11 + _colours(descriptor[9]), counter)
        kept += [control, data[position:end]]
        if end < len(data):
            kept.append(bytes([_END]))
        right, bottom = (_number(descriptor, at) + _number(descriptor, at + 4) for at in (1, 3))
        width, height = max(_number(data, 6), right), max(_number(data, 8), bottom)
        pixels = _number(descriptor, 5) * _number(descriptor, 7)
        return Parts(b"".join(kept), width, height, pixels // _MAX_PIXELS_PER_BYTE, _has_another(data, end, counter))
    return Parts(data, _number(data, 6), _number(data, 8))


def _number(data: bytes, position: int) -> int:
    return int.from_bytes(data[position : position + 2], "little")


def _colours(flags: int) -> int:
    """Return the bytes of the colour table that `flags` announce."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _end_of_blocks(data: bytes, position: int, counter: PartCounter) -> int:
    """Return the position after the sub-blocks that begin at `position`."""
    while position < len(data):
        counter.add()
        length = data[position]
        position += 1 + length
        if length == 0:
            break
    return min(position, len(data))


def _has_another(data: bytes, position: int, counter: PartCounter) -> bool:
    while position < len(data) and data[position] == _EXTENSION:
        position = _end_of_blocks(data, position + 2, counter)
    return position < len(data) and data[position] == _IMAGE
