"""`parley transcribe` as a person or a script meets it: what goes to which stream, and the exit code."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from assistant.settings import Settings
from parley.cli.main import root
from tests.fakes.audio import Floats, WriteWave, stereo_bytes, tone, two_tracks
from tests.fakes.tone_recognizer import ToneRecognizer
from voice.stt.base import SpeechToText

pytestmark = pytest.mark.usefixtures("nobodys_machine")


def beeps(seconds: float, period: float) -> Floats:
    """Return silence with a tone of two seconds every `period` seconds."""
    samples = np.zeros(round(seconds * 16_000))
    for start in np.arange(0, seconds - 2, period):
        samples[round(start * 16_000) :][: 2 * 16_000] = tone(2.0)
    return samples


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Load a fake recognizer, and return the language of each that was loaded."""
    loaded: list[str] = []

    def build(settings: Settings, _: object) -> SpeechToText:
        loaded.append(settings.language)
        return ToneRecognizer()

    monkeypatch.setattr("parley.factory.voice.build_stt", build)
    return loaded


def run(*arguments: str | Path, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(root, ["transcribe", *map(str, arguments)], input=stdin)


def test_each_segment_is_a_line(write_wave: WriteWave, loads: list[str]) -> None:
    result = run(write_wave("a.wav", beeps(10, 3.5)), "--language", "German")
    assert (result.exit_code, result.stdout) == (0, "beep\nbeep\nbeep\n")
    assert loads == ["de"]


def test_several_files_have_headings_and_a_bad_one_stops_none(write_wave: WriteWave, loads: list[str]) -> None:
    write_wave("a.wav", tone(1.0))
    write_wave("c.wav", tone(1.0))
    result = run("a.wav", "b.wav", "c.wav")
    assert result.exit_code == 1
    assert result.stdout == "==> a.wav <==\nbeep\n\n==> b.wav <==\n\n==> c.wav <==\nbeep\n"
    assert "There is no file b.wav: check the path." in result.stderr
    assert len(loads) == 1


@pytest.mark.usefixtures("loads")
def test_a_folder_stands_for_the_recordings_in_it(write_wave: WriteWave) -> None:
    Path("calls/march").mkdir(parents=True)
    write_wave("calls/b.wav", tone(1.0))
    write_wave("calls/march/a.wav", tone(1.0))
    Path("calls/notes.txt").write_text("Nothing to hear.")
    result = run("calls")
    assert (result.exit_code, result.stdout) == (0, "==> calls/b.wav <==\nbeep\n\n==> calls/march/a.wav <==\nbeep\n")
    assert "Files in calls that are not looked at: 1 .txt." in result.stderr
    assert "Subtitles belong to one recording" in run("calls", "--srt").stderr


def test_a_folder_without_recordings_is_an_error(loads: list[str]) -> None:
    Path("photos").mkdir()
    result = run("photos")
    assert (result.exit_code, result.stdout, loads) == (1, "", [])
    assert "There are no recordings in photos: name another folder." in result.stderr


@pytest.mark.usefixtures("loads")
def test_json_has_word_timestamps(write_wave: WriteWave) -> None:
    sound = np.concatenate([np.zeros(16_000), tone(1.0)])
    first, second = run(write_wave("a.wav", sound), "-", "--json", stdin=Path("a.wav").read_bytes()).stdout.splitlines()
    parsed = json.loads(first)
    assert parsed["seconds"] == 2.0
    assert (parsed["language"], parsed["text"]) == ("en", "beep")
    assert parsed["segments"][0]["words"] == [{"text": "beep", "start": 1.0, "end": 2.0, "probability": 1.0}]
    assert json.loads(second) | {"file": None} == parsed | {"file": None}
    assert json.loads(second)["file"] == "standard input"


@pytest.mark.usefixtures("loads")
def test_json_names_the_most_probable_language(write_wave: WriteWave, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parley.factory.voice.build_stt", lambda *_: ToneRecognizer(["cy", "de"], [0.4, 0.95]))
    parsed = json.loads(run(write_wave("long.wav", beeps(200, 3.7)), "--json").stdout)
    assert (parsed["language"], parsed["language_probability"]) == ("de", 0.95)


@pytest.mark.usefixtures("loads")
def test_subtitles_are_printed(write_wave: WriteWave) -> None:
    path = write_wave("a.wav", tone(1.0))
    assert run(path, "--srt").stdout == "1\n00:00:00,000 --> 00:00:01,000\nbeep\n\n"
    assert run(path, "--vtt").stdout == "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\nbeep\n\n"
    assert run(path, path, "--srt").exit_code == 2


def test_an_empty_path_is_a_usage_error(loads: list[str]) -> None:
    result = run("", "--language", "german")
    assert (result.exit_code, loads) == (2, [])
    assert "One of the paths is empty: name a recording." in result.stderr


@pytest.mark.usefixtures("loads")
def test_a_file_without_speech_is_a_notice(write_wave: WriteWave) -> None:
    result = run(write_wave("still.wav", np.zeros(32_000)), write_wave("nothing.wav", np.zeros(0)), "--json")
    assert result.exit_code == 0
    assert [json.loads(line)["text"] for line in result.stdout.splitlines()] == ["", ""]
    assert "Nobody speaks in" in result.stderr
    assert "still.wav (0:02)" in result.stderr
    assert "nothing.wav (no audio)" in result.stderr


def test_a_file_without_audio_loads_no_model(loads: list[str], tmp_path: Path) -> None:
    Path("notes.txt").write_text("nothing to hear")
    result = run("notes.txt")
    assert (result.exit_code, result.stdout, loads) == (1, "", [])
    assert result.stderr.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/stdin").exists(), reason="needs /dev/stdin")
def test_a_name_that_looks_the_same_is_read_and_named(write_wave: WriteWave, loads: list[str]) -> None:
    path = write_wave("call.wav", beeps(4, 4))
    result = CliRunner().invoke(root, ["transcribe", str(path.with_name("CALL.WAV"))])
    assert result.exit_code == 0
    assert f"{path} is read: its name is the only one that looks like the one given." in result.stderr
    assert loads


def test_a_named_pipe_is_read(write_wave: WriteWave) -> None:
    path = write_wave("a.wav", tone(1.0))
    program = "from parley.factory import voice\nfrom tests.fakes.tone_recognizer import ToneRecognizer\n"
    program += "voice.build_stt = lambda *_: ToneRecognizer()\nimport sys\nfrom parley.cli import main\n"
    program += "sys.argv = ['parley', 'transcribe', '/dev/stdin']\nmain()"
    root = Path(__file__).parents[3]
    finished = subprocess.run(
        [sys.executable, "-c", program], input=path.read_bytes(), capture_output=True, check=False, cwd=root
    )
    assert (finished.returncode, finished.stdout) == (0, b"beep\n"), finished.stderr


@pytest.mark.usefixtures("loads")
def test_the_track_with_the_speech_is_found_and_named() -> None:
    two_tracks(Path("film.mka"), np.zeros(16_000), tone(1.0))
    result = run("film.mka")
    assert (result.exit_code, result.stdout) == (0, "beep\n")
    assert "Nobody speaks on track 1 of film.mka: track 2 was transcribed." in result.stderr


@pytest.mark.usefixtures("loads")
def test_a_track_can_be_chosen_and_the_others_are_named() -> None:
    two_tracks(Path("film.mka"), tone(1.0), np.zeros(16_000))
    assert "has 2 audio tracks: track 1 was transcribed; --track takes track 2." in run("film.mka").stderr
    assert "audio tracks" not in run("film.mka", "--track", "1").stderr
    assert "Nobody speaks in film.mka" in run("film.mka", "--track", "2").stderr
    result = run("film.mka", "--track", "3")
    assert result.exit_code == 1
    assert "film.mka has no audio track 3: it has 2 audio tracks." in result.stderr


def call(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a call of which the left side speaks first, where each loud moment is speech."""
    monkeypatch.setattr("voice.stt.channels.find_speech_frames", lambda samples: np.abs(samples[::512]) > 0.01)
    left, right = np.zeros(80_000), np.zeros(80_000)
    left[:32_000] = tone(2.0, hertz=333)
    right[48_000:] = tone(2.0, hertz=555)
    Path("call.wav").write_bytes(stereo_bytes(left, right))
    return Path("call.wav")


@pytest.mark.usefixtures("loads")
def test_both_sides_of_a_call_are_transcribed_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(call(monkeypatch))
    assert (result.exit_code, result.stdout) == (0, "left: beep\nright: beep\n")
    assert "call.wav hold different speech: left and right were transcribed separately." in result.stderr
    segments = json.loads(run("call.wav", "--json").stdout)["segments"]
    assert [(round(each["start"]), each["channel"]) for each in segments] == [(0, "left"), (3, "right")]
    assert "\nleft: beep\n" in run("call.wav", "--srt").stdout


@pytest.mark.usefixtures("loads")
def test_a_cut_file_is_transcribed_as_far_as_it_goes(write_wave: WriteWave) -> None:
    path = write_wave("a.wav", beeps(20, 3.5))
    path.write_bytes(path.read_bytes()[:320_044])
    result = run(path)
    assert (result.exit_code, result.stdout) == (0, "beep\nbeep\nbeep\n")
    assert "damaged or cut short: only 10 of its 20 seconds could be decoded." in result.stderr


def test_ctrl_c_leaves_no_traceback(write_wave: WriteWave) -> None:
    path = write_wave("a.wav", tone(1.0))
    program = "from parley.factory import voice\nfrom tests.fakes.tone_recognizer import ToneRecognizer\n"
    program += "class Stopped(ToneRecognizer):\n    def transcribe(self, *_):\n        raise KeyboardInterrupt\n"
    program += "voice.build_stt = lambda *_: Stopped()\nimport sys\nfrom parley.cli import main\n"
    program += f"sys.argv = ['parley', 'transcribe', {str(path)!r}]\nmain()"
    root = Path(__file__).parents[3]
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=root)
    assert finished.returncode == 130
    assert "Traceback" not in finished.stderr
