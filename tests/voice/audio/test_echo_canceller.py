"""Echo cancellation: what is played disappears from what is heard, and what a person says stays."""

import numpy as np
import pytest

from tests.fakes.audio import Floats
from voice.audio.echo_canceller import EchoCanceller

RATE = 22_050
SECONDS = 6


def babble(seed: int, rate: int) -> Floats:
    """Something like speech: noise of changing colour in syllables."""
    generator = np.random.default_rng(seed)
    noise = np.convolve(generator.standard_normal(SECONDS * rate), np.ones(12) / 12, "same")
    syllables = np.repeat(generator.uniform(0, 1, SECONDS * 5 + 1) ** 2, rate // 5)[: SECONDS * rate]
    return (0.5 * noise * syllables).astype(np.float32)


def at_hearing_rate(samples: Floats) -> Floats:
    times = np.arange(SECONDS * 16_000) / 16_000
    return np.interp(times, np.arange(samples.size) / RATE, samples).astype(np.float32)


def cleaned(heard: Floats, played: Floats) -> Floats:
    canceller = EchoCanceller(RATE)
    blocks = range(SECONDS * 50)
    return np.concatenate([canceller.process(heard[at * 320 :][:320], played[at * 441 :][:441]) for at in blocks])


def decibels(samples: Floats) -> float:
    """Level of the second half, when the canceller has found the echo."""
    return float(10 * np.log10(np.mean(np.square(samples[samples.size // 2 :])) + 1e-12))


@pytest.mark.parametrize("delay", [0.03, 0.1, 0.25])
def test_an_echo_disappears(delay: float) -> None:
    played = babble(0, RATE)
    echo = 0.4 * np.concatenate([np.zeros(round(delay * 16_000), np.float32), at_hearing_rate(played)])
    heard = echo[: SECONDS * 16_000].astype(np.float32)
    assert decibels(cleaned(heard, played)) < decibels(heard) - 20


def test_a_person_stays() -> None:
    person = babble(1, 16_000)
    silence = np.zeros(SECONDS * RATE, np.float32)
    assert decibels(cleaned(person, silence)) == pytest.approx(decibels(person), abs=3)
