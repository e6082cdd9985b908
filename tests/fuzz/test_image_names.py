"""Texts that name files in a folder of odd names: whatever is not attached stays in the text."""

import os
import random
from pathlib import Path

import PIL.Image
import pytest

from assistant.attachments.images import ImageLoader
from assistant.attachments.typed_text import TypedText, dropped_images, named_files, read_typed_text
from tests.fakes.images import encoded
from tests.fuzz.harness import fuzz, odd_text

pytestmark = pytest.mark.slow

_NAMES = (
    *("a.png", "my cat.jpg", "it's.png", "A.PNG", "x=1.png", "a(1).png", "-i.png", "~.png", "#1?.png", "%20.png"),
    *("Screenshot 10.00\u202fAM.png", "caf\u00e9.png", "cafe\u0301.png", "“q”.png", "2020\u201321.png", "a,b.png"),
    *("שלום.png", "new\nline.png", "\x1b[31mred.png", "\udcff.png", "a\\b.png", "'.png", '"', "👨\u200d👩.png"),
    *("dir.png/in.png", "broken.png"),
)
_WRAPPERS = (
    *("{}", "'{}'", '"{}"', "“{}”", "`{}`", "({})", "<{}>", "![]({})", "open({!r})"),
    *("```\n{}\n```", "> {}", "/read {}", "{}'s"),
)
_WORDS = (
    "what is in",
    "and",
    "compare",
    "?",
    ",",
    "How do I convert",
    "to",
    "Traceback (most recent call last):",
    "x =",
)


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The current folder, with files of odd names."""
    path = tmp_path_factory.mktemp("odd")
    picture = encoded(PIL.Image.new("RGB", (4, 4)))
    for name in _NAMES:
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_bytes(b"broken" if name == "broken.png" else picture)
    (path / "loop.png").symlink_to("loop.png")
    os.mkfifo(path / "fifo.png")
    return path


def _make(rng: random.Random) -> str:
    pieces = []
    for _ in range(rng.choice((0, 1, 1, 2, 4, 8, 200))):
        name = rng.choice((*_NAMES, "gone.png", "loop.png", "dir.png", "https://example.org/a.png", "file:///a%00.png"))
        name = rng.choice((name, name.upper(), name.replace("\u202f", " "), name.replace(" ", "\\ "), f"./{name}"))
        pieces.append(rng.choice(_WRAPPERS).format(name))
        pieces.append(rng.choice((" ", " ", "", "\n", ", ", f" {rng.choice(_WORDS)} ", odd_text(rng, 3))))
    text = "".join(pieces) or odd_text(rng)
    return text * rng.choice((1, 1, 1, 1, 300))


@pytest.fixture
def loader() -> ImageLoader:
    return ImageLoader()


def test_image_names(folder: Path, loader: ImageLoader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)

    def use(text: str) -> TypedText:
        dropped_images(text)
        named_files(text)
        typed = read_typed_text(text, loader)
        assert typed.images or typed.text == text
        assert len({image.digest for image in typed.images}) <= len(typed.images) <= 200
        for notice in typed.notices:
            assert "\n" not in notice
            assert "\x1b" not in notice
            notice.encode()
        return typed

    fuzz("image_names", _make, use)
