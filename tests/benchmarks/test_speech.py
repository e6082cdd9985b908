"""The benchmarks of speech measure what they say: noise of the stated level, and sentences cut at their bars."""

from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks.answers import STAGES, Timestamps
from benchmarks.hearing import add_noise, word_error_rate
from benchmarks.listening import pink_noise
from benchmarks.simulated_call import SimulatedMicrophone, SimulatedSpeaker
from benchmarks.utterances import (
    QUESTIONS,
    STATEMENTS,
    first_part,
    full_text,
    synthesize,
    synthesize_broken_off,
)
from tests.fakes.audio import Floats, tone


class BeepingVoice:
    """Beeps for each word, with silence between two."""

    sample_rate = 16_000

    def synthesize(self, sentence: str) -> Iterator[Floats]:
        for _ in sentence.split():
            yield np.concatenate([tone(0.3), np.zeros(1600)]).astype(np.float32)

    def close(self) -> None:
        pass


def test_each_sentence_has_one_bar_in_the_middle() -> None:
    assert len(QUESTIONS) == len(STATEMENTS) >= 20
    for utterance in (*QUESTIONS, *STATEMENTS):
        assert utterance.count(" | ") == 1
        assert full_text(utterance).startswith(first_part(utterance))
        assert first_part(utterance)[-1].isalpha()


def test_a_sentence_is_cut_between_the_words_around_the_bar() -> None:
    samples = synthesize_broken_off("one two | three four", BeepingVoice())
    assert 2 * 0.4 - 0.1 <= samples.size / 16_000 <= 2 * 0.4
    np.testing.assert_array_equal(samples, synthesize("one two three four", BeepingVoice())[: samples.size])


@pytest.mark.parametrize("decibels", [20, 5])
def test_noise_is_so_many_decibels_below_speech(decibels: int) -> None:
    samples = tone(5.0).astype(np.float32)
    noise = add_noise(samples, decibels, 0) - samples
    assert 20 * np.log10(np.std(samples) / np.std(noise)) == pytest.approx(decibels, abs=0.2)


def test_without_a_level_no_noise_is_added() -> None:
    samples = tone(0.1).astype(np.float32)
    assert add_noise(samples, None, 0) is samples


def test_the_noise_of_a_room_is_40_decibels_below_full_scale() -> None:
    assert 20 * np.log10(np.std(pink_noise(5.0))) == pytest.approx(-40, abs=0.5)


def test_numerals_and_punctuation_are_no_word_errors() -> None:
    assert word_error_rate(["ten of clubs", "mister dashwood"], ["10 of clubs.", "Mr. Dashwood!"]) == 0
    assert word_error_rate(["five five", "five five"], ["5 5", "Five, five"]) == 0
    assert word_error_rate(["the grey cat sleeps"], ["the great cat"]) == pytest.approx(0.5)


def test_the_stages_add_up_to_the_total() -> None:
    timestamps = Timestamps(1.0, 1.25, 1.5, 1.625, 2.0, 2.25, 2.5)
    assert timestamps.stages == pytest.approx((0.25, 0.25, 0.125, 0.375, 0.25, 0.25))
    assert len(timestamps.stages) == len(STAGES)
    assert sum(timestamps.stages) == pytest.approx(timestamps.total)


def test_what_was_over_before_its_turn_came_took_no_time() -> None:
    timestamps = Timestamps(1.0, 1.25, 2.0, 1.5, 2.25, 2.5, 2.75)
    assert timestamps.stages == pytest.approx((0.25, 0.75, 0.0, 0.25, 0.25, 0.25))


def test_the_speed_of_writing_counts_the_tokens_after_the_first() -> None:
    assert Timestamps(texts=[1.0, 1.5, 2.0]).tokens_per_second == 2
    assert Timestamps(texts=[1.0]).tokens_per_second == 0


async def test_the_simulated_microphone_says_when_a_clip_was_over() -> None:
    microphone = SimulatedMicrophone()
    microphone.say(tone(0.05).astype(np.float32))
    levels = []
    async for block in microphone.blocks():
        levels.append(float(np.abs(block).max()) > 0.01)
        if len(levels) == 5:
            microphone.close()
    assert levels == [True, True, True, False, False]
    assert microphone.speech_ended > 0


def test_the_simulated_speaker_plays_in_real_time_and_pauses() -> None:
    speaker = SimulatedSpeaker(1000)
    speaker.add(np.zeros(60_000, np.float32))
    assert speaker.started_at is not None
    speaker.pause()
    played = speaker.played_seconds
    assert 0 <= played < 60
    assert speaker.played_seconds == played
    speaker.resume()
    speaker.clear()
    assert speaker.played_seconds == 0
