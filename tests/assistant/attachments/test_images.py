"""Loading images: the pixels of each format, and the sentence about each file that is refused."""

import io
import os
import random
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from assistant import messages
from assistant.attachments import images
from assistant.attachments.images import ImageLoader, decode
from assistant.attachments.pixels import PixelCache
from assistant.attachments.url_fetch import Download
from assistant.errors import AttachmentError

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


def sides(data: bytes) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The colours at the middle of the left and of the right half, as models and people will see them."""
    shown = decode(ImageLoader().load_bytes(data, "picture").image)
    assert shown.mode == "RGB"
    width, height = shown.size
    return pixel(shown, width // 4, height // 2), pixel(shown, 3 * width // 4, height // 2)


def pixel(picture: Image.Image, x: int, y: int) -> tuple[int, ...]:
    value = picture.getpixel((x, y))
    assert isinstance(value, tuple)
    return tuple(int(channel) for channel in value)


def close(colour: tuple[int, ...], expected: tuple[int, ...], tolerance: int = 6) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(colour, expected, strict=True))


def refusal(source: str | Path, **options: bool | float) -> str:
    with pytest.raises(AttachmentError) as caught:
        ImageLoader(**options).load(source)  # type: ignore[arg-type]
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence


def refusal_of(data: bytes, name: str = "picture.png", max_megapixels: float = 50) -> str:
    with pytest.raises(AttachmentError) as caught:
        ImageLoader(max_megapixels=max_megapixels).load_bytes(data, name)
    return str(caught.value)


class TestPixels:
    @pytest.mark.parametrize(
        ("format", "media_type"),
        [
            ("PNG", "image/png"),
            ("JPEG", "image/jpeg"),
            ("GIF", "image/gif"),
            ("WEBP", "image/webp"),
            ("BMP", "image/bmp"),
            ("AVIF", "image/avif"),
        ],
    )
    def test_each_format_is_detected_by_its_content(self, format: str, media_type: str, tmp_path: Path) -> None:
        data = encoded(half_and_half(RED, BLUE), format)
        path = tmp_path / "wrong.txt"
        path.write_bytes(data)
        attached = ImageLoader().load(path)
        assert attached.image == messages.Image(data, media_type, 32, 16, "wrong.txt")
        assert attached.notices == ()
        left, right = sides(data)
        assert close(left, RED, 12)
        assert close(right, BLUE, 12)

    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
    def test_rotated_photos_are_upright(self, orientation: int, format: str) -> None:
        # Undo the rotation on paper: what a camera held so would have stored for this scene.
        scene = half_and_half(RED, BLUE)
        stored = {
            1: lambda p: p,
            2: lambda p: p.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
            3: lambda p: p.transpose(Image.Transpose.ROTATE_180),
            4: lambda p: p.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
            5: lambda p: p.transpose(Image.Transpose.TRANSPOSE),
            6: lambda p: p.transpose(Image.Transpose.ROTATE_90),
            7: lambda p: p.transpose(Image.Transpose.TRANSVERSE),
            8: lambda p: p.transpose(Image.Transpose.ROTATE_270),
        }[orientation](scene)
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = encoded(stored, format, exif=exif)
        image = ImageLoader().load_bytes(data, "photo").image
        assert (image.width, image.height) == (32, 16)
        left, right = sides(data)
        assert close(left, RED, 12)
        assert close(right, BLUE, 12)

    def test_unreadable_exif_data_is_ignored(self) -> None:
        data = encoded(half_and_half(RED, BLUE), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff garbage")
        assert close(sides(data)[0], RED)

    def test_sixteen_bits_are_scaled_not_clipped(self) -> None:
        picture = Image.new("I;16", (32, 16), 0x4000)
        picture.paste(0xFFFF, (16, 0, 32, 16))
        left, right = sides(encoded(picture))
        assert left == (64, 64, 64)
        assert right == WHITE

    @pytest.mark.parametrize("colour", [0, 257, 0x8000, 65535])
    def test_sixteen_bit_grey_is_exact(self, colour: int) -> None:
        assert sides(encoded(Image.new("I;16", (8, 8), colour)))[0] == (round(colour / 257),) * 3

    def test_sixteen_bit_colours(self) -> None:
        left, right = sides(png16([(0xFFFF, 0x8000, 0)] * 4 + [(0, 0, 0xFFFF)] * 4))
        assert close(left, (255, 128, 0), 1)
        assert close(right, BLUE, 1)

    def test_adobe_cmyk_is_inverted(self) -> None:
        data = encoded(half_and_half((0, 255, 255, 0), (255, 255, 0, 0), "CMYK"), "JPEG", quality=95)
        assert b"Adobe" in data
        left, right = sides(data)
        assert close(left, RED, 12)
        assert close(right, BLUE, 12)

    def test_cmyk_without_the_adobe_mark_is_not_inverted(self) -> None:
        # Pillow inverts on writing and on reading, so inverted inks without the mark are plain inks in the file.
        inverted = half_and_half((255, 0, 0, 255), (0, 0, 255, 255), "CMYK")
        data = encoded(inverted, "JPEG", quality=95)
        start = data.index(b"\xff\xee")
        length = int.from_bytes(data[start + 2 : start + 4], "big")
        left, right = sides(data[:start] + data[start + 2 + length :])
        assert close(left, RED, 12)
        assert close(right, BLUE, 12)

    def test_transparency_becomes_white(self) -> None:
        assert sides(encoded(half_and_half((255, 0, 0, 255), (0, 0, 0, 0), "RGBA"))) == (RED, WHITE)
        assert sides(encoded(half_and_half((0, 255), (0, 0), "LA"))) == ((0, 0, 0), WHITE)
        assert close(sides(encoded(half_and_half((0, 0, 255, 128), (0, 0, 0, 0), "RGBA")))[0], (127, 127, 255), 1)

    def test_palettes_keep_their_colours_and_transparency(self) -> None:
        palette = half_and_half(RED, BLUE).quantize(4)
        assert sides(encoded(palette)) == (RED, BLUE)
        hole = palette.getpixel((24, 8))
        assert sides(encoded(palette, transparency=hole)) == (RED, WHITE)
        assert sides(encoded(palette, "GIF", transparency=hole)) == (RED, WHITE)

    def test_a_transparent_colour_becomes_white(self) -> None:
        assert sides(encoded(half_and_half(RED, BLUE), transparency=BLUE)) == (RED, WHITE)

    def test_a_transparent_16_bit_grey_is_ignored(self) -> None:
        picture = Image.new("I;16", (8, 8), 0x8000)
        assert sides(encoded(picture, transparency=0x8000))[0] == (128, 128, 128)

    def test_black_and_white(self) -> None:
        assert sides(encoded(half_and_half(0, 1, "1"))) == ((0, 0, 0), WHITE)
        assert sides(encoded(half_and_half(10, 200, "L"))) == ((10,) * 3, (200,) * 3)

    def test_colour_profiles_are_applied(self) -> None:
        # sRGB with the red and the blue primary exchanged, under another name: red ink means blue.
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        profile = profile.replace("sRGB".encode("utf-16-be"), "BGRs".encode("utf-16-be"))
        profile = profile.replace(b"rXYZ", b"????", 1).replace(b"bXYZ", b"rXYZ", 1).replace(b"????", b"bXYZ", 1)
        left, right = sides(encoded(half_and_half(RED, BLUE), icc_profile=profile))
        assert close(left, BLUE)
        assert close(right, RED)
        left, right = sides(encoded(half_and_half((255, 0, 0, 255), (0, 0, 0, 0), "RGBA"), icc_profile=profile))
        assert close(left, BLUE)
        assert close(right, WHITE)

    @pytest.mark.parametrize("profile", [b"", b"garbage", b"\0" * 200])
    def test_broken_profiles_are_ignored(self, profile: bytes) -> None:
        assert sides(encoded(half_and_half(RED, BLUE), icc_profile=profile)) == (RED, BLUE)

    def test_a_profile_of_another_colour_space_is_ignored(self) -> None:
        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        assert sides(encoded(half_and_half(10, 200, "L"), icc_profile=srgb)) == ((10,) * 3, (200,) * 3)

    @pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
    def test_an_animation_is_its_first_frame_with_a_notice(self, format: str) -> None:
        frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, GREEN, BLUE)]
        options = {"lossless": True} if format == "WEBP" else {}
        data = encoded(frames[0], format, save_all=True, append_images=frames[1:], duration=50, **options)
        attached = ImageLoader().load_bytes(data, "dance.gif")
        assert attached.notices == ("dance.gif is animated: only its first frame is shown.",)
        assert pixel(decode(attached.image), 8, 8) == RED

    def test_a_broken_second_frame_is_ignored(self) -> None:
        frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, GREEN)]
        data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
        assert pixel(decode(ImageLoader().load_bytes(data[:-12], "cut.gif").image), 8, 8) == RED

    def test_the_second_view_of_a_phone_photo_causes_no_notice(self) -> None:
        data = encoded(photo(), "MPO", save_all=True, append_images=[photo()])
        attached = ImageLoader().load_bytes(data, "phone.jpg")
        assert attached.notices == ()
        assert attached.image.media_type == "image/jpeg"

    def test_decoding_prints_nothing(self, capfd: pytest.CaptureFixture[str]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            ImageLoader().load_bytes(encoded(half_and_half(RED, BLUE), "JPEG", exif=b"Exif\0\0II*\0 bad"), "a.jpg")
            palette = half_and_half(RED, BLUE).quantize(4)
            ImageLoader().load_bytes(encoded(palette, transparency=b"\0\xff\0"), "b.png")
        assert capfd.readouterr() == ("", "")


class TestRefusals:
    def test_a_missing_file(self, tmp_path: Path) -> None:
        path = tmp_path / "nothing.jpg"
        assert refusal(path) == f"{path} does not exist: check the path."
        assert "does not exist" in refusal("~nobody-of-this-name/cat.jpg")

    def test_a_folder(self, tmp_path: Path) -> None:
        assert refusal(tmp_path) == f"{tmp_path} is a folder: name a picture in it."

    def test_an_empty_file(self, tmp_path: Path) -> None:
        (tmp_path / "empty.png").touch()
        assert refusal(tmp_path / "empty.png") == "empty.png is empty: choose another file."

    def test_text_named_like_a_photo_is_refused_without_quoting_it(self, tmp_path: Path) -> None:
        path = tmp_path / "secret.jpg"
        path.write_text("the password is xyzzy")
        assert refusal(path) == "secret.jpg is no picture that can be read: use JPEG, PNG, GIF, WebP, BMP or AVIF."

    @pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "AVIF"])
    @pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
    def test_a_truncated_file(self, format: str, share: float) -> None:
        data = encoded(photo(), format)
        cut = data[: int(len(data) * share)]
        assert refusal_of(cut, "cut.jpg") == "cut.jpg is damaged or cut short: get a fresh copy of it."

    def test_a_damaged_header(self) -> None:
        assert "damaged" in refusal_of(b"\x89PNG\r\n\x1a\n" + b"\xff" * 50)
        assert "damaged" in refusal_of(b"\xff\xd8\xff")

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"%PDF-1.7\n...", "is a PDF, not a picture: save the page you mean as PNG or JPEG."),
            (b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>", "is an SVG drawing"),
            (b"\xef\xbb\xbf<svg/>", "is an SVG drawing"),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "is a HEIC photo, which is not read: export it as JPEG."),
            (b"II*\0\x08\0\0\0", "is a TIFF"),
            (b"<!DOCTYPE html><html>", "is a web page"),
            (b"PK\x03\x04 zip", "is no picture that can be read"),
            (b"BM is how this text begins", "is no picture that can be read"),
        ],
    )
    def test_other_file_types_are_named(self, data: bytes, words: str) -> None:
        assert words in refusal_of(data, "file.png")

    def test_too_many_pixels_are_refused_by_the_header(self) -> None:
        # There is no pixel in these files: decoding them would say "damaged".
        assert refusal_of(png_header(10_000, 10_001), "huge.png") == (
            "huge.png (10000 x 10001 pixels) is larger than the 50 megapixels allowed: "
            "scale it down, or raise max_image_megapixels."
        )
        assert "is larger than the 50 megapixels" in refusal_of(png_header(100_000, 100_000))
        assert "is larger than the 100 megapixels" in refusal_of(png_header(100_000, 100_000), max_megapixels=1e9)
        assert "damaged" in refusal_of(png_header(10_000, 4_000))
        assert "is larger than the 0.001 megapixels" in refusal_of(encoded(photo()), max_megapixels=0.001)

    def test_too_many_bytes(self, tmp_path: Path) -> None:
        path = tmp_path / "film.png"
        with path.open("wb") as file:
            file.truncate(images.MAX_BYTES + 1)
        assert refusal(path) == f"{path} is larger than 64 MB: save a smaller version of it."
        assert "larger than 64 MB" in refusal_of(path.read_bytes())

    @pytest.mark.parametrize("path", ["a\0b.jpg", "x" * 300 + ".jpg", "d/" * 3000 + "a.jpg"])
    def test_impossible_paths(self, path: str) -> None:
        sentence = refusal(path)
        assert "cannot be read" in sentence
        assert "check the path" in sentence
        assert "\0" not in sentence
        assert len(sentence) < 250

    def test_a_loop_of_links(self, tmp_path: Path) -> None:
        (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
        assert "cannot be read" in refusal(tmp_path / "loop.png")

    def test_a_file_without_permission(self, unprivileged: Path) -> None:
        path = unprivileged / "private.png"
        assert refusal(path) == f"{path} may not be read by you: check its permissions."

    def test_pipes_and_devices_do_not_block(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.png")
        assert "is no ordinary file but a pipe or a device" in refusal(tmp_path / "pipe.png")
        assert "is no ordinary file but a pipe or a device" in refusal("/dev/zero")

    def test_control_characters_in_names_are_not_printed(self, tmp_path: Path) -> None:
        path = tmp_path / "\x1b[2Jcat\n.png"
        assert "\x1b" not in refusal(path)
        path.write_bytes(encoded(photo()))
        assert ImageLoader().load(path).image.name == "\N{REPLACEMENT CHARACTER}[2Jcat\N{REPLACEMENT CHARACTER}.png"
        assert "\x1b" not in ImageLoader().load(path).image.name

    @settings(max_examples=150, deadline=None)
    @given(
        format=st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "BMP"]),
        changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=8),
        length=st.integers(0, 3000),
    )
    def test_any_damage_decodes_or_is_refused(self, format: str, changes: list[tuple[int, int]], length: int) -> None:
        data = bytearray(encoded(photo((24, 20)), format)[:length])
        for position, value in changes:
            if position < len(data):
                data[position] = value
        try:
            image = ImageLoader().load_bytes(bytes(data), "odd").image
        except AttachmentError:
            return
        assert decode(image).size == (image.width, image.height)


class TestSources:
    @pytest.mark.parametrize("name", ["cat.png", "my cat.png", "100% é#?.png"])
    def test_file_urls(self, name: str, tmp_path: Path) -> None:
        path = tmp_path / name
        path.write_bytes(encoded(photo()))
        assert ImageLoader().load(path.as_uri()).image.name == name
        assert ImageLoader().load("file://localhost" + path.as_uri().removeprefix("file://")).image.name == name

    def test_file_urls_of_other_machines(self) -> None:
        assert "is on another machine" in refusal("file://server/share/cat.png")

    def test_the_home_directory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / "cat.png").write_bytes(encoded(photo()))
        assert ImageLoader().load("~/cat.png").image.name == "cat.png"

    def test_urls_are_refused_unless_allowed(self) -> None:
        def fetch(url: str) -> Download:
            pytest.fail(f"{url} was fetched")

        with pytest.raises(AttachmentError) as caught:
            ImageLoader(fetch=fetch).load("https://example.org/cat.png?token=secret")
        assert str(caught.value) == (
            "https://example.org/cat.png was not fetched, because links are off: "
            "set allow_urls, or save the picture to a file."
        )

    def test_allowed_urls_are_fetched_and_checked_like_files(self) -> None:
        data = encoded(photo())
        attached = ImageLoader(allow_urls=True, fetch=lambda _: Download(data, "cat.png")).load("HTTPS://example.org/x")
        assert attached.image.name == "cat.png"
        with pytest.raises(AttachmentError, match="is a web page"):
            ImageLoader(allow_urls=True, fetch=lambda _: Download(b"<html>", "index")).load("https://example.org")
        with pytest.raises(AttachmentError, match=r"0\.001 megapixels"):
            ImageLoader(allow_urls=True, max_megapixels=0.001, fetch=lambda _: Download(data, "x")).load(
                "https://x.org"
            )


@pytest.fixture
def unprivileged(tmp_path: Path) -> Iterator[Path]:
    """A folder with a file that this process may not read, also when the tests run as root."""
    path = tmp_path / "private.png"
    path.write_bytes(encoded(photo()))
    path.chmod(0)
    if os.geteuid() != 0:
        yield tmp_path
        return
    opened = {folder: folder.stat().st_mode for folder in tmp_path.parents if folder.stat().st_uid == 0}
    for folder in (tmp_path, *opened):
        folder.chmod(folder.stat().st_mode | 0o011)
    os.seteuid(65534)
    try:
        yield tmp_path
    finally:
        os.seteuid(0)
        for folder, mode in opened.items():
            folder.chmod(mode)


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


class TestDecodingOnce:
    def test_an_image_is_decoded_once_from_the_loader_to_the_model(self, monkeypatch: pytest.MonkeyPatch) -> None:
        image = ImageLoader().load_bytes(encoded(photo()), "photo.png").image
        monkeypatch.setattr(Image, "open", None)
        preview, prefill = decode(image), decode(image)
        preview.thumbnail((4, 4))
        assert prefill.size == (64, 48), "each caller has pixels of its own"
        assert decode(image).tobytes() == prefill.tobytes()

    def test_the_cache_drops_what_was_not_used_for_longest(self) -> None:
        cache = PixelCache(max_bytes=2 * 3 * 64 * 48)
        for digest in "ab":
            cache.add(digest, photo())
        assert cache.get("a") is not None
        cache.add("c", photo())
        assert [digest for digest in "abc" if cache.get(digest) is not None] == ["a", "c"]

    def test_the_cache_refuses_what_is_larger_than_all_of_it(self) -> None:
        cache = PixelCache(max_bytes=100)
        cache.add("a", photo())
        assert cache.get("a") is None
