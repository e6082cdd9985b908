"""Long recordings: cut where it is quiet, timed from the beginning, in the language that was heard first."""

import tracemalloc
from collections.abc import Iterable, Iterator
from typing import cast

import numpy as np
import pytest

from assistant.progress import no_progress
from tests.fakes.audio import Floats, WriteWave, tone
from voice.audio.decode import Recording, open_recording
from voice.stt.base import Segment, Transcript, Word
from voice.stt.long_form import FIRST_STRETCH_SECONDS, STRETCH_SECONDS, quietest, transcribe

RATE = 16_000


class TellsTones:
    """Hears a word wherever there is sound: what a transcript says of times can be compared with where that is."""

    languages = ("en", "de")

    def __init__(self, detected: Iterable[str] = (), probabilities: Iterable[float] = ()) -> None:
        self.detected: Iterator[str] = iter(detected)
        self.probabilities: Iterator[float] = iter(probabilities)
        self.asked: list[str | None] = []
        self.lengths: list[float] = []

    def transcribe(self, samples: Floats, language: str | None = None) -> Transcript:
        self.asked.append(language)
        self.lengths.append(samples.size / RATE)
        loud = np.flatnonzero(np.abs(np.concatenate([[0.0], samples, [0.0]])) > 0.01)
        if not loud.size:
            return Transcript(language=language or "en")
        gaps = np.flatnonzero(np.diff(loud) > RATE // 10)
        starts = loud[np.concatenate([[0], gaps + 1])] / RATE
        ends = loud[np.concatenate([gaps, [loud.size - 1]])] / RATE
        segments = tuple(
            Segment("beep", start, end, (Word("beep", start, end, 1.0),))
            for start, end in zip(starts, ends, strict=True)
        )
        probability = 1.0 if language else next(self.probabilities, 0.9)
        return Transcript(segments, language or next(self.detected, "en"), probability)

    def close(self) -> None:
        pass


def beeps(seconds: float, every: float) -> Floats:
    """Two seconds of sound at the beginning of each period."""
    sound = np.zeros(int(seconds * RATE))
    for start in np.arange(0, seconds - 2, every):
        sound[int(start * RATE) :][: 2 * RATE] = tone(2.0)
    return sound


def test_no_word_is_cut_and_all_are_timed_from_the_beginning(write_wave: WriteWave) -> None:
    path = write_wave("long.wav", beeps(400, 3.7))
    engine = TellsTones()
    seen: list[tuple[int, int]] = []
    with open_recording(path) as recording:
        transcripts = list(transcribe(engine, recording, lambda _, done, total: seen.append((done, total))))
    segments = [segment for transcript in transcripts for segment in transcript.segments]
    wanted = np.arange(0, 398, 3.7)
    assert len(segments) == len(wanted)
    np.testing.assert_allclose([segment.start for segment in segments], wanted, atol=0.01)
    np.testing.assert_allclose([segment.words[0].end for segment in segments], wanted + 2, atol=0.01)
    assert max(engine.lengths) <= STRETCH_SECONDS
    assert engine.lengths[0] <= FIRST_STRETCH_SECONDS
    assert seen[-1] == (400, 400)
    assert seen == sorted(seen)


def test_the_first_words_come_before_the_rest_is_read(write_wave: WriteWave) -> None:
    path = write_wave("long.wav", beeps(400, 3.7))
    engine = TellsTones()
    with open_recording(path) as recording:
        first = next(transcribe(engine, recording, no_progress))
    assert first.segments[0].start == pytest.approx(0, abs=0.01)
    assert len(engine.lengths) == 1


def test_the_language_of_the_first_words_is_kept(write_wave: WriteWave) -> None:
    sound = beeps(300, 3.7)
    sound[: 60 * RATE] = 0
    engine = TellsTones(["de", "en"])
    with open_recording(write_wave("late.wav", sound)) as recording:
        transcripts = list(transcribe(engine, recording, no_progress))
    assert {(each.language, each.language_probability) for each in transcripts} == {("de", 0.9)}
    assert engine.asked[0] is None
    assert engine.asked[-1] == "de"


def test_a_doubtful_language_is_not_kept(write_wave: WriteWave) -> None:
    engine = TellsTones(["cy", "de"], [0.4, 0.95])
    with open_recording(write_wave("long.wav", beeps(400, 3.7))) as recording:
        transcripts = list(transcribe(engine, recording, no_progress))
    assert engine.asked[:3] == [None, None, "de"]
    told = [(each.language, each.language_probability) for each in transcripts]
    assert told == [("cy", 0.4), *[("de", 0.95)] * (len(told) - 1)]


def test_a_language_that_is_given_is_certain(write_wave: WriteWave) -> None:
    with open_recording(write_wave("long.wav", beeps(60, 3.7))) as recording:
        transcripts = list(transcribe(TellsTones(), recording, no_progress, "de"))
    assert {(each.language, each.language_probability) for each in transcripts} == {("de", 1.0)}


def test_eight_hours_take_no_more_memory_than_some_minutes() -> None:
    class Endless:
        """Eight hours, of which a second in a minute is loud."""

        name = "long.opus"
        seconds = 0.0

        def blocks(self) -> Iterator[Floats]:
            minute = np.zeros(60 * RATE, np.float32)
            minute[: 2 * RATE] = tone(2.0)
            for _ in range(8 * 60):
                yield minute

    seen: list[int] = []
    recording = cast("Recording", Endless())
    tracemalloc.start()
    heard = sum(
        len(each.segments) for each in transcribe(TellsTones(), recording, lambda _, done, __: seen.append(done))
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert heard == 8 * 60
    assert seen[-1] == round(recording.seconds) == 8 * 3600
    assert len(seen) > 200
    # A stretch is 7.7 MB; the eight hours would be 1,843.
    assert peak < 100e6


def test_silence_has_no_transcript(write_wave: WriteWave) -> None:
    with open_recording(write_wave("still.wav", np.zeros(70 * RATE))) as recording:
        assert list(transcribe(TellsTones(), recording, no_progress)) == []
        assert recording.seconds == pytest.approx(70)


def test_the_cut_falls_into_the_quietest_pause() -> None:
    sound = np.asarray(tone(30.0) + 0.0, np.float32)
    sound[25 * RATE : 26 * RATE] *= 0.01
    assert 25 * RATE < quietest(sound) < 26 * RATE
    assert quietest(sound[: RATE // 10]) == RATE // 10
