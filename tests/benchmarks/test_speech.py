"""The benchmarks of speech measure what they say: noise as loud as told, sentences cut where they are marked."""

from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks.answers import Moments
from benchmarks.hearing import noisy, word_error_rate
from benchmarks.listening import pink
from benchmarks.utterances import QUESTIONS, STATEMENTS, begun, broken_off, spoken, whole
from tests.fakes.audio import Floats, tone


class Beeps:
    """A voice that beeps for each word, with silence between two."""

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
        assert whole(utterance).startswith(begun(utterance))
        assert begun(utterance)[-1].isalpha()


def test_a_sentence_is_cut_between_the_words_around_the_bar() -> None:
    sound = broken_off("one two | three four", Beeps())
    assert 2 * 0.4 - 0.1 <= sound.size / 16_000 <= 2 * 0.4
    np.testing.assert_array_equal(sound, spoken("one two three four", Beeps())[: sound.size])


@pytest.mark.parametrize("decibels", [20, 5])
def test_noise_is_as_far_below_speech_as_told(decibels: int) -> None:
    sound = tone(5.0).astype(np.float32)
    noise = noisy(sound, decibels, 0) - sound
    assert 20 * np.log10(np.std(sound) / np.std(noise)) == pytest.approx(decibels, abs=0.2)
    assert noisy(sound, None, 0) is sound
    assert 20 * np.log10(np.std(pink(5.0))) == pytest.approx(-40, abs=0.5)


def test_numerals_and_marks_are_no_errors_and_other_words_are() -> None:
    assert word_error_rate(["ten of clubs", "mister dashwood"], ["10 of clubs.", "Mr. Dashwood!"]) == 0
    assert word_error_rate(["the grey cat sleeps"], ["the great cat"]) == 0.5


def test_the_stages_are_the_whole_way() -> None:
    assert Moments(1.0, 1.5, 1.625, 2.0, 2.25).stages == (0.5, 0.125, 0.375, 0.25)
