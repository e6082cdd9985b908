"""espeak-ng: its languages, and errors of the program."""

import shutil
from pathlib import Path

import pytest

from assistant.errors import ConfigError, MissingExtraError, VoiceError
from voice.tts.espeak import PROGRAM, Espeak, language_code

needs_espeak = pytest.mark.skipif(shutil.which(PROGRAM) is None, reason="needs espeak-ng")


@pytest.mark.parametrize(("voice", "language"), [("en-us", "en"), ("de", "de"), ("en+f3", "en"), ("zh_CN", "zh")])
def test_the_language_is_the_first_part_of_a_voice(voice: str, language: str) -> None:
    assert language_code(voice) == language


@needs_espeak
def test_a_voice_has_its_language() -> None:
    assert [Espeak.load(voice).language for voice in ("en-us", "de")] == ["en", "de"]


@needs_espeak
def test_an_unknown_voice_is_an_error_that_names_others() -> None:
    with pytest.raises(ConfigError, match=r"no voice 'xx': choose one of its \d+ codes, of ISO 639, like .*\bde\b"):
        Espeak.load("xx")


def test_a_missing_program_is_an_error_that_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(MissingExtraError, match="apt install espeak-ng"):
        Espeak.load()


@pytest.mark.parametrize(
    ("program", "message"),
    [("exit 3", "stopped with exit code 3"), ("kill -9 $$", "was killed"), (None, r"cannot be run \(")],
)
def test_a_program_that_fails_while_it_speaks_is_an_error(program: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "espeak-ng"
    if program is not None:
        path.write_text(f"#!/bin/sh\ncat > /dev/null\n{program}\n")
        path.chmod(0o755)
    with pytest.raises(VoiceError, match=message):
        list(Espeak(str(path), "en").synthesize("Hello."))
