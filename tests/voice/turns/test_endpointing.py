"""Silence timeouts: short after turns that sound and read complete, long after unfinished ones."""

import pytest

from voice.stt.base import Segment, Transcript
from voice.turns.endpointing import DEFAULT_SILENCE, LONG_SILENCE, SHORT_SILENCE, is_unfinished, silence_timeout


def transcript(text: str, language: str = "en") -> Transcript:
    return Transcript((Segment(text, 0, 1),) if text else (), language, 1.0)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("I went to the market and", "en"),
        ("I went to the market and.", "en"),
        ("Which river runs through the?", "en"),
        ("Because...", "en"),
        ("Well,", "en"),
        ("I was, um,", "en"),
        ("Um.", "en"),
        ("Uh.", "en"),
        ("Hmm", "en"),
        ("I would say, hmm.", "en"),
        ("I would like a.", "en"),
        ("A", "en"),
        ("Ich war im Garten und", "de"),
        ("Ich bleibe hier, weil.", "de"),
        ("Je voudrais du pain et", "fr"),
        ("No puedo porque", "es"),
    ],
)
def test_unfinished_text_gets_a_long_silence(text: str, language: str) -> None:
    assert is_unfinished(text, language)
    assert (
        silence_timeout(transcript(text, language), 0.99)
        == silence_timeout(transcript(text, language), None)
        == LONG_SILENCE
    )


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Yes.", "en"),
        ("What are you looking for?", "en"),
        ("I hope so.", "en"),
        ("Turn it on", "en"),
        ("I got an A.", "en"),
        ("It is vitamin Y.", "es"),
        ("Hmm.", "en"),
        ("Hm.", "de"),
        ("Was ist das?", "de"),
        ("Ich lade dich ein.", "de"),
        ("Depuis quand ?", "fr"),
        ("The end und", "en"),
        ("И", "ru"),
        ("?", "en"),
        ("", "en"),
    ],
)
def test_text_that_may_be_complete_is_not_unfinished(text: str, language: str) -> None:
    assert not is_unfinished(text, language)


def test_complete_turn_gets_a_short_silence() -> None:
    assert silence_timeout(transcript("What time is it?"), 0.97) == SHORT_SILENCE
    assert silence_timeout(transcript("I am hungry."), 0.97) == SHORT_SILENCE
    assert silence_timeout(transcript(""), 0.01) == SHORT_SILENCE, "a cough does not hold the reply up"


def test_sound_and_words_check_each_other() -> None:
    # Whisper leaves out an "um".
    assert silence_timeout(transcript("I would like a table."), 0.01) == LONG_SILENCE
    # A complete question that sounds undecided, and one that sounds unfinished.
    assert silence_timeout(transcript("Is it far?"), 0.3) == SHORT_SILENCE
    assert silence_timeout(transcript("Is it far?"), 0.01) == DEFAULT_SILENCE
    assert silence_timeout(transcript("I am hungry."), 0.3) == DEFAULT_SILENCE
    # No mark at the end: for Whisper, this is no sentence.
    assert silence_timeout(transcript("She said she would"), 0.97) == DEFAULT_SILENCE
    assert silence_timeout(transcript("She said she would"), 0.3) == LONG_SILENCE


def test_without_a_model_the_default_silence_ends_a_turn() -> None:
    assert {
        silence_timeout(transcript(text), None) for text in ("What time is it?", "I am hungry.", "She said she would")
    } == {DEFAULT_SILENCE}
