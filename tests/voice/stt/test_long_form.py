"""Long audio files: cut at pauses, with times from the beginning, in the language that was detected first."""

import tracemalloc
from collections.abc import Iterator
from typing import cast

import numpy as np
import pytest

from assistant.progress import no_progress
from tests.fakes.audio import Floats, WriteWave, tone
from tests.fakes.tone_recognizer import ToneRecognizer
from voice.audio.decode import AudioFile, open_audio
from voice.audio.types import SAMPLE_RATE
from voice.stt.long_form import CHUNK_SECONDS, FIRST_CHUNK_SECONDS, find_quietest_cut, transcribe

# A tone of two seconds begins every so many seconds.
PERIOD = 3.7


def beeps(seconds: float) -> Floats:
    samples = np.zeros(int(seconds * SAMPLE_RATE))
    for start in np.arange(0, seconds - 2, PERIOD):
        samples[int(start * SAMPLE_RATE) :][: 2 * SAMPLE_RATE] = tone(2.0)
    return samples


def test_no_tone_is_cut_and_times_count_from_the_beginning(write_wave: WriteWave) -> None:
    path = write_wave("long.wav", beeps(400))
    recognizer = ToneRecognizer()
    progress: list[tuple[int, int]] = []
    with open_audio(path) as audio:
        transcripts = list(transcribe(recognizer, audio, lambda _, done, total: progress.append((done, total))))
    segments = [segment for transcript in transcripts for segment in transcript.segments]
    starts = np.arange(0, 398, PERIOD)
    assert len(segments) == len(starts)
    np.testing.assert_allclose([segment.start for segment in segments], starts, atol=0.01)
    np.testing.assert_allclose([segment.words[0].end for segment in segments], starts + 2, atol=0.01)
    assert max(recognizer.chunk_seconds) <= CHUNK_SECONDS
    assert recognizer.chunk_seconds[0] <= FIRST_CHUNK_SECONDS
    assert progress[-1] == (400, 400)
    assert progress == sorted(progress)


def test_the_first_words_come_before_the_rest_is_decoded(write_wave: WriteWave) -> None:
    path = write_wave("long.wav", beeps(400))
    recognizer = ToneRecognizer()
    with open_audio(path) as audio:
        first = next(transcribe(recognizer, audio, no_progress))
    assert first.segments[0].start == pytest.approx(0, abs=0.01)
    assert len(recognizer.chunk_seconds) == 1


def test_the_language_of_the_first_words_is_kept(write_wave: WriteWave) -> None:
    samples = beeps(300)
    samples[: 60 * SAMPLE_RATE] = 0
    recognizer = ToneRecognizer(["de", "en"])
    with open_audio(write_wave("late.wav", samples)) as audio:
        transcripts = list(transcribe(recognizer, audio, no_progress))
    assert {(each.language, each.language_probability) for each in transcripts} == {("de", 0.9)}
    assert recognizer.requested_languages[0] is None
    assert recognizer.requested_languages[-1] == "de"


def test_an_uncertain_language_is_detected_again(write_wave: WriteWave) -> None:
    recognizer = ToneRecognizer(["cy", "de"], [0.4, 0.95])
    with open_audio(write_wave("long.wav", beeps(400))) as audio:
        transcripts = list(transcribe(recognizer, audio, no_progress))
    assert recognizer.requested_languages[:3] == [None, None, "de"]
    reported = [(each.language, each.language_probability) for each in transcripts]
    assert reported == [("cy", 0.4), *[("de", 0.95)] * (len(reported) - 1)]


def test_a_given_language_is_certain(write_wave: WriteWave) -> None:
    with open_audio(write_wave("long.wav", beeps(60))) as audio:
        transcripts = list(transcribe(ToneRecognizer(), audio, no_progress, "de"))
    assert {(each.language, each.language_probability) for each in transcripts} == {("de", 1.0)}


class ManyMinutes:
    """An audio file of which two seconds in each minute are loud, and whose header does not tell its length."""

    name = "long.opus"
    seconds = start_seconds = 0.0
    track = 1
    tracks = (1,)
    channel_names = ("mono",)

    def __init__(self, minutes: int) -> None:
        self._minutes = minutes
        self.notices: list[str] = []

    def channel_blocks(self) -> Iterator[Floats]:
        minute = np.zeros((1, 60 * SAMPLE_RATE), np.float32)
        minute[0, : 2 * SAMPLE_RATE] = tone(2.0)
        for _ in range(self._minutes):
            yield minute


def test_eight_hours_take_no_more_memory_than_ten_minutes() -> None:
    def peak_bytes(audio: ManyMinutes) -> tuple[int, int, list[int]]:
        """Return the peak memory, the number of segments, and the seconds of progress."""
        progress: list[int] = []
        tracemalloc.start()
        transcripts = transcribe(ToneRecognizer(), cast("AudioFile", audio), lambda _, done, __: progress.append(done))
        segments = sum(len(transcript.segments) for transcript in transcripts)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak, segments, progress

    short_peak, _, _ = peak_bytes(ManyMinutes(10))
    hours = ManyMinutes(8 * 60)
    long_peak, segments, progress = peak_bytes(hours)
    assert segments == 8 * 60
    assert progress[-1] == round(hours.seconds) == 8 * 3600
    assert len(progress) > 200
    # Eight hours in memory would be 48 times as much as ten minutes.
    assert long_peak < 2 * short_peak


def test_silence_has_no_transcript(write_wave: WriteWave) -> None:
    with open_audio(write_wave("still.wav", np.zeros(70 * SAMPLE_RATE))) as audio:
        assert list(transcribe(ToneRecognizer(), audio, no_progress)) == []
        assert audio.seconds == pytest.approx(70)


def test_the_cut_falls_into_the_quietest_pause() -> None:
    samples = np.asarray(tone(30.0), np.float32)
    samples[25 * SAMPLE_RATE : 26 * SAMPLE_RATE] *= 0.01
    assert 25 * SAMPLE_RATE < find_quietest_cut(samples) < 26 * SAMPLE_RATE


def test_samples_shorter_than_a_pause_are_not_cut() -> None:
    samples = np.asarray(tone(0.1), np.float32)
    assert find_quietest_cut(samples) == samples.size
