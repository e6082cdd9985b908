"""From a text to the sentences that are spoken, in the language that a voice reads."""

from collections.abc import Iterator

import numpy as np

from tests.fakes.audio import Floats
from voice.tts.base import SENTENCE_GAP_SECONDS, language_of, speak, spoken_sentences


class MultilingualVoice:
    """Yields one sample for each character."""

    sample_rate = 100

    def synthesize(self, sentence: str) -> Iterator[Floats]:
        yield np.ones(len(sentence), np.float32)

    def close(self) -> None:
        pass


class GermanVoice(MultilingualVoice):
    language = "de"


def test_markdown_becomes_sentences_without_markup() -> None:
    text = "# Cats\n\nThey cost **$5**. See [this](http://a.b).\n\n| a | b |\n|---|---|\n\n```\nx\n```\n\n👍"
    assert list(spoken_sentences([text])) == [
        "Cats.",
        "They cost 5 dollars.",
        "See this.",
        "a, b.",
        "Code left out.",
        "thumbs up.",
    ]


def test_a_voice_of_one_language_reads_in_that_language() -> None:
    assert language_of(GermanVoice(), "en") == "de"
    assert language_of(MultilingualVoice(), "en") == "en"


def test_numbers_become_words_in_english_only() -> None:
    (english,) = speak(["5 kg"], MultilingualVoice(), "en")
    (german,) = speak(["5 kg"], MultilingualVoice(), "de")
    (always_german,) = speak(["5 kg"], GermanVoice(), "en")
    assert english.size == len("5 kilograms.")
    assert german.size == always_german.size == len("5 kg.")


def test_there_is_a_gap_between_sentences_and_none_before_the_first() -> None:
    first, gap, second = speak(["Yes. No."], MultilingualVoice())
    assert first.all()
    assert second.all()
    assert not gap.any()
    assert gap.size == SENTENCE_GAP_SECONDS * MultilingualVoice.sample_rate
