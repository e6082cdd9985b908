"""Typed texts: which names of images are attached, which stay text, and what the user is told."""

import os
from pathlib import Path

import pytest
from PIL import Image

from assistant.attachments.images import ImageLoader
from assistant.attachments.typed_text import TypedText, dropped_images, named_files, read_typed_text
from assistant.errors import AttachmentError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with two images, a PDF, a broken image and a folder of images."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "album").mkdir()
    (tmp_path / "empty").mkdir()
    for name in ("logo.png", "my cat.jpg", "album/a.png"):
        Image.new("RGB", (4, 4)).save(name)
    Path("report.pdf").write_text("%PDF-1.7")
    Path("broken.png").write_text("not a picture")
    return tmp_path


def read(text: str) -> TypedText:
    return read_typed_text(text, ImageLoader())


def names(typed: TypedText) -> list[str]:
    return [image.name for image in typed.images]


@pytest.mark.parametrize("user", ["~nobody_here", "~\ud800", "~\0"], ids=["unknown", "a surrogate", "a NUL"])
def test_a_home_of_nobody_is_no_error(user: str) -> None:
    assert read(f"What is in {user}/photo.png?").images == ()


def test_names_without_files_stay_text_with_one_notice() -> None:
    text = "How do I convert gone.png to gone.webp in Python?"
    assert read(text) == TypedText(text, (), ("gone.png and gone.webp are not files here, so they were sent as text.",))
    assert read("Make favicon.png.").notices == ("favicon.png is not a file here, so it was sent as text.",)


def test_many_missing_names_are_counted() -> None:
    [notice] = read("Rename a.png b.png c.png d.png and e.png please").notices
    assert notice == "a.png, b.png and 3 other names are not files here, so they were sent as text."


def test_what_exists_is_attached_and_the_other_name_stays() -> None:
    typed = read("How do I convert logo.png to logo.webp in Python?")
    assert typed.text == "How do I convert this picture to logo.webp in Python?"
    assert names(typed) == ["logo.png"]
    assert typed.notices == ("logo.webp is not a file here, so it was sent as text.",)


@pytest.mark.parametrize(
    "text",
    [
        "Why does `open('logo.png')` fail?",
        "Is `logo.png` a good name?",
        'Why does Image.open("logo.png") fail?',
        "```\nlogo.png\n```\nWhat does this list?",
        "```python\nx = load('logo.png')\nWhat does this do?",
        'x = "logo.png"',
        'icon="logo.png"',
        '<img src="logo.png" alt="x"> is wrong, why?',
        "![logo](logo.png) is not shown",
        r"\includegraphics{logo.png}",
        "background: url(logo.png)",
        "$ convert logo.png -o gone.png\nfails",
        "convert logo.png -resize 50% gone.png",
        "> see logo.png\nWhat does she mean?",
        "FileNotFoundError: [Errno 2] No such file or directory: 'logo.png'",
        'Traceback (most recent call last):\n  File "/x/logo.png", line 1\n',
        '{\n  "icon": "logo.png",\n}',
        "It says:\n    cannot open logo.png\nWhy?",
        "The log:\n" + "INFO wrote logo.png\n" * 100 + "What is wrong?",
        "word " * 2000 + "logo.png and so on",
    ],
)
def test_names_in_code_markup_and_quotations_stay_text(text: str) -> None:
    typed = read(text)
    assert typed.text == text
    assert not typed.images
    missing = text.replace("logo.png", "gone.png").replace("my cat.jpg", "my dog.jpg")
    assert read(missing).text == missing


def test_a_name_in_code_is_told_how_to_be_attached() -> None:
    [notice] = read('Why does Image.open("logo.png") fail?').notices
    assert notice.startswith("logo.png stands in code")


def test_a_question_around_a_long_paste_is_searched() -> None:
    paste = "INFO wrote gone.png\n" * 500
    assert names(read(f"{paste}\nWhat is in logo.png?")) == ["logo.png"]
    assert names(read(f"What is in 'my cat.jpg'?\n{paste}")) == ["my cat.jpg"]


@pytest.mark.parametrize(
    "text", ["/nowhere/gone.png", "'/nowhere/go ne.png'", "~/gone.png", "file:///gone.png", "/read gone.png"]
)
def test_a_complete_path_alone_or_in_a_command_has_to_exist(text: str) -> None:
    with pytest.raises(AttachmentError, match="does not exist"):
        read(text)


def test_a_broken_file_alone_is_an_error_and_in_a_sentence_text() -> None:
    with pytest.raises(AttachmentError, match=r"broken\.png is a text, not a picture"):
        read("broken.png")
    typed = read("How do I repair broken.png?")
    assert typed.text == "How do I repair broken.png?"
    assert typed.notices[0].startswith("broken.png is a text, not a picture")
    assert typed.notices[0].endswith("Its name was sent as text.")
    assert read("summarise report.pdf please").text == "summarise report.pdf please"


