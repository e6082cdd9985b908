"""Loading images: where they come from, and the sentence about each file that is refused."""

import base64
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.attachments import images
from assistant.attachments.images import ImageLoader, decode
from assistant.attachments.url_fetch import Download
from assistant.errors import AttachmentError
from tests.fakes.images import encoded, photo, png_header


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
        assert refusal(path) == "secret.jpg is a text, not a picture: put its words into the message."
        path.write_bytes(b"the password is \0\1\2")
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
            (b"PK\x03\x04 zip", "is a ZIP archive or an office document"),
            (b"BM is how this text begins", "is a text"),
            ("é".encode() * 511 + b"xxx", "is a text"),
            (b"\0\0\0\x18ftypisom", "is a video or recording"),
            (b"\x1aE\xdf\xa3\1\0", "is a video or recording"),
            (b"RIFF\0\0\0\0AVI LIST", "is a video or recording"),
            (b"RIFF\0\0\0\0WAVEfmt ", "is a recording, not a picture: parley transcribe"),
            (b"8BPS\0\1", "is a Photoshop file"),
            (b"\0\0\1\0\1\0", "is an icon file"),
            (b"\xff\x0a\0\0", "is a JPEG XL picture"),
            (b"\0\0\0\x0cjP  \r\n", "is a JPEG 2000 picture"),
            (b"\x7fELF\2\1", "is no picture that can be read"),
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
        assert "too few for so many" in refusal_of(png_header(10_000, 4_000))
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

    def test_devices_are_refused(self) -> None:
        for device in ("/dev/zero", "/dev/null"):
            assert refusal(device) == f"{device} is no file but a device or a socket: name a picture file."

    def test_a_pipe_without_a_writer_is_given_up(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        os.mkfifo(tmp_path / "pipe.png")
        monkeypatch.setattr(images, "PIPE_SECS", 0.1)
        assert "is a pipe to which nothing was written" in refusal(tmp_path / "pipe.png")

    def test_control_characters_in_names_are_not_printed(self, tmp_path: Path) -> None:
        path = tmp_path / "\x1b[2Jcat\n👨\u200d👩\u200d👧.png"
        assert "\x1b" not in refusal(path)
        path.write_bytes(encoded(photo()))
        assert ImageLoader().load(path).image.name == "[2Jcat 👨\u200d👩\u200d👧.png"

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


class TestPipes:
    def test_a_pipe_is_read_to_its_end(self, tmp_path: Path) -> None:
        path = tmp_path / "pipe.png"
        os.mkfifo(path)
        data = encoded(photo((200, 200)))

        def write() -> None:
            with path.open("wb") as pipe:
                for start in range(0, len(data), 10_000):
                    pipe.write(data[start : start + 10_000])
                    pipe.flush()

        writer = threading.Thread(target=write)
        writer.start()
        assert ImageLoader().load(path).image.data == data
        writer.join()

    def test_process_substitution_is_read(self) -> None:
        data = encoded(photo((20, 20)))
        read_end, write_end = os.pipe()
        try:
            os.write(write_end, data)
            os.close(write_end)
            assert ImageLoader().load(f"/dev/fd/{read_end}").image.data == data
        finally:
            os.close(read_end)

    def test_an_endless_pipe_is_too_large(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(images, "MAX_BYTES", 2**20)
        read_end, write_end = os.pipe()

        def write() -> None:
            with suppress(BrokenPipeError):
                while True:
                    os.write(write_end, b"\x89PNG" * 10_000)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            assert "larger than 1 MB" in refusal(f"/dev/fd/{read_end}")
        finally:
            os.close(read_end)
            writer.join()
            os.close(write_end)


class TestSimilarNames:
    @pytest.mark.parametrize(
        ("real", "typed"),
        [
            ("Screenshot at 10.00\u202fAM.png", "Screenshot at 10.00 AM.png"),
            ("caf\u00e9.png", "cafe\u0301.png"),
            ("cafe\u0301.png", "caf\u00e9.png"),
            ("it\u2019s \u201cmine\u201d.png", 'it\'s "mine".png'),
            ("2020\u20132021.png", "2020-2021.png"),
            ("Photo.JPG", "photo.jpg"),
            ("a\u200b b\u00a0c.png", "a b c.png"),
            ("Bilder\u00a02020/Caf\u00e9.png", "bilder 2020/cafe\u0301.png"),
        ],
    )
    def test_the_only_name_that_looks_the_same_is_taken(self, tmp_path: Path, real: str, typed: str) -> None:
        path = tmp_path / real
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encoded(photo()))
        loaded = ImageLoader().load(tmp_path / typed)
        assert "its name is the only one that looks like the one given" in loaded.notices[0]
        assert loaded.image.data == path.read_bytes()

    def test_several_are_named(self, tmp_path: Path) -> None:
        for name in ("a\u202fb.png", "a\u00a0b.png"):
            (tmp_path / name).write_bytes(encoded(photo()))
        sentence = refusal(tmp_path / "a b.png")
        assert "could be 'a\\xa0b.png' or 'a\\u202fb.png': name one of them exactly." in sentence

    def test_the_exact_name_comes_first(self, tmp_path: Path) -> None:
        for name, size in (("A.png", (3, 3)), ("a.png", (5, 5))):
            (tmp_path / name).write_bytes(encoded(photo(size)))
        assert ImageLoader().load(tmp_path / "a.png").image.width == 5
        assert ImageLoader().load(tmp_path / "a.png").notices == ()


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
            "set allow_urls (--allow-urls), or save the picture to a file."
        )

    def test_data_urls_are_read_without_a_network(self) -> None:
        data = encoded(photo())
        url = f"data:image/png;base64,{base64.b64encode(data).decode()}"
        assert ImageLoader().load(url).image.data == data
        assert "holds no base64" in refusal("data:text/plain,hello")
        assert "is damaged or cut short" in refusal("data:image/png;base64,abcde")
        assert "the data URL is a text" in refusal("data:image/png;base64,aGVsbG8=")

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
