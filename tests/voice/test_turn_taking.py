"""Turn-taking: when speech begins, pauses and ends, whatever the blocks in which sound arrives."""

import numpy as np
import pytest
from faster_whisper.vad import get_vad_model
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.voice.conftest import Floats
from voice.turn_taking import FRAME, Ended, Pace, Paused, SileroDetector, Started, TurnEvent, TurnTaking

SECOND = 16_000


def loudness(frame: Floats) -> float:
    """Stands in for the detector: what is loud is speech."""
    return float(np.abs(frame).mean())


def sound(*parts: tuple[float, float]) -> Floats:
    """Loudness and seconds, one after the other."""
    return np.concatenate([np.full(round(seconds * SECOND), level, np.float32) for level, seconds in parts])


def events_of(samples: Floats, block: int = 320, pace: Pace | None = None) -> list[tuple[float, TurnEvent]]:
    taking = TurnTaking(loudness, pace)
    found: list[tuple[float, TurnEvent]] = []
    for start in range(0, samples.size, block):
        found += [((start + block) / SECOND, event) for event in taking.feed(samples[start : start + block])]
    return found


def kinds(samples: Floats, pace: Pace | None = None) -> list[type[TurnEvent]]:
    return [type(event) for _, event in events_of(samples, pace=pace)]


def test_a_turn_begins_soon_pauses_and_ends_with_all_that_was_said() -> None:
    found = events_of(sound((0, 1), (0.9, 2), (0, 2)))
    (start, _), (pause, paused), (end, ended) = found
    assert [type(event) for _, event in found] == [Started, Paused, Ended]
    assert start == pytest.approx(1.1, abs=0.06)
    assert pause == pytest.approx(3.3, abs=0.06)
    assert end == pytest.approx(3.8, abs=0.06)
    assert isinstance(paused, Paused)
    assert isinstance(ended, Ended)
    assert (ended.samples > 0.5).sum() == pytest.approx(2 * SECOND, abs=FRAME)
    assert ended.paused
    assert np.abs(ended.samples[:FRAME]).max() == 0, "what comes before the onset belongs to it"
    np.testing.assert_array_equal(ended.samples[: paused.samples.size], paused.samples)


def test_clicks_and_silence_are_no_speech() -> None:
    assert kinds(sound((0, 3), (0.9, 0.05), (0, 3), (0.9, 0.06), (0, 1))) == []


def test_a_person_who_thinks_is_not_cut_off() -> None:
    assert kinds(sound((0, 1), (0.9, 1), (0, 0.6), (0.9, 1), (0, 2))) == [Started, Paused, Paused, Ended]
    assert kinds(sound((0, 1), (0.9, 1), (0, 0.2), (0.9, 1), (0, 2))) == [Started, Paused, Ended]


def test_softer_speech_goes_on_but_does_not_begin() -> None:
    assert kinds(sound((0, 1), (0.4, 2), (0, 1))) == []
    assert kinds(sound((0, 1), (0.9, 1), (0.4, 2), (0, 1))) == [Started, Paused, Ended]


def test_an_endless_utterance_is_cut() -> None:
    found = events_of(sound((0.9, 65)))
    assert [type(event) for _, event in found] == [Started, Ended, Started, Ended, Started]
    assert not any(event.paused for _, event in found if isinstance(event, Ended))
    assert all(event.samples.size <= 30.1 * SECOND for _, event in found if isinstance(event, Ended))


@settings(deadline=None)
@given(st.integers(100, 3000), st.lists(st.tuples(st.sampled_from([0.0, 0.4, 0.9]), st.floats(0, 1.5)), max_size=8))
def test_the_blocks_do_not_matter(block: int, parts: list[tuple[float, float]]) -> None:
    samples = sound((0, 0.1), *parts, (0, 1))
    whole = [event for _, event in events_of(samples, samples.size)]
    pieces = [event for _, event in events_of(samples, block)]
    assert [type(event) for event in pieces] == [type(event) for event in whole]
    for piece, one in zip(pieces, whole, strict=True):
        if isinstance(piece, Ended) and isinstance(one, Ended):
            np.testing.assert_array_equal(piece.samples, one.samples)


def test_frames_one_by_one_are_heard_as_a_whole_recording_is() -> None:
    generator = np.random.default_rng(0)
    samples = (0.1 * generator.standard_normal(100 * FRAME)).astype(np.float32)
    samples += 0.3 * np.sign(np.sin(np.arange(samples.size) / 20)).astype(np.float32)
    whole = get_vad_model()(samples.copy()).reshape(-1)
    detect = SileroDetector()
    np.testing.assert_allclose([detect(frame) for frame in samples.reshape(-1, FRAME)], whole, atol=1e-4)