def test_a_link_in_a_sentence_stays_text_while_links_are_off() -> None:
    typed = read("What is https://example.org/a.png about?")
    assert typed.text == "What is https://example.org/a.png about?"
    assert "links are off" in typed.notices[0]
    with pytest.raises(AttachmentError, match="links are off"):
        read("https://example.org/a.png")


def test_a_link_that_leads_to_no_image_stays_text() -> None:
    def fetch(url: str) -> None:
        raise AttachmentError(f"{url} is a web page.")

    typed = read_typed_text("Tell me about https://example.org now", ImageLoader(allow_urls=True, fetch=fetch))  # type: ignore[arg-type]
    assert typed.text == "Tell me about https://example.org now"
    assert typed.notices == ("https://example.org is a web page. Its name was sent as text.",)


def test_a_folder_of_images_is_not_opened() -> None:
    typed = read("What is in album/ please?")
    assert typed.text == "What is in album/ please?"
    assert typed.notices == ("album/ is a folder, which is not opened in a chat: name a picture in it.",)
    assert not read("What is in empty/ and /etc/ssl?").notices


def test_a_name_that_looks_the_same_is_attached(folder: Path) -> None:
    Image.new("RGB", (4, 4)).save(folder / "Screenshot at 10.00\u202fAM.png")
    typed = read("What is in Screenshot at 10.00 AM.png?")
    assert typed.text == "What is in this picture?"
    assert "its name is the only one that looks like the one given" in typed.notices[0]
    (folder / "LOGO.png").write_bytes(b"")
    typed = read("Is Logo.png good?")
    assert typed.text == "Is Logo.png good?"
    assert "could be LOGO.png or logo.png: name one of them exactly" in typed.notices[0]


def test_dropped_paths_are_found_without_looking_at_the_disk(folder: Path) -> None:
    assert dropped_images("/a/gone.png '/a/b c.jpg' file:///x%20y.gif") == (
        "/a/gone.png",
        "/a/b c.jpg",
        "file:///x%20y.gif",
    )
    assert dropped_images("logo.png") == ("logo.png",)
    assert dropped_images(str(folder / "my cat.jpg")) == (str(folder / "my cat.jpg"),)
    for text in ("gone.png", "a text", "see /a/gone.png", "", "`logo.png` and", "\n"):
        assert dropped_images(text) == ()


def test_many_dropped_files_are_all_attached(folder: Path) -> None:
    for number in range(60):
        Image.new("RGB", (2, 2)).save(folder / f"{number:080}.png")
    text = " ".join(f"'{folder}/{number:080}.png'" for number in range(60))
    assert len(read(text).images) == 60


def test_names_that_only_exist_in_prose_are_listed_for_a_prompt() -> None:
    assert named_files("Is logo.png like `my cat.jpg` or gone.png?") == ("logo.png",)


@pytest.mark.parametrize("piece", ["a.png ", "a.png", "x y ", "a.png\n", "'a.png' ", "/a.png ", "a(b.png "])
def test_a_long_text_asks_the_disk_a_limited_number_of_times(piece: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[Path] = []
    stat = Path.stat

    def counted(path: Path, **options: bool) -> os.stat_result:
        looked_up.append(path)
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", counted)
    for text in (piece * (120_000 // len(piece)), " ".join(f"{number}{piece}" for number in range(15_000))):
        looked_up.clear()
        assert not read(text + " is my text").images
        assert len(looked_up) <= 400


@pytest.mark.parametrize(
    "text",
    [
        "Was zeigt „my cat.jpg“?",
        "Que montre « my cat.jpg » ?",
        "Was ist auf my cat.jpg zu sehen?",
        "¿Qué hay en 'my cat.jpg'?",
    ],
)
def test_a_sentence_in_another_language_keeps_its_names(text: str) -> None:
    assert (read(text).text, names(read(text))) == (text, ["my cat.jpg"])


@pytest.mark.parametrize("text", ["**logo.png** is what?", "@logo.png is what?", "„logo.png is what?"])
def test_marks_at_a_name_are_no_part_of_it(text: str) -> None:
    assert (read(text).text, names(read(text))) == ("is what?", ["logo.png"])


def test_an_apostrophe_in_a_name_is_no_possessive(folder: Path) -> None:
    Image.new("RGB", (4, 4)).save(folder / "it's.png")
    assert names(read("What is in it's.png?")) == ["it's.png"]


@pytest.mark.parametrize(
    "text", ["git add logo.png && git commit", "COPY logo.png /app/", "-rw-r--r-- 1 me me 123 logo.png"]
)
def test_commands_and_listings_stay_whole(text: str) -> None:
    assert (read(text).text, names(read(text))) == (text, [])


@pytest.mark.parametrize("text", ["load('logo.png') fails", "fetch(`logo.png`) fails"])
def test_a_name_in_code_is_told_without_its_quotes(text: str) -> None:
    [notice] = read(text).notices
    assert notice.startswith("logo.png stands in code")


def test_a_path_of_windows_is_told_as_it_was_typed() -> None:
    [notice] = read(r"What is C:\Users\me\x.png about?").notices
    assert notice == r"C:\Users\me\x.png is not a file here, so it was sent as text."
