"""Extracting images from a prompt: what counts as an image, and what remains of the sentence."""

import shlex
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from assistant.attachments.file_lookup import FileLookup
from assistant.attachments.images import ImageLoader
from assistant.attachments.paths_in_text import Certainty, find_mentions
from assistant.attachments.rewording import remove_mentions


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: two images with spaces in their names, one without a suffix, and other files."""
    monkeypatch.chdir(tmp_path)
    picture = Image.new("RGB", (4, 4))
    for name in ("my cat.jpg", "a b c.png", "it's.png"):
        picture.save(name)
    picture.save("snapshot", "PNG")
    Path("notes").write_text("hello")
    Path("report.pdf").write_text("%PDF-1.7")
    return tmp_path


def extracted(prompt: str, *, links: bool = True) -> tuple[str, tuple[str, ...]]:
    """The text without the images that it names, and their sources, as if every file existed."""
    mentions = [each for each in find_mentions(prompt, links=links) if each.certainty is not Certainty.QUOTED]
    sources = tuple(dict.fromkeys(each.source for each in mentions))
    return (remove_mentions(prompt, mentions, sources) if mentions else prompt), sources


@pytest.mark.parametrize(
    ("prompt", "text", "sources"),
    [
        # a path apart from the sentence is removed
        ("What is in this picture? photo.jpg", "What is in this picture?", ["photo.jpg"]),
        ("photo.jpg What is this?", "What is this?", ["photo.jpg"]),
        ("photo.jpg\nWhat is this?", "What is this?", ["photo.jpg"]),
        ("./a.jpg ./b.jpg what changed?", "what changed?", ["./a.jpg", "./b.jpg"]),
        ("cat.png, dog.png", "", ["cat.png", "dog.png"]),
        ("a.jpg,b.jpg", "", ["a.jpg", "b.jpg"]),
        ("cat.png and dog.png: what differs?", "what differs?", ["cat.png", "dog.png"]),
        ("What colour is the car /photos/car.jpg", "What colour is the car", ["/photos/car.jpg"]),
        ("Describe the photo: cat.jpg", "Describe the photo", ["cat.jpg"]),
        ("Look (cat.jpg), please", "Look please", ["cat.jpg"]),
        ("<photo.jpg>", "", ["photo.jpg"]),
        # one that the sentence needs is replaced
        ("What is in photo.jpg?", "What is in this picture?", ["photo.jpg"]),
        ("In the photo.jpg, who is there?", "In the picture, who is there?", ["photo.jpg"]),
        ("What is photo.jpg's background?", "What is this picture's background?", ["photo.jpg"]),
        ("Compare cat.png and dog.png.", "Compare these pictures.", ["cat.png", "dog.png"]),
        (
            "Is the dog in a.jpg the same as in b.jpg?",
            "Is the dog in the first picture the same as in the second picture?",
            ["a.jpg", "b.jpg"],
        ),
        ("Is it in cat.jpg? I mean cat.jpg", "Is it in this picture? I mean", ["cat.jpg"]),
        # ways to write it
        ("What is in 'my cat.jpg'?", "What is in this picture?", ["my cat.jpg"]),
        ('"/no/such folder/x.png" what is it', "what is it", ["/no/such folder/x.png"]),
        ("“my cat.jpg” now", "now", ["my cat.jpg"]),
        (r"/no/my\ dog.jpg hello", "hello", ["/no/my dog.jpg"]),
        (r"'it'\''s.png' hello", "hello", ["it's.png"]),
        ('"a \\"b\\".png" hello', "hello", ['a "b".png']),
        ("file:///no/my%20dog.jpg hello", "hello", ["file:///no/my%20dog.jpg"]),
        ("~/cat.PNG", "", ["~/cat.PNG"]),
        ("see ![a cat](cat.webp)", "see ![a cat]", ["cat.webp"]),
        ("https://x.org/a_(b)?q=1. What?", "What?", ["https://x.org/a_(b)?q=1"]),
        ("What is at http://localhost:80/x, hm?", "What is at this picture, hm?", ["http://localhost:80/x"]),
        # spaces without quotes, where there is such a file
        ("my cat.jpg", "", ["my cat.jpg"]),
        ("what is in my cat.jpg?", "what is in this picture?", ["my cat.jpg"]),
        ("tell me: a b c.png", "tell me", ["a b c.png"]),
        ("my dog.jpg", "my picture", ["dog.jpg"]),
        # a whole pasted path, and endings that are refused later
        ("snapshot", "", ["snapshot"]),
        (" 'snapshot' \n", "", ["snapshot"]),
        ("look at report.pdf", "look at this picture", ["report.pdf"]),
    ],
)
def test_images_are_extracted_and_the_rest_stays_a_sentence(prompt: str, text: str, sources: list[str]) -> None:
    assert extracted(prompt) == (text, tuple(sources))


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "Hello!",
        "e.g. this, i.e. that",
        "is it a jpg or a .png file?",
        "JPEG/PNG",
        "notes",
        "what is a snapshot?",
        "how do I write a missing.pdf?",
        "It's the dogs' toys, isn't it?",
        "She said \"hello\" and 'bye'.",
        "https:// is a prefix",
        "C:\\",
        "a\0b",
    ],
)
def test_text_without_images_is_unchanged(prompt: str) -> None:
    assert extracted(prompt) == (prompt, ())


def test_the_layout_of_the_rest_is_kept() -> None:
    assert extracted("def f():\n    return  1\n\nphoto.jpg\n\nWhy  two?") == (
        "def f():\n    return  1\n\n\n\nWhy  two?",
        ("photo.jpg",),
    )


def test_every_way_to_drop_a_file_can_be_loaded(folder: Path) -> None:
    path = folder / "my cat.jpg"
    for pasted in (shlex.quote(str(path)), str(path).replace(" ", r"\ "), path.as_uri(), str(path), f'"{path}" '):
        text, sources = extracted(pasted)
        assert text == ""
        assert ImageLoader().load(sources[0]).image.name == "my cat.jpg"


words = st.lists(
    st.sampled_from(
        ["a", "It's", "the dogs'", "what?", "e.g.", "äö", "(see)", "x,y", "", "12", "'hm'", '"no"', "--", "\n"]
    )
).map(" ".join)
names = st.text(st.sampled_from("abc XYZ'\"$()&;äö#%.,_-\\"), min_size=1, max_size=20).map(
    lambda name: f"/no/{name}.jpg"
)


@settings(max_examples=300, deadline=None)
@given(before=words, name=names, after=words)
@example(before="It's ", name="/no/it's.jpg", after="isn't it?")
def test_a_quoted_path_is_found_in_any_sentence(before: str, name: str, after: str) -> None:
    for quoted in (single_quoted(name), double_quoted(name)):
        assert extracted(f"{before} {quoted} {after}")[1] == (name,)


def single_quoted(name: str) -> str:
    return "'" + name.replace("'", "'\\''") + "'"


def double_quoted(name: str) -> str:
    return '"' + "".join(f"\\{character}" if character in '"\\$`' else character for character in name) + '"'


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_accepted(text: str) -> None:
    remaining, sources = extracted(text)
    assert sources or remaining == text


@pytest.mark.parametrize("piece", [" '\"'\" ", "a.jpg ", " “", ".", "(", "a](", "\\ ", "x.jpg,", "'s", " 'a'b"])
def test_long_pastes_are_scanned_in_linear_time(piece: str) -> None:
    # Quadratic scanning takes minutes on these and linear takes milliseconds: the timeout of the test tells them apart.
    pasted = piece * (60_000 // len(piece))
    remaining, sources = extracted(pasted)
    assert sources or remaining == pasted


@pytest.mark.parametrize(
    "prompt", ["tell me about https://example.com please", '"https://example.com/a page" and?', "http://[x is?"]
)
def test_without_links_web_pages_are_no_images(prompt: str) -> None:
    assert extracted(prompt, links=False) == (prompt, ())


@pytest.mark.parametrize(
    ("prompt", "source"),
    [
        ("what is https://example.com/a.JPG?size=2#top", "https://example.com/a.JPG?size=2#top"),
        ("https://example.com/photos/12", "https://example.com/photos/12"),
        ("look: file:///no/photo", "file:///no/photo"),
    ],
)
def test_without_links_image_urls_are_still_found(prompt: str, source: str) -> None:
    assert extracted(prompt, links=False)[1] == (source,)


@pytest.mark.parametrize("name", ["x" * 300 + ".jpg", "~nosuchuser/x.jpg"])
def test_impossible_file_names_do_not_exist(name: str) -> None:
    assert not FileLookup().is_file(name)


def test_images_of_a_command_are_removed(tmp_path: Path) -> None:
    photo = tmp_path / "sign.png"
    photo.touch()
    assert extracted(f"/read {photo}") == ("/read", (str(photo),))
    assert extracted(f"/describe {photo} --style long")[0] == "/describe --style long"
    assert extracted(f"/vqa What is in {photo}?")[0] == "/vqa What is in this picture?"
