"""Hostile and odd image files: only what the first frame needs reaches a decoder, and sizes are limited."""

import io
import random
import struct
import zlib
from contextlib import suppress

import PIL.Image
import pytest
from PIL import ImageCms

from assistant.attachments.formats import read_parts
from assistant.attachments.formats.parts import PartsError
from assistant.attachments.images import ImageLoader, decode
from assistant.attachments.pixels import MAX_SIDE
from assistant.errors import AttachmentError
from tests.fakes.images import BLUE, RED, chunk, encoded, half_and_half, photo, png_header

PICTURE = half_and_half(RED, BLUE)
PNG = encoded(PICTURE)
JPEG = encoded(PICTURE, "JPEG", quality=95)
GIF = encoded(PICTURE, "GIF")
EXIF = PIL.Image.Exif()
EXIF[0x0112] = 6
MEGABYTES = b"x" * 2_000_000


def refusal(data: bytes, name: str = "a.png", max_megapixels: float = 50) -> str:
    with pytest.raises(AttachmentError) as caught:
        ImageLoader(max_megapixels=max_megapixels).load_bytes(data, name)
    return str(caught.value)


def pixels(data: bytes) -> PIL.Image.Image:
    return decode(ImageLoader().load_bytes(data, "a.png").image)


def is_picture(data: bytes) -> bool:
    decoded = pixels(data)
    expected = PICTURE.resize((2, 1), PIL.Image.Resampling.BOX).tobytes()
    found = decoded.resize((2, 1), PIL.Image.Resampling.BOX).tobytes()
    return decoded.size == (32, 16) and all(abs(a - b) < 16 for a, b in zip(found, expected, strict=True))


def png_with(*chunks: bytes) -> bytes:
    return PNG[:33] + b"".join(chunks) + PNG[33:]


def zipped_text(length: int) -> bytes:
    return chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * length))


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def jpeg_with(*segments: bytes) -> bytes:
    return JPEG[:2] + b"".join(segments) + JPEG[2:]


def riff_with(data: bytes, kind: bytes, content: bytes) -> bytes:
    body = data[8:] + kind + struct.pack("<I", len(content)) + content
    return b"RIFF" + struct.pack("<I", len(body)) + body


def wrong_checksum(data: bytes) -> bytes:
    return data[:-4] + b"\0\0\0\1"


