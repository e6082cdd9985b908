"""WAV files: what is written is read back, and failures leave no partial file."""

import io
from pathlib import Path

import numpy as np
import pytest

from assistant.errors import VoiceError
from tests.fakes.audio import tone
from voice.audio.decode import open_audio
from voice.audio.types import SAMPLE_RATE
from voice.audio.wav import WavFile


def test_samples_are_written_and_read_back(tmp_path: Path) -> None:
    samples = tone(0.5).astype(np.float32)
    with WavFile(tmp_path / "tone.wav", SAMPLE_RATE) as file:
        file.write(samples[:1000])
        file.write(samples[1000:])
    with open_audio(tmp_path / "tone.wav") as audio:
        np.testing.assert_allclose(np.concatenate(list(audio.blocks())), samples, atol=1e-4)


def test_samples_beyond_full_scale_are_clipped() -> None:
    stream = io.BytesIO()
    with WavFile(stream, SAMPLE_RATE) as file:
        file.write(np.array([2.0, -2.0], np.float32))
    stream.seek(0)
    with open_audio(stream) as audio:
        np.testing.assert_allclose(np.concatenate(list(audio.blocks())), [1, -1], atol=1e-3)


def test_an_exception_leaves_the_existing_file_and_no_partial_one(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    path.write_bytes(b"existing")

    def write_and_fail() -> None:
        with WavFile(path, SAMPLE_RATE) as file:
            file.write(tone(0.1).astype(np.float32))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_and_fail()
    assert path.read_bytes() == b"existing"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_no_target(tmp_path: Path) -> None:
    with pytest.raises(VoiceError, match="is not a regular file"):
        WavFile(tmp_path, SAMPLE_RATE)


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(VoiceError, match="cannot be written"):
        WavFile(tmp_path / "gone" / "tone.wav", SAMPLE_RATE)
