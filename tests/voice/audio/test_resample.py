"""Resampling: pitch and length stay, in one piece and block by block."""

import numpy as np
import pytest

from tests.fakes.audio import Floats, tone
from voice.audio.resample import Resampler


def resample(samples: Floats, source_rate: int, target_rate: int, block: int) -> Floats:
    resampler = Resampler(source_rate, target_rate)
    blocks = [resampler.process(samples[at : at + block]) for at in range(0, samples.size, block)]
    return np.concatenate([*blocks, resampler.flush()])


@pytest.mark.parametrize(("source_rate", "target_rate"), [(22_050, 16_000), (16_000, 48_000), (44_100, 16_000)])
def test_a_tone_keeps_its_pitch_and_length(source_rate: int, target_rate: int) -> None:
    samples = tone(1.0, source_rate).astype(np.float32)
    result = resample(samples, source_rate, target_rate, block=441)
    assert result.size == pytest.approx(target_rate, abs=32)
    spectrum = np.abs(np.fft.rfft(result * np.hanning(result.size)))
    assert int(np.argmax(spectrum)) * target_rate / result.size == pytest.approx(440, abs=2)
    assert np.abs(result).max() == pytest.approx(0.5, abs=0.05)


def test_the_size_of_blocks_does_not_matter() -> None:
    samples = tone(0.5, 22_050).astype(np.float32)
    small, large = (resample(samples, 22_050, 16_000, block) for block in (100, samples.size))
    assert small.size == large.size
    np.testing.assert_allclose(small, large, atol=1e-5)


def test_equal_rates_pass_samples_through() -> None:
    resampler = Resampler(16_000, 16_000)
    samples = tone(0.1).astype(np.float32)
    assert resampler.process(samples) is samples
    assert resampler.flush().size == 0


def test_a_flushed_resampler_starts_a_new_stream() -> None:
    samples = tone(0.5, 22_050).astype(np.float32)
    resampler = Resampler(22_050, 16_000)
    first, second = (np.concatenate([resampler.process(samples), resampler.flush()]) for _ in range(2))
    np.testing.assert_allclose(first, second, atol=1e-5)
