"""Recordings with several channels: whichever is chosen, no speech is lost."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.fakes.audio import Floats
from voice.audio.types import SAMPLE_RATE
from voice.stt.channels import ChannelChooser

SECONDS = 6


def voice(hertz: float, start: float, end: float, syllable: float = 0.2, level: float = 0.3) -> Floats:
    """Return syllables between two times: a tone that swells and fades."""
    times = np.arange(SECONDS * SAMPLE_RATE) / SAMPLE_RATE
    swell = np.clip(np.sin(np.pi * times / syllable), 0, 1)
    return np.asarray(level * np.sin(2 * np.pi * hertz * times) * swell * ((start <= times) & (times < end)))


def noise(level: float) -> Floats:
    return np.asarray(np.random.default_rng(0).normal(0, level, SECONDS * SAMPLE_RATE))


def find_tones(samples: Floats) -> NDArray[np.bool_]:
    """Find the frames in which one frequency between 200 and 1000 Hz stands out: what `voice` makes is speech here."""
    frames = samples[: samples.size // 512 * 512].reshape(-1, 512)
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(512), axis=1)) ** 2
    band = spectrum[:, 6:33]
    found = (band.max(axis=1) > 0.15 * spectrum.sum(axis=1)) & (np.abs(frames).max(axis=1) > 0.02)
    return np.asarray(found)


def chooser() -> ChannelChooser:
    return ChannelChooser(find_tones)


def seconds_of_speech(samples: Floats) -> float:
    return float(find_tones(samples).sum() * 512 / SAMPLE_RATE)


CALLER = voice(300, 0, 3)
AGENT = voice(500, 3, 6, 0.31)


@pytest.mark.parametrize(
    ("channels", "notice"),
    [
        ([CALLER], ""),
        ([CALLER, CALLER], ""),
        ([CALLER, 0.05 * CALLER], ""),
        ([CALLER + noise(0.01), CALLER], ""),
        ([CALLER, -CALLER], "cancel each other"),
        ([CALLER, -0.3 * CALLER], "cancel each other"),
        ([CALLER, np.zeros(CALLER.size)], "Only the left channel of a.wav was transcribed: others are silent"),
        ([noise(0.9), CALLER], "Only the right channel of a.wav was transcribed: others have less speech"),
        ([*[np.zeros(CALLER.size)] * 3, CALLER, *[np.zeros(CALLER.size)] * 2], "Only the low channel of a.wav"),
        ([*[noise(0.5)] * 2, CALLER, *[noise(0.3)] * 3], "Only the center channel of a.wav"),
        ([CALLER * 1e-3 + 0.5, np.full(CALLER.size, 0.5)], "Only the left channel"),
    ],
    ids=lambda value: None if isinstance(value, str) else f"{len(value)} channels",
)
def test_speech_is_heard_and_what_was_chosen_is_said(channels: list[Floats], notice: str) -> None:
    chosen = chooser()
    (heard,) = chosen.choose(np.stack(channels).astype(np.float32))
    assert seconds_of_speech(heard.samples) >= 0.8 * seconds_of_speech(CALLER)
    names = ("left", "right") if len(channels) == 2 else ("a", "b", "center", "low", "c", "d")
    said = chosen.notice("a.wav", names)
    assert notice in said
    assert bool(notice) == bool(said)


@pytest.mark.parametrize(
    "agent",
    [AGENT, 0.02 * AGENT, voice(500, 0, 3, 0.31), voice(500, 1, 6, 0.31)],
    ids=["after", "quiet", "over", "both"],
)
def test_two_people_on_two_channels_are_heard_separately(agent: Floats) -> None:
    chosen = chooser()
    left, right = chosen.choose(np.stack([CALLER, agent]).astype(np.float32))
    assert (left.channel, right.channel) == (0, 1)
    assert seconds_of_speech(left.samples) >= 0.8 * seconds_of_speech(CALLER)
    assert seconds_of_speech(right.samples) >= 0.8 * seconds_of_speech(agent * 0.3 / np.abs(agent).max())
    assert chosen.notice("call.wav", ("left", "right")) == (
        "The channels of call.wav hold different speech: left and right were transcribed separately."
    )


def test_what_leaks_into_the_other_channel_of_a_call_is_not_heard_twice() -> None:
    left, right = chooser().choose(np.stack([CALLER + 0.05 * AGENT, AGENT + 0.05 * CALLER]).astype(np.float32))
    later = 4 * SAMPLE_RATE
    assert not left.samples[later:].any()
    assert not right.samples[: 2 * SAMPLE_RATE].any()


def test_one_person_in_two_microphones_is_heard_once() -> None:
    delayed = np.roll(CALLER, 160) * 0.6 + noise(0.001)
    (heard,) = chooser().choose(np.stack([CALLER, delayed]).astype(np.float32))
    assert seconds_of_speech(heard.samples) >= 0.8 * seconds_of_speech(CALLER)


def test_people_at_four_microphones_are_all_heard() -> None:
    channels = [CALLER, AGENT, noise(0.02), noise(0.02)]
    (heard,) = chooser().choose(np.stack(channels).astype(np.float32))
    for speaker in (CALLER, AGENT):
        where = np.abs(speaker) > 0.2
        assert np.abs(heard.samples[where]).mean() > 0.01


def test_values_that_are_no_numbers_do_no_harm() -> None:
    wild = CALLER.copy()
    wild[::500] = np.nan
    wild[1::500] = np.inf
    wild[2::500] = 1e30
    (heard,) = chooser().choose(wild[None].astype(np.float32))
    assert np.isfinite(heard.samples).all()
    assert seconds_of_speech(heard.samples) > 0.5 * seconds_of_speech(CALLER)


def test_silence_and_nothing_are_heard_as_such() -> None:
    for size in (0, 1, 16_000):
        (heard,) = chooser().choose(np.zeros((2, size), np.float32))
        assert not heard.samples.any()
        assert heard.samples.size == size
