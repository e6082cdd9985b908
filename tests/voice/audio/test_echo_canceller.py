"""Echo cancellation: what is played disappears from what is heard, and what a person says stays."""

import numpy as np
import pytest

from tests.fakes.audio import Floats
from voice.audio.echo_canceller import EchoCanceller
from voice.audio.types import SAMPLE_RATE

FAR_RATE = 22_050
SECONDS = 6
BLOCKS_PER_SECOND = 50


def babble(seed: int, rate: int) -> Floats:
    """Return audio like speech: noise of changing loudness, in syllables."""
    generator = np.random.default_rng(seed)
    noise = np.convolve(generator.standard_normal(SECONDS * rate), np.ones(12) / 12, "same")
    syllables = np.repeat(generator.uniform(0, 1, SECONDS * 5 + 1) ** 2, rate // 5)[: SECONDS * rate]
    return (0.5 * noise * syllables).astype(np.float32)


def at_near_rate(samples: Floats) -> Floats:
    times = np.arange(SECONDS * SAMPLE_RATE) / SAMPLE_RATE
    return np.interp(times, np.arange(samples.size) / FAR_RATE, samples).astype(np.float32)


def cancel(near: Floats, far: Floats) -> Floats:
    canceller = EchoCanceller(FAR_RATE)
    near_size, far_size = SAMPLE_RATE // BLOCKS_PER_SECOND, FAR_RATE // BLOCKS_PER_SECOND
    return np.concatenate(
        [
            canceller.process(near[block * near_size :][:near_size], far[block * far_size :][:far_size])
            for block in range(SECONDS * BLOCKS_PER_SECOND)
        ]
    )


def decibels(samples: Floats) -> float:
    """Return the level of the second half, by which the canceller has found the echo."""
    return float(10 * np.log10(np.mean(np.square(samples[samples.size // 2 :])) + 1e-12))


@pytest.mark.parametrize("delay", [0.03, 0.1, 0.25])
def test_an_echo_is_removed(delay: float) -> None:
    far = babble(0, FAR_RATE)
    echo = 0.4 * np.concatenate([np.zeros(round(delay * SAMPLE_RATE), np.float32), at_near_rate(far)])
    near = echo[: SECONDS * SAMPLE_RATE].astype(np.float32)
    assert decibels(cancel(near, far)) < decibels(near) - 20


def test_a_person_is_kept() -> None:
    person = babble(1, SAMPLE_RATE)
    silence = np.zeros(SECONDS * FAR_RATE, np.float32)
    assert decibels(cancel(person, silence)) == pytest.approx(decibels(person), abs=3)
