"""Turn detection: when speech starts, pauses and ends, whatever the blocks in which audio arrives."""

import numpy as np
import pytest
from faster_whisper.vad import get_vad_model
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.audio import Floats
from voice.turns.vad import (
    FRAME_SAMPLES,
    SileroVad,
    SpeechChunk,
    TurnEvent,
    UserPaused,
    UserStartedSpeaking,
    UserStoppedSpeaking,
    UserTurnDetector,
    VadParams,
)

SECOND = 16_000
SHORT_STOP = VadParams(stop_secs=0.8)


def loudness(frame: Floats) -> float:
    """Stand in for the network: loud frames are speech."""
    return float(np.abs(frame).mean())


def audio(*parts: tuple[float, float]) -> Floats:
    """Join parts of constant level, each given as (level, seconds)."""
    return np.concatenate([np.full(round(seconds * SECOND), level, np.float32) for level, seconds in parts])


def events_of(samples: Floats, block: int = 320, params: VadParams | None = None) -> list[tuple[float, TurnEvent]]:
    detector = UserTurnDetector(loudness, params)
    found: list[tuple[float, TurnEvent]] = []
    for start in range(0, samples.size, block):
        found += [((start + block) / SECOND, event) for event in detector.process(samples[start : start + block])]
    return found


def event_types(samples: Floats, params: VadParams | None = SHORT_STOP) -> list[type[TurnEvent]]:
    return [type(event) for _, event in events_of(samples, params=params)]


def test_turn_starts_soon_pauses_and_ends_with_all_that_was_said() -> None:
    found = events_of(audio((0, 1), (0.9, 2), (0, 2)), params=SHORT_STOP)
    (start, _), (pause, paused), (end, ended) = found
    assert [type(event) for _, event in found] == [UserStartedSpeaking, UserPaused, UserStoppedSpeaking]
    assert start == pytest.approx(1.1, abs=0.06)
    assert pause == pytest.approx(3.2, abs=0.06)
    assert end == pytest.approx(3.8, abs=0.06)
    assert isinstance(paused, UserPaused)
    assert isinstance(ended, UserStoppedSpeaking)
    assert (ended.samples > 0.5).sum() == pytest.approx(2 * SECOND, abs=FRAME_SAMPLES)
    assert ended.covered_by_pause
    assert np.abs(ended.samples[:FRAME_SAMPLES]).max() == 0, "the pre-roll belongs to the turn"
    np.testing.assert_array_equal(ended.samples[: paused.samples.size], paused.samples)


def test_clicks_and_silence_are_not_speech() -> None:
    assert event_types(audio((0, 3), (0.9, 0.05), (0, 3), (0.9, 0.06), (0, 1))) == []


def test_pause_inside_a_turn_does_not_end_it() -> None:
    assert event_types(audio((0, 1), (0.9, 1), (0, 0.6), (0.9, 1), (0, 2))) == [
        UserStartedSpeaking,
        UserPaused,
        UserPaused,
        UserStoppedSpeaking,
    ]
    assert event_types(audio((0, 1), (0.9, 1), (0, 0.15), (0.9, 1), (0, 2))) == [
        UserStartedSpeaking,
        UserPaused,
        UserStoppedSpeaking,
    ]


def test_soft_speech_continues_a_turn_but_does_not_start_one() -> None:
    assert event_types(audio((0, 1), (0.4, 2), (0, 1))) == []
    assert event_types(audio((0, 1), (0.9, 1), (0.4, 2), (0, 1))) == [
        UserStartedSpeaking,
        UserPaused,
        UserStoppedSpeaking,
    ]


def test_long_turn_comes_in_chunks_with_every_sample_of_it() -> None:
    words = np.concatenate([audio((0.9, 1.7), (0.5, 0.2))] * 40)
    words *= 1 + 1e-7 * np.arange(words.size, dtype=np.float32)
    found = [event for _, event in events_of(np.concatenate([words, audio((0, 3))]))]
    assert [type(event) for event in found] == [
        UserStartedSpeaking,
        SpeechChunk,
        SpeechChunk,
        SpeechChunk,
        UserPaused,
        UserStoppedSpeaking,
    ]
    samples = [event.samples for event in found if isinstance(event, SpeechChunk | UserStoppedSpeaking)]
    assert all(part.size <= 30.1 * SECOND for part in samples[:-1])
    whole = np.concatenate(samples)
    np.testing.assert_array_equal(whole[: words.size], words)
    # Chunks are cut between two words.
    ends = np.cumsum([part.size for part in samples[:-1]])
    assert all(whole[end] < 0.6 for end in ends)


