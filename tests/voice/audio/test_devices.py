"""Devices as they are on a desktop: a microphone and a speaker in software, that are there, busy, muted or gone."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.fakes.audio import tone
from tests.fakes.sound_server import MISSING, REASON, SoundServer, samples_of, sound_server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=REASON),
]


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoundServer]:
    with sound_server(tmp_path_factory.mktemp("pulse")) as started:
        yield started


def parley(server: SoundServer, *arguments: str) -> "subprocess.Popen[str]":
    environment = os.environ | server.environment | {"PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-m", "assistant", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(server: SoundServer, *arguments: str) -> tuple[int, str, str]:
    process = parley(server, *arguments)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


PLAY = """
import sys, numpy as np
from voice.audio.devices import Speaker
rate = int(sys.argv[1])
tone = (0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * rate) / rate)).astype(np.float32)
with Speaker(rate) as speaker:
    for start in range(0, tone.size, 1000):
        speaker.write(tone[start:start + 1000])
"""


def test_the_list_says_what_there_is_and_nothing_else(server: SoundServer) -> None:
    code, out, err = finish(server, "devices", "--json")
    assert (code, err) == (0, "")
    devices = json.loads(out)
    assert any(device["default_input"] and device["inputs"] for device in devices)
    assert any(device["default_output"] and device["outputs"] for device in devices)
    assert "default microphone and speaker" in finish(server, "devices")[1]


def test_the_test_plays_and_listens(server: SoundServer) -> None:
    with server.recorded() as path:
        code, _, err = finish(server, "devices", "--test")
    assert code == 1
    assert "The microphone gives silence" in err
    assert 0.15 < np.abs(samples_of(path)).max() < 0.25
    process = parley(server, "devices", "--test")
    server.say(tone(5.0), 16_000)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "The microphone works: the loudest was -" in err


# In real time: a machine that is held up for a moment leaves a gap in the sound.
@pytest.mark.live
@pytest.mark.parametrize("rate", [8_000, 22_050, 96_000])
def test_any_rate_is_played_as_it_sounds_and_to_its_end(rate: int, server: SoundServer) -> None:
    with server.recorded() as path:
        subprocess.run([sys.executable, "-c", PLAY, str(rate)], env=os.environ | server.environment, check=True)
    sound = samples_of(path)
    loud = np.flatnonzero(np.abs(sound) > 0.1)
    assert (loud[-1] - loud[0]) / 48_000 == pytest.approx(2.0, abs=0.1)
    middle = sound[loud[0] : loud[-1]]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(middle.size)))
    assert int(np.argmax(spectrum)) * 48_000 / middle.size == pytest.approx(440, abs=2)


def test_a_name_that_is_no_device(server: SoundServer) -> None:
    for name in ("nobody", "99"):
        code, _, err = finish(server, "devices", "--test", "--speaker", name, "--microphone", name)
        assert code == 1
        assert f"There is no speaker called {name!r}" in err
        assert f"There is no microphone called {name!r}" in err


def test_a_speaker_that_goes_away_is_one_sentence(server: SoundServer) -> None:
    program = PLAY.replace("tone.size", "30 * tone.size").replace("tone[start:start + 1000]", "tone[:1000]")
    program = f"from assistant.errors import VoiceError\ntry:\n{program.replace(chr(10), chr(10) + '  ')}"
    program += "\nexcept VoiceError as error:\n  print(error)\n"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "22050"],
        env=os.environ | server.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(3)
    server.run("pactl", "exit")
    out, err = process.communicate(timeout=60)
    assert out.startswith("The speaker "), err
    assert "was unplugged" in out
    assert err == ""
