"""Devices as on a desktop: a microphone and a speaker in software that are there, muted, or unplugged."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.fakes.audio import tone
from tests.fakes.audio_server import (
    DEADLINE_SECONDS,
    MISSING,
    REASON,
    RECORDING_RATE,
    AudioServer,
    audio_server,
    read_samples,
    wait_until,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=REASON),
]

# Plays a tone of so many seconds at a rate, and prints a `VoiceError`.
PLAY = """
import sys, numpy as np
from assistant.errors import VoiceError
from voice.audio.devices import Speaker
rate, seconds = int(sys.argv[1]), int(sys.argv[2])
tone = (0.5 * np.sin(2 * np.pi * 440 * np.arange(seconds * rate) / rate)).astype(np.float32)
try:
    with Speaker(rate) as speaker:
        for start in range(0, tone.size, 1000):
            speaker.write(tone[start:start + 1000])
except VoiceError as error:
    print(error)
"""


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AudioServer]:
    with audio_server(tmp_path_factory.mktemp("pulse")) as started:
        yield started


def start(server: AudioServer, *arguments: str) -> "subprocess.Popen[str]":
    environment = os.environ | server.environment | {"PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run_parley(server: AudioServer, *arguments: str) -> tuple[int, str, str]:
    """Run a command and return its exit code, output and errors."""
    process = start(server, "-m", "parley", *arguments)
    out, err = process.communicate(timeout=DEADLINE_SECONDS)
    return process.returncode, out, err


def test_devices_are_listed_and_nothing_else_is_printed(server: AudioServer) -> None:
    code, out, err = run_parley(server, "devices", "--json")
    assert (code, err) == (0, "")
    devices = json.loads(out)
    assert any(device["default_input"] and device["inputs"] for device in devices)
    assert any(device["default_output"] and device["outputs"] for device in devices)
    assert "default microphone and speaker" in run_parley(server, "devices")[1]


def test_the_device_test_plays_a_tone_and_reports_a_silent_microphone(server: AudioServer) -> None:
    with server.record() as path:
        code, _, err = run_parley(server, "devices", "--test")
    assert code == 1
    assert "The microphone is silent" in err
    assert 0.15 < np.abs(read_samples(path)).max() < 0.25


def test_the_device_test_hears_the_microphone(server: AudioServer) -> None:
    process = start(server, "-m", "parley", "devices", "--test")
    while process.poll() is None:
        server.say(tone(1.0), 16_000)
    _, err = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 0, err
    assert "The microphone works" in err


# In real time: a machine that is held up for a moment leaves a gap in the audio.
@pytest.mark.live
@pytest.mark.parametrize("rate", [8_000, 22_050, 96_000])
def test_any_sample_rate_is_played_at_its_pitch_and_to_its_end(rate: int, server: AudioServer) -> None:
    with server.record() as path:
        process = start(server, "-c", PLAY, str(rate), "2")
        assert process.communicate(timeout=DEADLINE_SECONDS) == ("", "")
    samples = read_samples(path)
    loud = np.flatnonzero(np.abs(samples) > 0.1)
    assert (loud[-1] - loud[0]) / RECORDING_RATE == pytest.approx(2.0, abs=0.1)
    played = samples[loud[0] : loud[-1]]
    spectrum = np.abs(np.fft.rfft(played * np.hanning(played.size)))
    assert int(np.argmax(spectrum)) * RECORDING_RATE / played.size == pytest.approx(440, abs=2)


@pytest.mark.parametrize("name", ["nobody", "99"])
def test_an_unknown_device_is_an_error(name: str, server: AudioServer) -> None:
    code, _, err = run_parley(server, "devices", "--test", "--speaker", name, "--microphone", name)
    assert code == 1
    assert f"There is no speaker called {name!r}" in err
    assert f"There is no microphone called {name!r}" in err


def test_a_speaker_that_is_unplugged_while_it_plays_is_an_error(server: AudioServer) -> None:
    process = start(server, "-c", PLAY, "22050", "120")
    wait_until(server.is_playing)
    server.run("pactl", "exit")
    out, err = process.communicate(timeout=DEADLINE_SECONDS)
    assert out.startswith("The speaker "), err
    assert "was unplugged" in out
    assert err == ""
