"""Fuzz line mode: odd lines, commands, paths and pastes, piped into the chat."""

import random
from pathlib import Path

import PIL.Image
import pytest

from assistant.errors import SkillError
from tests.fakes.command_line_faults import run_and_check
from tests.fuzz.harness import fuzz, mutate_bytes, odd_text

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("fuzz_machine")]

PIECES = (
    *("/caption", "/help", "/help caption", "/model", "/model scripted", "/frobnicate", "\\/foo", "/vqa", "/emotion"),
    *("--style", "--style dense", "--style=short", "--yes-no", "--choice", "--choice a --choice b", '"two words"'),
    *(
        "a.png",
        '"b c.jpg"',
        "'b c.jpg'",
        "b\\ c.jpg",
        "gone.png",
        "broken.png",
        "/etc/hosts",
        "~/x.png",
        "file:///a.png",
    ),
    *(
        "What is in",
        "compare",
        "and",
        "?",
        "`a.png`",
        "```",
        "[x](a.png)",
        "<img src='a.png'>",
        "a.png,b.png",
        "(a.png)",
    ),
)


def make_chat(rng: random.Random) -> bytes:
    """Return what is piped in: a few lines of words, paths, commands and odd text."""
    lines = [
        " ".join(rng.choice(PIECES) if rng.random() < 0.7 else odd_text(rng, 3) for _ in range(rng.randint(0, 6)))
        for _ in range(rng.randint(1, 3))
    ]
    data = rng.choice(("\n", "\r\n", "\r")).join(lines).encode(errors="surrogatepass")
    return mutate_bytes(rng, data, 3) if rng.random() < 0.2 else data


def use(data: bytes) -> None:
    result = run_and_check([], data)
    if result.exit_code == 1:
        assert "line " in result.stderr, "a line that failed is not named"
    if result.exit_code == 2:
        assert b"\0" in data, "text is refused"


class NoEmotionModels:
    """The models of emotions take seconds to load; what matters here is how the command is read."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __getattr__(self, name: str) -> object:
        raise SkillError(f"There is no {name} here.")


@pytest.fixture
def fuzz_machine(nobodys_machine: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `nobodys_machine`, with the scripted model and two pictures."""
    monkeypatch.setenv("PARLEY_MODEL", "scripted")
    monkeypatch.setattr("parley.factory.session.EmotionBackends", NoEmotionModels)
    for name in ("a.png", "b c.jpg"):
        PIL.Image.new("RGB", (9, 9)).save(name)
    Path("broken.png").write_bytes(b"\x89PNG\r\n")


def test_chat_text() -> None:
    fuzz("chat_text", make_chat, use)
