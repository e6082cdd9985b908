"""Decoding images: the pixels of each format, and the cache of decoded images."""

import warnings
from pathlib import Path

import pytest
from PIL import Image, ImageCms

from assistant import messages
from assistant.attachments.images import ImageLoader, decode
from assistant.attachments.pixels import PixelCache
from tests.fakes.images import BLUE, GREEN, RED, WHITE, encoded, half_and_half, photo, png16


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


class TestDecodingOnce:
    def test_an_image_is_decoded_once_from_the_loader_to_the_model(self, monkeypatch: pytest.MonkeyPatch) -> None:
        image = ImageLoader().load_bytes(encoded(photo()), "photo.png").image
        monkeypatch.setattr(Image, "open", None)
        preview, prefill = decode(image), decode(image)
        preview.thumbnail((4, 4))
        assert prefill.size == (64, 48), "each caller has pixels of its own"
        assert decode(image).tobytes() == prefill.tobytes()

    def test_the_cache_drops_what_was_not_used_for_longest(self) -> None:
        cache = PixelCache(max_bytes=2 * 4 * 64 * 48)
        for digest in "ab":
            cache.add(digest, photo())
        assert cache.get("a") is not None
        cache.add("c", photo())
        assert [digest for digest in "abc" if cache.get(digest) is not None] == ["a", "c"]

    def test_the_cache_refuses_what_is_larger_than_all_of_it(self) -> None:
        cache = PixelCache(max_bytes=100)
        cache.add("a", photo())
        assert cache.get("a") is None
