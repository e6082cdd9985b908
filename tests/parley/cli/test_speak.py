"""`parley speak` and `parley devices` as a person or a script meets them."""

import io
import json
import os
import subprocess
import sys
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from assistant.errors import VoiceError
from parley.cli import licenses
from parley.cli.main import root
from tests.fakes.audio import Floats
from voice.tts import coqui
from voice.tts.base import TextToSpeech

pytestmark = pytest.mark.usefixtures("nobodys_machine")


class CharacterVoice:
    """Speak each character as one sample, its code over 1000, so that the text can be read back from a file."""

    sample_rate = 8000

    def synthesize(self, sentence: str) -> Iterator[Floats]:
        yield np.array([ord(character) / 1000 for character in sentence], np.float32)

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def _voice(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*_: object, **__: object) -> TextToSpeech:
        return CharacterVoice()

    monkeypatch.setattr("parley.factory.voice.build_tts", build)


def run(*arguments: str, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(root, arguments, input=stdin)


def spoken_text(data: bytes) -> str:
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 8000)
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return "".join(chr(round(value / 32.767)) for value in samples if value)


def test_text_is_written_to_a_file() -> None:
    result = run("speak", "Hello **you**.", "It costs $5!", "-o", "out.wav")
    assert (result.exit_code, result.stdout) == (0, "")
    assert spoken_text(Path("out.wav").read_bytes()) == "Hello you.It costs 5 dollars!"
    assert [path.name for path in Path().iterdir()] == ["out.wav"]


@pytest.mark.parametrize("arguments", [["speak", "-o", "-"], ["speak", "-", "-o", "-"]])
def test_standard_input_is_spoken_to_standard_output(arguments: list[str]) -> None:
    result = run(*arguments, stdin="\ufeff# Größe\n\nViel.".encode())
    assert spoken_text(result.stdout_bytes) == "Größe.Viel."


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["speak", "…", "-o", "out.wav"], 1, "nothing to say"),
        (["speak", "-o", "out.wav"], 2, "The text is empty"),
        (["speak", "  ", "-o", "out.wav"], 2, "The text is empty"),
        (["speak", "hi", "-o", "out.mp3"], 2, "ends with .wav"),
        (["speak", "hi", "-o", "gone/out.wav"], 1, "gone/out.wav cannot be written: there is no folder gone"),
        (["speak", "hi", "-o", "out.wav", "--clone", "gone.wav"], 2, "There is no recording gone.wav"),
        (["speak", "hi", "-o", "out.wav", "--voice", "xtts:gone.wav"], 2, "There is no recording gone.wav"),
        (["speak", "hi", "-o", "out.wav", "--clone", "me.doc"], 2, "--clone takes a recording that ends with .wav"),
        (["speak", "hi", "-o", "folder.wav"], 1, "is not a regular file"),
    ],
)
def test_an_error_is_one_sentence_and_leaves_no_file(arguments: list[str], code: int, message: str) -> None:
    Path("folder.wav").mkdir()
    result = run(*arguments, stdin=b"")
    assert (result.exit_code, result.stdout) == (code, "")
    assert message in result.stderr
    assert [path.name for path in Path().iterdir()] == ["folder.wav"]


def test_an_existing_file_stays_if_speaking_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object, sentence: str) -> Iterator[Floats]:
        if "two" in sentence:
            raise VoiceError("The voice broke.")
        yield np.ones(9, np.float32)

    monkeypatch.setattr(CharacterVoice, "synthesize", fail)
    Path("out.wav").write_bytes(b"before")
    result = run("speak", "One. This is two.", "-o", "out.wav")
    assert (result.exit_code, result.stderr) == (1, "parley: The voice broke.\n")
    assert Path("out.wav").read_bytes() == b"before"
    assert [path.name for path in Path().iterdir()] == ["out.wav"]


NO_DEVICE = {"PULSE_SERVER": "unix:/nowhere"}


def real(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """A process of its own: ALSA and PulseAudio write to its file descriptors, not to Python's streams."""
    command = [sys.executable, "-m", "parley", *arguments]
    root = str(Path(__file__).parents[3])
    environment = os.environ | NO_DEVICE | {"PYTHONPATH": root}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_machine_without_devices_is_reported() -> None:
    listed = real("devices")
    if listed.stdout or "libportaudio2" in listed.stderr:
        pytest.skip("needs PortAudio and no audio devices")
    assert (listed.returncode, listed.stdout) == (0, "")
    assert listed.stderr.count("\n") == 1
    assert json.loads(real("devices", "--json").stdout) == []
    tested = real("devices", "--test")
    assert tested.returncode == 1
    assert tested.stderr == listed.stderr


def test_devices_that_cannot_be_listed_are_an_error_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        import sounddevice
    except OSError:
        pytest.skip("needs PortAudio")

    def fail() -> None:
        raise sounddevice.PortAudioError("Host error", -9999)

    monkeypatch.setattr(sounddevice, "query_devices", fail)
    for arguments in (["devices"], ["devices", "--test"]):
        result = run(*arguments)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "cannot be listed (Host error)" in result.stderr
        assert result.stderr.count("\n") == 1


def test_missing_portaudio_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    # What sounddevice finds out by when it is imported.
    monkeypatch.setattr("ctypes.util.find_library", lambda _: None)
    for arguments in (["devices"], ["speak", "hi"]):
        result = run(*arguments)
        assert result.exit_code == 1
        assert "apt install libportaudio2" in result.stderr
    assert "Without a speaker, -o FILE.wav writes the speech to a file." in result.stderr


@pytest.mark.parametrize("answer", ["y", "n"])
def test_a_license_is_asked_about_until_it_is_accepted(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coqui, "is_installed", lambda: True)
    monkeypatch.setattr(licenses, "is_terminal", lambda *_: True)
    Path("me.wav").touch()
    for turn in range(2):
        result = run("speak", "hi", "-o", "out.wav", "--clone", "me.wav", stdin=f"{answer}\n")
        asked = "non-commercial use only" in result.stderr and "Do you accept it?" in result.stderr
        assert asked == (turn == 0 or answer == "n")
        assert result.stdout == ""


def test_voice_and_clone_exclude_each_other() -> None:
    result = run("speak", "hi", "--voice", "piper", "--clone", "me.wav")
    assert result.exit_code == 2
    assert "leave --voice out" in result.stderr
