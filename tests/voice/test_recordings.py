"""WAV files of calls: valid at any moment, both sides in time, and what was really heard."""

import os
import stat
import wave
from pathlib import Path

import numpy as np
import pytest

from tests.fakes.audio import Floats
from tests.fakes.files import limited_file_size
from tests.fakes.speech import FakeAudioOutput
from voice.audio.types import SAMPLE_RATE
from voice.recordings import CallRecording, RecordingOutput, WavWriter, write_wav


def block(level: float, seconds: float = 0.01) -> Floats:
    return np.full(round(seconds * SAMPLE_RATE), level, np.float32)


def read(path: Path) -> Floats:
    """Return the channels of a file as an array (samples, channels), read by another library than ours."""
    with wave.open(str(path)) as file:
        data = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels())
        assert len(data) == file.getnframes()
    return data / 32767


def test_header_is_right_after_every_write(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "a.wav"
    writer = WavWriter(path, 8000)
    assert len(read(path)) == 0
    for number in range(1, 4):
        writer.write(np.full(100, 0.5, np.float32))
        # As a process that is killed now would leave it.
        assert len(read(path)) == 100 * number
    writer.close()
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 1, 2)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("kind", ["file", "link", "broken link"])
def test_nothing_that_exists_is_written_over(kind: str, tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "a.wav"
    if kind != "broken link":
        victim.write_text("precious")
    if kind == "file":
        path.write_text("precious")
    else:
        path.symlink_to(victim)
    with pytest.raises(FileExistsError):
        write_wav(path, block(0.5), SAMPLE_RATE)
    for number in (2, 3):
        recording = CallRecording(path, "call")
        recording.close()
        assert recording.path == tmp_path / f"a-{number}.wav"
    assert not victim.exists() if kind == "broken link" else (path.read_text() == "precious")


def test_a_device_is_refused() -> None:
    with pytest.raises(OSError, match="no regular file"):
        CallRecording(Path(os.devnull), "call")


def test_a_file_that_cannot_be_written_completely_is_removed(tmp_path: Path) -> None:
    with limited_file_size(1000), pytest.raises(OSError, match="File too large"):
        write_wav(tmp_path / "a.wav", block(0.5, 1), SAMPLE_RATE)
    assert not (tmp_path / "a.wav").exists()


def test_user_is_left_and_parley_right_at_the_same_time(tmp_path: Path) -> None:
    recording = CallRecording(tmp_path, "call")
    for number in range(200):
        recording.add(block(0.5 if number < 50 else 0.0), block(0.25 if number >= 150 else 0.0))
    recording.close()
    recording.close()
    samples = read(tmp_path / "call.wav")
    assert samples.shape == (2 * SAMPLE_RATE, 2)
    heard, played = (np.flatnonzero(samples[:, channel]) for channel in (0, 1))
    assert (heard[0], heard[-1], played[0], played[-1]) == (
        0,
        SAMPLE_RATE // 2 - 1,
        3 * SAMPLE_RATE // 2,
        len(samples) - 1,
    )
    assert samples[0, 0] == pytest.approx(0.5, abs=1e-3)
    assert samples[-1, 1] == pytest.approx(0.25, abs=1e-3)


def test_what_was_played_before_the_microphone_opened_shifts_nothing(tmp_path: Path) -> None:
    recording = CallRecording(tmp_path / "call.wav", "")
    recording.add(block(0.0), np.concatenate([block(0.0, 0.3), block(0.25)]))
    for _ in range(9):
        recording.add(block(0.0), block(0.0))
    recording.close()
    played = np.flatnonzero(read(recording.path)[:, 1])
    assert (played[0], played[-1]) == (0, SAMPLE_RATE // 100 - 1)


@pytest.mark.parametrize("lost", ["microphone", "speaker"])
def test_a_lost_device_is_silence_and_the_other_side_stays_in_time(lost: str, tmp_path: Path) -> None:
    recording = CallRecording(tmp_path / "call.wav", "")
    nothing = block(0.0, 0)
    for number in range(500):
        gone = 100 <= number < 400
        heard = nothing if gone and lost == "microphone" else block(0.5)
        recording.add(heard, nothing if gone and lost == "speaker" else block(0.25))
    recording.close()
    samples = read(recording.path)
    assert len(samples) == 5 * SAMPLE_RATE
    side = 0 if lost == "microphone" else 1
    silent = np.flatnonzero(samples[:, side] == 0)
    tenth = SAMPLE_RATE // 10
    assert silent[0] == SAMPLE_RATE
    # A tenth of a second is too little to tell whether the device is gone.
    assert np.count_nonzero(silent < 4 * SAMPLE_RATE) >= 3 * SAMPLE_RATE - tenth - 160
    assert samples[: -tenth - 160, 1 - side].all()
    assert samples[4 * SAMPLE_RATE : -tenth - 160, side].all()


def test_long_calls_are_on_the_disk_and_not_in_memory(tmp_path: Path) -> None:
    recording = CallRecording(tmp_path / "call.wav", "")
    for seconds in range(1, 61):
        recording.add(block(0.5, 1), block(0.25, 1))
        assert len(read(recording.path)) >= (seconds - 1) * SAMPLE_RATE
    recording.close()


def test_full_disk_leaves_a_valid_file(tmp_path: Path) -> None:
    recording = CallRecording(tmp_path / "call.wav", "")
    recording.add(block(0.5, 1), block(0.25, 1))
    with limited_file_size(recording.path.stat().st_size + 1000):
        with pytest.raises(OSError, match="File too large"):
            recording.add(block(0.5, 1), block(0.25, 1))
        recording.close()
    assert len(read(recording.path)) == SAMPLE_RATE


def test_what_was_heard_of_a_reply_ends_where_it_was_stopped() -> None:
    inner = FakeAudioOutput(play_limit=0.25)
    output = RecordingOutput(inner, 1000)
    for level in (0.1, 0.2, 0.3):
        output.add(np.full(100, level, np.float32))
    output.clear()
    heard = output.take_heard()
    assert (heard.size, heard[-1]) == (250, np.float32(0.3))
    assert output.take_heard().size == 0


def test_a_lost_speaker_has_played_what_was_known_last() -> None:
    inner = FakeAudioOutput(play_limit=0.05)
    output = RecordingOutput(inner, 1000)
    output.add(np.ones(100, np.float32))
    assert output.played_seconds == 0.05
    inner.lost = True
    output.clear()
    assert output.take_heard().size == 50