def test_silence_timeout_ends_the_turn() -> None:
    for silence in (0.5, 1.2, 2.0):
        detector = UserTurnDetector(loudness)
        *_, paused = detector.process(audio((0.9, 1), (0, 0.35)))
        assert isinstance(paused, UserPaused)
        detector.set_silence_timeout(paused, silence)
        assert detector.process(audio((0, silence - 0.42))) == []
        (ended,) = detector.process(audio((0, 0.15)))
        assert isinstance(ended, UserStoppedSpeaking)


def test_silence_timeout_that_has_passed_ends_the_turn_at_once() -> None:
    detector = UserTurnDetector(loudness)
    *_, paused = detector.process(audio((0.9, 1), (0, 1.5)))
    assert isinstance(paused, UserPaused)
    (ended,) = detector.set_silence_timeout(paused, 0.4)
    assert isinstance(ended, UserStoppedSpeaking)
    assert ended.samples.size == pytest.approx(2.5 * SECOND, abs=FRAME_SAMPLES)
    assert detector.process(audio((0, 0.1))) == []


def test_silence_timeout_of_one_pause_does_not_count_in_the_next() -> None:
    detector = UserTurnDetector(loudness)
    *_, first = detector.process(audio((0.9, 1), (0, 0.5)))
    *_, second = detector.process(audio((0.9, 1), (0, 0.5)))
    assert isinstance(first, UserPaused)
    assert isinstance(second, UserPaused)
    assert detector.set_silence_timeout(first, 0.4) == []
    assert detector.process(audio((0, 1))) == []
    assert [type(event) for event in detector.set_silence_timeout(second, 0.4)] == [UserStoppedSpeaking]


@pytest.mark.parametrize(("silence", "paused"), [(0.0, False), (0.5, True)])
def test_flush_ends_the_turn(silence: float, paused: bool) -> None:
    detector = UserTurnDetector(loudness)
    said = audio((0.9, 1.01), (0, silence))
    detector.process(said)
    (ended,) = detector.flush()
    assert isinstance(ended, UserStoppedSpeaking)
    assert ended.covered_by_pause == paused
    assert ended.samples.size == said.size, "including the last samples, which fill no frame"
    assert detector.flush() == []
    assert UserTurnDetector(loudness).flush() == []


@settings(deadline=None)
@given(st.integers(100, 3000), st.lists(st.tuples(st.sampled_from([0.0, 0.4, 0.9]), st.floats(0, 1.5)), max_size=8))
def test_block_size_does_not_matter(block: int, parts: list[tuple[float, float]]) -> None:
    samples = audio((0, 0.1), *parts, (0, 2.1))
    whole = [event for _, event in events_of(samples, samples.size)]
    pieces = [event for _, event in events_of(samples, block)]
    assert [type(event) for event in pieces] == [type(event) for event in whole]
    for piece, one in zip(pieces, whole, strict=True):
        if isinstance(piece, UserStoppedSpeaking) and isinstance(one, UserStoppedSpeaking):
            np.testing.assert_array_equal(piece.samples, one.samples)


def test_frame_by_frame_probabilities_equal_those_of_the_whole_audio() -> None:
    generator = np.random.default_rng(0)
    samples = (0.1 * generator.standard_normal(100 * FRAME_SAMPLES)).astype(np.float32)
    samples += 0.3 * np.sign(np.sin(np.arange(samples.size) / 20)).astype(np.float32)
    whole = get_vad_model()(samples.copy()).reshape(-1)
    vad = SileroVad()
    np.testing.assert_allclose([vad(frame) for frame in samples.reshape(-1, FRAME_SAMPLES)], whole, atol=1e-4)