def progressive(size: tuple[int, int], scans: int) -> bytes:
    """A progressive JPEG whose last scan is repeated."""
    data = encoded(PIL.Image.new("RGB", size, "white"), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * scans + b"\xff\xd9"


def in_short(data: bytes) -> str:
    """Name of a test: its data may be megabytes."""
    return f"{len(data)} bytes"


class TestMetadata:
    """Metadata is skipped, whatever its size and state."""

    @pytest.mark.parametrize(
        "data",
        [
            png_with(zipped_text(2_000_000)),
            png_with(*[zipped_text(1_000_000)] * 80),
            png_with(chunk(b"tEXt", b"Comment\0" + MEGABYTES)),
            png_with(chunk(b"iTXt", b"k\0\1\0\0\0" + zlib.compress(b"a" * 9_000_000))),
            png_with(chunk(b"zTXt", b"k\0\7 garbage")),
            png_with(wrong_checksum(chunk(b"tEXt", b"a\0b"))),
            png_with(wrong_checksum(chunk(b"gAMA", b"\0\0\0\1"))),
            png_with(wrong_checksum(chunk(b"tRNS", b"\0\xff\0\0\0\0"))),
            png_with(chunk(b"iCCP", b"p\0\0" + zlib.compress(b"a" * 50_000_000))),
            png_with(chunk(b"iCCP", b"p\0\0 garbage")),
            png_with(chunk(b"prIv", MEGABYTES)),
            PNG + MEGABYTES,
            PNG + PNG,
            PNG[:-12],
        ],
        ids=in_short,
    )
    def test_of_a_png(self, data: bytes) -> None:
        assert is_picture(data)

    @pytest.mark.parametrize(
        "data",
        [
            JPEG + MEGABYTES,
            JPEG + encoded(photo(), "JPEG"),
            jpeg_with(*[segment(0xFE, b"a" * 60_000)] * 50),
            jpeg_with(segment(0xED, b"Photoshop 3.0\x008BIM\4\4\0\0\xff\xff\xff\xff")),
            jpeg_with(segment(0xE2, b"MPF\0II*\0\x08\0\0\0\1\0\1\xb0\4\0\1\0\0\0\xff\xff\xff\xff")),
            jpeg_with(*[segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + b"<" * 60_000)] * 20),
            jpeg_with(segment(0xE2, b"ICC_PROFILE\0\x05\x09" + b"\0" * 500)),
            jpeg_with(segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\x63\0\0\0")),
            JPEG[:2] + b"\xff" * 1_000_000 + JPEG[2:],
            encoded(PICTURE, "MPO", save_all=True, append_images=[photo()] * 20, quality=95),
        ],
        ids=in_short,
    )
    def test_of_a_jpeg(self, data: bytes) -> None:
        assert is_picture(data)

    @pytest.mark.parametrize(
        "data",
        [
            GIF[:13] + GIF[13:] + MEGABYTES,
            riff_with(encoded(PICTURE, "WEBP", lossless=True, exif=EXIF.tobytes()[:6]), b"XMP ", MEGABYTES),
            encoded(PICTURE, "WEBP", lossless=True, xmp=MEGABYTES),
            encoded(PICTURE, "WEBP", lossless=True) + MEGABYTES,
            encoded(PICTURE, "BMP") + MEGABYTES,
            encoded(PICTURE, "AVIF", quality=100) + MEGABYTES,
        ],
        ids=in_short,
    )
    def test_of_other_formats(self, data: bytes) -> None:
        assert is_picture(data)

    def test_a_large_comment_in_a_gif(self) -> None:
        start = 13 + (3 << (GIF[10] & 7) + 1)
        assert is_picture(GIF[:start] + b"\x21\xfe" + (b"\xff" + b"c" * 255) * 20_000 + b"\0" + GIF[start:])

    @pytest.mark.parametrize("format", ["PNG", "WEBP"])
    def test_the_orientation_is_found_in_large_exif_data(self, format: str) -> None:
        exif = EXIF.tobytes()[6:] + MEGABYTES
        if format == "PNG":
            data = png_with(chunk(b"eXIf", exif))
        else:
            data = encoded(PICTURE, "WEBP", lossless=True, exif=EXIF.tobytes() + MEGABYTES)
        assert pixels(data).size == (16, 32)

    def test_the_colours_of_a_profile_are_kept(self) -> None:
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() + b"\0" * 2_000_000
        assert is_picture(png_with(chunk(b"iCCP", b"p\0\0" + zlib.compress(profile))))
        assert read_parts(png_with(chunk(b"iCCP", b"p\0\0" + zlib.compress(profile))), "PNG").profile == profile


class TestLimits:
    """A file that claims too much is refused by its header, and the limit is named."""

    def test_the_longest_side(self) -> None:
        assert refusal(png_header(1, 50_000_000), "line.png") == (
            "line.png (1 x 50000000 pixels) is longer than the 65,535 pixels allowed on a side: "
            "scale it down, or cut it into pieces."
        )
        assert "longer than the 65,535 pixels" in refusal(png_header(MAX_SIDE + 1, 1))
        assert pixels(encoded(PIL.Image.new("1", (1, MAX_SIDE)))).size == (1, MAX_SIDE)

    @pytest.mark.parametrize(
        "data",
        [
            png_header(7000, 7000),
            encoded(PICTURE, "BMP")[:18] + struct.pack("<ii", 7000, -7000) + encoded(PICTURE, "BMP")[26:],
            JPEG.replace(b"\xff\xc0\x00\x11\x08\x00\x10\x00\x20", b"\xff\xc0\x00\x11\x08\x1b\x58\x1b\x58"),
            GIF[:6]
            + struct.pack("<HH", 7000, 7000)
            + GIF[10:].replace(b"\x20\0\x10\0", struct.pack("<HH", 7000, 7000)),
        ],
        ids=in_short,
    )
    def test_too_little_data_for_the_size(self, data: bytes) -> None:
        assert "claims 7000 x 7000 pixels and holds" in refusal(data)

    @pytest.mark.parametrize("level", [1, 9])
    def test_the_densest_possible_file_is_read(self, level: int) -> None:
        blank = PIL.Image.new("L", (5000, 3000), "white")
        assert pixels(encoded(blank, compress_level=level)).size == (5000, 3000)
        assert pixels(encoded(blank, "GIF")).size == (5000, 3000)
        assert pixels(encoded(blank, "JPEG", quality=1, progressive=True, optimize=True)).size == (5000, 3000)

    @pytest.mark.parametrize(
        "data",
        [
            png_with(chunk(b"tEXt", b"a\0b") * 500_001),
            jpeg_with(segment(0xFE, b"") * 500_001),
            GIF[:-1] + b"\x21\xfe\0" * 500_001 + b";",
        ],
        ids=in_short,
    )
    def test_the_number_of_parts(self, data: bytes) -> None:
        assert refusal(data) == "a.png consists of more than 500,000 parts: save it anew as PNG or JPEG."

    def test_the_number_of_scans(self) -> None:
        assert pixels(progressive((64, 64), 50)).size == (64, 64)
        assert "has more than the 100 scans that are read at its size" in refusal(progressive((64, 64), 5000))
        assert "has more than the 40 scans that are read at its size" in refusal(progressive((7000, 7000), 50))

    def test_twelve_bits_a_colour_are_not_called_damage(self) -> None:
        data = JPEG.replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c")
        assert refusal(data) == "a.png stores 12 bits a colour, of which 8 are read: save it anew as PNG or JPEG."

    @pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
    def test_the_frames_of_an_animation_are_not_decoded(self, format: str) -> None:
        frames = [PIL.Image.new("RGB", (8, 8), (number, 0, 0)) for number in range(200)]
        data = encoded(frames[0], format, save_all=True, append_images=frames[1:], duration=20)
        parts = read_parts(data, format)
        assert parts.is_animated
        assert len(parts.data) < 1000
        assert ImageLoader().load_bytes(data, "a.gif").notices == ("a.gif is animated: only its first frame is shown.",)

    def test_a_frame_larger_than_its_canvas_counts(self) -> None:
        data = GIF[:6] + struct.pack("<HH", 1, 1) + GIF[10:]
        frame = data.index(b"\x20\0\x10\0")
        data = data[:frame] + struct.pack("<HH", 60_000, 60_000) + data[frame + 4 :]
        assert "60000 x 60000 pixels) is larger than the 50 megapixels" in refusal(data)


def test_a_palette_image_without_a_palette_is_damaged() -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 1, 8, 3, 0, 0, 0))
    rest = chunk(b"IDAT", zlib.compress(bytes(5))) + chunk(b"IEND", b"")
    assert refusal(PNG[:8] + header + rest) == "a.png is damaged or cut short: get a fresh copy of it."


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "WEBP", "BMP"])
def test_any_bytes_have_parts(format: str) -> None:
    data = encoded(photo((20, 20)), format)
    generator = random.Random(format)
    for _ in range(300):
        changed = bytearray(data[: generator.randrange(len(data))])
        for _ in range(generator.randrange(6)):
            if changed:
                changed[generator.randrange(len(changed))] = generator.randrange(256)
        with suppress(PartsError):
            assert read_parts(bytes(changed), format).width >= 0
    assert read_parts(data, format).width == 20
    assert decode(ImageLoader().load_bytes(data, "x").image).tobytes() == (
        PIL.Image.open(io.BytesIO(data)).convert("RGB").tobytes()
    )
