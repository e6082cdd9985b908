"""Damaged, odd and hostile image files, from the loader to the pixels that models and OCR see."""

import io
import random
import struct
import zlib
from collections.abc import Callable
from functools import cache

import PIL.Image
import pytest

from assistant.attachments.file_types import FORMATS
from assistant.attachments.images import ImageLoader, decode
from assistant.attachments.pixels import MAX_SIDE
from tests.fakes.images import chunk, encoded, half_and_half, photo
from tests.fuzz.harness import fuzz, mutate_bytes

pytestmark = pytest.mark.slow

_MAX_MEGAPIXELS = 4.0
"""Limit for most inputs, so that they take milliseconds; one in thirty may have as many as the settings allow."""


@cache
def _valid_files() -> tuple[bytes, ...]:
    """Small files of every format, mode and kind of content."""
    picture = half_and_half((255, 0, 0), (0, 0, 255))
    frames = [PIL.Image.new("RGB", (16, 16), (number, 0, 0)) for number in range(4)]
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    files = [encoded(picture, name) for name in FORMATS]
    files += [encoded(photo((40, 30)), name) for name in FORMATS]
    files += [encoded(picture, name, exif=exif) for name in ("JPEG", "PNG", "WEBP", "AVIF")]
    files += [encoded(frames[0], name, save_all=True, append_images=frames[1:]) for name in ("GIF", "WEBP", "PNG")]
    files += [encoded(picture.convert(mode)) for mode in ("1", "L", "LA", "P", "RGBA", "I;16")]
    files += [encoded(picture.convert("CMYK"), "JPEG"), encoded(photo(), "JPEG", progressive=True)]
    files += [encoded(picture.quantize(4), transparency=b"\x80\xff"), encoded(picture, "PNG", icc_profile=b"x" * 200)]
    return tuple(files)


def _mutated(rng: random.Random) -> bytes:
    return mutate_bytes(rng, rng.choice(_valid_files()))


def _odd_number(rng: random.Random, bits: int) -> int:
    numbers = [0, 1, 2, 255, 65535, 65536, 2**31 - 1, 2**31, rng.randrange(2**bits), rng.randrange(3000)]
    number: int = rng.choice(numbers)
    return number % (1 << bits)


def _png(rng: random.Random) -> bytes:
    """A PNG with any header and chunks, with right checksums."""
    depth, colour = rng.choice((1, 2, 4, 8, 16, rng.randrange(256))), rng.choice((0, 2, 3, 4, 6, rng.randrange(256)))
    header = struct.pack(
        ">IIBBBBB", _odd_number(rng, 32), _odd_number(rng, 32), depth, colour, 0, 0, rng.choice((0, 1, 7))
    )
    content = zlib.compress(bytes(rng.choice((10, 1000, 3_000_000))))
    kinds = (b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf", b"tRNS", b"PLTE", b"acTL", b"fcTL", b"fdAT", b"gAMA", b"abCD")
    extras = [
        chunk(rng.choice(kinds), rng.choice((b"", rng.randbytes(30), b"k\0\0" + content, b"II*\0\x08\0\0\0\1\0")))
        for _ in range(rng.randrange(6))
    ]
    chunks = (chunk(b"IHDR", header), *extras, chunk(b"IDAT", content), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _header(rng: random.Random) -> bytes:
    """A valid file whose size in the header is another."""
    width, height = _odd_number(rng, 16), _odd_number(rng, 16)
    picture = half_and_half((255, 0, 0), (0, 0, 255))
    kind = rng.randrange(4)
    if kind == 0:
        data = encoded(picture, "JPEG", progressive=rng.random() < 0.5)
        at = max(data.find(b"\xff\xc0\x00\x11"), data.find(b"\xff\xc2\x00\x11"))
        return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]
    if kind == 1:
        return encoded(picture, "GIF").replace(b"\x20\0\x10\0", struct.pack("<HH", width, height), rng.choice((1, 2)))
    if kind == 2:
        data = encoded(picture, "BMP")
        return data[:18] + struct.pack("<II", _odd_number(rng, 32), _odd_number(rng, 32)) + data[26:]
    data = encoded(picture, "WEBP", exif=PIL.Image.Exif(), lossless=rng.random() < 0.5)
    return data[:24] + rng.randbytes(rng.randrange(8)) + data[32:]


def _many_parts(rng: random.Random) -> bytes:
    """A file with very many or very large parts that are not pixels."""
    count, kind = rng.choice((10, 500, 20_000)), rng.randrange(5)
    content = rng.choice((b"", b"a" * 60, rng.randbytes(200)))
    png, jpeg, gif = encoded(photo()), encoded(photo(), "JPEG", progressive=True), encoded(photo(), "GIF")
    if kind == 0:
        marker = rng.choice((0xFE, 0xE1, 0xE2, 0xDD))
        return jpeg[:2] + (struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content) * count + jpeg[2:]
    if kind == 1:
        return jpeg[:-2] + jpeg[jpeg.rindex(b"\xff\xda") : -2] * min(count, 500) + b"\xff\xd9"
    if kind == 2:
        return gif[:-1] + (b"\x21\xfe\3abc\0") * count + gif[13:]
    if kind == 3:
        return png[:33] + chunk(b"tEXt", content) * count + png[33:]
    return jpeg[:-2] + b"\xff" * 100 * count + b"\xd9"


def _any_bytes(rng: random.Random) -> bytes:
    starts = (
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff",
        b"GIF89a",
        b"RIFF\xff\xff\0\0WEBPVP8 ",
        b"BM\0\0\0\0\0\0\0\0",
        b"\0\0\0\x1cftypavif",
    )
    return rng.choice(starts) + rng.randbytes(rng.randrange(300))


_MAKERS: tuple[Callable[[random.Random], bytes], ...] = (
    _mutated,
    _mutated,
    _mutated,
    _mutated,
    _png,
    _header,
    _many_parts,
    _any_bytes,
)


def _make(rng: random.Random) -> tuple[bytes, float]:
    data = rng.choice(_MAKERS)(rng)
    data = mutate_bytes(rng, data, 2) if rng.random() < 0.1 else data
    return data, 50.0 if rng.random() < 1 / 30 else _MAX_MEGAPIXELS


def _look_at(file: tuple[bytes, float]) -> None:
    """Load an image and prepare it as the app, a server and a local model are given it."""
    data, max_megapixels = file
    loaded = ImageLoader(max_megapixels=max_megapixels).load_bytes(data, "odd.png")
    image = loaded.image
    pixels = decode(image)
    assert pixels.mode == "RGB"
    assert pixels.size == (image.width, image.height)
    assert max(pixels.size) <= MAX_SIDE
    assert pixels.width * pixels.height <= max_megapixels * 1e6
    pixels.thumbnail((1024, 1024))
    pixels.save(io.BytesIO(), "PNG", compress_level=1)
    assert all("\n" not in notice for notice in loaded.notices)


def test_images() -> None:
    fuzz("images", _make, _look_at)
