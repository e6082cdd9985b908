"""Fuzz command lines: commands, options and values in any order, with odd arguments and odd standard input."""

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from tests.fakes.audio import Floats
from tests.fakes.command_line_faults import run_and_check
from tests.fuzz.harness import fuzz, odd_text

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("fuzz_machine")]

FILES = (
    "a.png",
    "b c.jpg",
    "broken.png",
    "words.txt",
    "preds.jsonl",
    "refs.jsonl",
    "sound.wav",
    "folder",
    ".",
    "*.png",
)
COMMANDS = {
    "": ("--version", "--help", "-c", "--no-history"),
    "ask": ("-i", "--json", "--continue", "--conversation", "--no-history", "--help"),
    "caption": ("--style", "--language", "--json", "--out", "--resume", "--retry-errors", "--on-error", "--jobs"),
    "vqa": ("--choice", "--yes-no", "--explain", "--json", "--out", "--resume", "--jobs"),
    "emotion": ("--help",),
    "read": ("--help",),
    "evaluate": ("--json", "--samples", "--seed"),
    "history": ("--json",),
    "history list": ("--json",),
    "history show": ("--json",),
    "history search": ("--json",),
    "history delete": (),
    "models": ("--json",),
    "models use": (),
    "models rm": (),
    "skills": ("--json",),
    "config": (),
    "completion": (),
    "speak": ("-o", "--voice", "--clone", "--language"),
    "transcribe": ("--json", "--srt", "--vtt", "--language", "--track"),
}
SETTINGS = ("--system", "--max-tokens", "--temperature", "--seed", "--device", "--quantize", "--detail", "--allow-urls")
SAMPLING = ("--top-p", "--top-k", "--min-p", "--repetition-penalty", "--presence-penalty", "--stop")
VALUES = (
    "short",
    "dense",
    "German",
    "auto",
    "en",
    "1",
    "0",
    "-1",
    "99999999999999999999",
    "1e9",
    "nan",
    "bash",
    "caption",
)


_IMPOSSIBLE = re.compile("[\0\ud800-\udc7f\udd00-\udfff]")


@dataclass(frozen=True)
class CommandLine:
    """Arguments, and what is piped in."""

    arguments: tuple[str, ...]
    stdin: bytes


def make_command_line(rng: random.Random) -> CommandLine:
    command = rng.choice(list(COMMANDS))
    options = (*COMMANDS[command], *SETTINGS, *SAMPLING)
    arguments: list[str] = []
    for _ in range(rng.randint(0, 5)):
        if rng.random() < 0.5:
            arguments.append(rng.choice(options if rng.random() < 0.9 else ("--", "-", "-x", "--nonsense", "-ii")))
            if rng.random() < 0.7:
                arguments.append(value(rng))
        else:
            arguments.append(value(rng))
    if command in ("emotion", "read"):
        # Their models take seconds.
        arguments = [
            each for each in arguments if not Path(_IMPOSSIBLE.sub("", each)[:200]).exists() and "*" not in each
        ]
    # Sometimes options come before the command, or something else is in its place.
    at = 0 if rng.random() < 0.85 else rng.randint(0, len(arguments))
    name = command.split() if rng.random() < 0.95 else [odd_text(rng, 2)]
    arguments[at:at] = name
    stdin = odd_text(rng).encode(errors="surrogatepass") if rng.random() < 0.3 else b""
    # No operating system passes a NUL, nor surrogates but those for bytes that are not UTF-8.
    return CommandLine(tuple(_IMPOSSIBLE.sub("", each) for each in arguments), stdin)


def value(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.35:
        return rng.choice(FILES)
    if kind < 0.6:
        return rng.choice(VALUES)
    return odd_text(rng, 4) if kind < 0.95 else "x" * 5000


def use(line: CommandLine) -> None:
    run_and_check(list(line.arguments), line.stdin)


class QuietVoice:
    """Speaks a sample for each sentence."""

    sample_rate = 8000

    def synthesize(self, sentence: str) -> Iterator[Floats]:
        yield np.zeros(len(sentence) and 1, np.float32)

    def close(self) -> None:
        pass


@pytest.fixture
def fuzz_machine(nobodys_machine: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `nobodys_machine`, with the scripted model, a silent voice, no hub and some files."""
    from tests.fakes.tone_recognizer import ToneRecognizer

    monkeypatch.setenv("PARLEY_MODEL", "scripted")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    build: Callable[..., QuietVoice] = lambda *_, **__: QuietVoice()  # noqa: E731
    monkeypatch.setattr("parley.factory.voice.build_tts", build)
    monkeypatch.setattr("parley.factory.voice.build_stt", lambda *_, **__: ToneRecognizer())
    Path("folder").mkdir()
    for name in ("a.png", "b c.jpg", "folder/c.png"):
        PIL.Image.new("RGB", (9, 9)).save(name)
    Path("broken.png").write_bytes(b"\x89PNG\r\n")
    Path("words.txt").write_text("Some words.")
    Path("preds.jsonl").write_text('{"photo": "a.png", "text": "a"}\n')
    # Imports torch, which takes seconds.
    run_and_check(["models"])
    Path("refs.jsonl").write_text('{"photo": "a.png", "text": "b"}\n{"photo": 1}\n')


def test_command_lines() -> None:
    fuzz("command_lines", make_command_line, use)
