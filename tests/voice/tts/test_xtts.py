"""XTTS: streaming, cloned voices, and names that it does not know."""

from ctypes.util import find_library
from pathlib import Path

import numpy as np
import pytest

from assistant.errors import ConfigError, MissingExtraError, ParleyError, VoiceError
from tests.fakes.audio import WriteWave, tone
from tests.fakes.coqui_voices import NEEDS_COQUI
from voice.tts import xtts

SENTENCE = "The cat sleeps in the sun, and nobody wakes it."


def test_missing_ffmpeg_is_reported_instead_of_a_bad_recording(tmp_path: Path) -> None:
    class Model:
        def get_conditioning_latents(self, audio_path: list[str]) -> None:
            raise RuntimeError("Failed to create AudioDecoder: Could not load libtorchcodec. Likely causes: …")

    with pytest.raises(MissingExtraError, match="apt install ffmpeg"):
        xtts._clone_voice(Model(), tmp_path / "voice.wav")


class TestWithThePackage:
    pytestmark = NEEDS_COQUI

    def test_audio_is_streamed_while_it_is_computed(self, xtts_folder: Path) -> None:
        voice = xtts.Xtts.load(str(xtts_folder), voice="Ada", device="cpu")
        chunks = list(voice.synthesize(SENTENCE))
        assert len(chunks) > 1
        assert all(chunk.dtype == np.float32 and chunk.ndim == 1 and np.abs(chunk).max() <= 1 for chunk in chunks)
        assert 1.0 < sum(chunk.size for chunk in chunks) / voice.sample_rate < 5.0

    @pytest.mark.skipif(find_library("avformat") is None, reason="needs FFmpeg")
    def test_different_recordings_give_different_voices(self, xtts_folder: Path, write_wave: WriteWave) -> None:
        low, high = (write_wave(f"{hertz}.wav", tone(3.0, 22_050, hertz), 22_050) for hertz in (120, 400))
        voices = [xtts.Xtts.load(str(xtts_folder), voice=str(path), device="cpu") for path in (low, high)]
        # Their audio is random, the speaker embeddings are not.
        one, other = (voice._voice[1] for voice in voices)
        assert not np.allclose(one.numpy(), other.numpy())
        assert next(voices[0].synthesize("Yes.")).size

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"voice": "Eve"}, ConfigError, "no speaker 'Eve': choose one of Ada"),
            ({"language": "fr"}, ConfigError, "does not speak 'fr': choose one of en, de"),
            ({"voice": "gone.wav"}, ConfigError, "There is no recording"),
        ],
    )
    def test_unknown_speakers_languages_and_recordings_are_errors(
        self, options: dict[str, str], error: type[ParleyError], message: str, xtts_folder: Path
    ) -> None:
        with pytest.raises(error, match=message):
            xtts.Xtts.load(str(xtts_folder), device="cpu", **options)

    def test_a_file_without_audio_is_an_error(self, xtts_folder: Path, tmp_path: Path) -> None:
        (tmp_path / "noise.wav").write_bytes(b"no sound")
        with pytest.raises(ParleyError, match=r"cannot be cloned|apt install ffmpeg"):
            xtts.Xtts.load(str(xtts_folder), device="cpu", voice=str(tmp_path / "noise.wav"))

    def test_a_folder_that_is_no_voice_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(VoiceError, match=r"no vocab\.json"):
            xtts.Xtts.load(str(tmp_path), device="cpu")
