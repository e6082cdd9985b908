"""Turn-taking: when speech begins, pauses and ends, whatever the blocks in which sound arrives."""

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
HASTY = VadParams(stop_secs=0.8)


def loudness(frame: Floats) -> float:
    """Stands in for the detector: what is loud is speech."""
    return float(np.abs(frame).mean())


def sound(*parts: tuple[float, float]) -> Floats:
    """Loudness and seconds, one after the other."""
    return np.concatenate([np.full(round(seconds * SECOND), level, np.float32) for level, seconds in parts])


def events_of(samples: Floats, block: int = 320, params: VadParams | None = None) -> list[tuple[float, TurnEvent]]:
    taking = UserTurnDetector(loudness, params)
    found: list[tuple[float, TurnEvent]] = []
    for start in range(0, samples.size, block):
        found += [((start + block) / SECOND, event) for event in taking.process(samples[start : start + block])]
    return found


def kinds(samples: Floats, params: VadParams | None = HASTY) -> list[type[TurnEvent]]:
    return [type(event) for _, event in events_of(samples, params=params)]


def test_a_turn_begins_soon_pauses_and_ends_with_all_that_was_said() -> None:
    found = events_of(sound((0, 1), (0.9, 2), (0, 2)), params=HASTY)
    (start, _), (pause, paused), (end, ended) = found
    assert [type(event) for _, event in found] == [UserStartedSpeaking, UserPaused, UserStoppedSpeaking]
    assert start == pytest.approx(1.1, abs=0.06)
    assert pause == pytest.approx(3.3, abs=0.06)
    assert end == pytest.approx(3.8, abs=0.06)
    assert isinstance(paused, UserPaused)
    assert isinstance(ended, UserStoppedSpeaking)
    assert (ended.samples > 0.5).sum() == pytest.approx(2 * SECOND, abs=FRAME_SAMPLES)
    assert ended.covered_by_pause
    assert np.abs(ended.samples[:FRAME_SAMPLES]).max() == 0, "what comes before the onset belongs to it"
    np.testing.assert_array_equal(ended.samples[: paused.samples.size], paused.samples)


def test_clicks_and_silence_are_no_speech() -> None:
    assert kinds(sound((0, 3), (0.9, 0.05), (0, 3), (0.9, 0.06), (0, 1))) == []


def test_a_person_who_thinks_is_not_cut_off() -> None:
    assert kinds(sound((0, 1), (0.9, 1), (0, 0.6), (0.9, 1), (0, 2))) == [
        UserStartedSpeaking,
        UserPaused,
        UserPaused,
        UserStoppedSpeaking,
    ]
    assert kinds(sound((0, 1), (0.9, 1), (0, 0.2), (0.9, 1), (0, 2))) == [
        UserStartedSpeaking,
        UserPaused,
        UserStoppedSpeaking,
    ]


def test_softer_speech_goes_on_but_does_not_begin() -> None:
    assert kinds(sound((0, 1), (0.4, 2), (0, 1))) == []
    assert kinds(sound((0, 1), (0.9, 1), (0.4, 2), (0, 1))) == [UserStartedSpeaking, UserPaused, UserStoppedSpeaking]


def test_long_speech_is_one_turn_in_parts_with_every_sample_of_it() -> None:
    words = np.concatenate([sound((0.9, 1.7), (0.5, 0.2))] * 40)
    words *= 1 + 1e-7 * np.arange(words.size, dtype=np.float32)
    found = [event for _, event in events_of(np.concatenate([words, sound((0, 3))]))]
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
    # The parts meet between two words.
    ends = np.cumsum([part.size for part in samples[:-1]])
    assert all(whole[end] < 0.6 for end in ends)


def test_a_pause_lasts_as_long_as_it_is_settled() -> None:
    for silence in (0.5, 1.2, 2.0):
        taking = UserTurnDetector(loudness)
        *_, paused = taking.process(sound((0.9, 1), (0, 0.35)))
        assert isinstance(paused, UserPaused)
        taking.set_silence_timeout(paused, silence)
        assert taking.process(sound((0, silence - 0.42))) == []
        (ended,) = taking.process(sound((0, 0.15)))
        assert isinstance(ended, UserStoppedSpeaking)


def test_a_pause_that_has_lasted_long_enough_ends_at_once() -> None:
    taking = UserTurnDetector(loudness)
    *_, paused = taking.process(sound((0.9, 1), (0, 1.5)))
    assert isinstance(paused, UserPaused)
    taking.set_silence_timeout(paused, 0.4)
    assert [type(event) for event in taking.process(sound((0, 0.1)))] == [UserStoppedSpeaking]


def test_what_was_settled_for_a_pause_does_not_count_in_the_next() -> None:
    taking = UserTurnDetector(loudness)
    *_, first = taking.process(sound((0.9, 1), (0, 0.5)))
    *_, second = taking.process(sound((0.9, 1), (0, 0.5)))
    assert isinstance(first, UserPaused)
    assert isinstance(second, UserPaused)
    taking.set_silence_timeout(first, 0.4)
    assert taking.process(sound((0, 1))) == []
    taking.set_silence_timeout(second, 0.4)
    assert [type(event) for event in taking.process(sound((0, 0.1)))] == [UserStoppedSpeaking]


@pytest.mark.parametrize(("silence", "paused"), [(0.0, False), (0.5, True)])
def test_the_end_of_the_sound_is_the_end_of_the_turn(silence: float, paused: bool) -> None:
    taking = UserTurnDetector(loudness)
    said = sound((0.9, 1.01), (0, silence))
    taking.process(said)
    (ended,) = taking.flush()
    assert isinstance(ended, UserStoppedSpeaking)
    assert ended.covered_by_pause == paused
    assert ended.samples.size == said.size, "the last samples, too, which fill no frame"
    assert taking.flush() == []
    assert UserTurnDetector(loudness).flush() == []


@settings(deadline=None)
@given(st.integers(100, 3000), st.lists(st.tuples(st.sampled_from([0.0, 0.4, 0.9]), st.floats(0, 1.5)), max_size=8))
def test_the_blocks_do_not_matter(block: int, parts: list[tuple[float, float]]) -> None:
    samples = sound((0, 0.1), *parts, (0, 2.1))
    whole = [event for _, event in events_of(samples, samples.size)]
    pieces = [event for _, event in events_of(samples, block)]
    assert [type(event) for event in pieces] == [type(event) for event in whole]
    for piece, one in zip(pieces, whole, strict=True):
        if isinstance(piece, UserStoppedSpeaking) and isinstance(one, UserStoppedSpeaking):
            np.testing.assert_array_equal(piece.samples, one.samples)


def test_frames_one_by_one_are_heard_as_a_whole_recording_is() -> None:
    generator = np.random.default_rng(0)
    samples = (0.1 * generator.standard_normal(100 * FRAME_SAMPLES)).astype(np.float32)
    samples += 0.3 * np.sign(np.sin(np.arange(samples.size) / 20)).astype(np.float32)
    whole = get_vad_model()(samples.copy()).reshape(-1)
    detect = SileroVad()
    np.testing.assert_allclose([detect(frame) for frame in samples.reshape(-1, FRAME_SAMPLES)], whole, atol=1e-4)
