"""Image files for tests."""

import io
import random
import struct
import zlib

from PIL import Image

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def encoded(picture: Image.Image, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


Colour = float | tuple[int, ...]


def half_and_half(left: Colour, right: Colour, mode: str = "RGB", size: tuple[int, int] = (32, 16)) -> Image.Image:
    picture = Image.new(mode, size, left)
    picture.paste(right, (size[0] // 2, 0, *size))
    return picture


def photo(size: tuple[int, int] = (64, 48)) -> Image.Image:
    noise = random.Random(1).randbytes(size[0] * size[1] * 3)
    return Image.frombytes("RGB", size, noise)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def png16(row: list[tuple[int, int, int]]) -> bytes:
    """A PNG of one row of 16-bit RGB pixels, which Pillow cannot write."""
    header = struct.pack(">IIBBBBB", len(row), 1, 16, 2, 0, 0, 0)
    pixels = b"\0" + b"".join(struct.pack(">HHH", *colour) for colour in row)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
