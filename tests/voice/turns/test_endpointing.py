"""How long a pause may last: what sounds done and reads done is over soon, and who thinks is waited for."""

import pytest

from voice.stt.base import Segment, Transcript
from voice.turns.endpointing import DEFAULT_SILENCE, LONG_SILENCE, SHORT_SILENCE, is_unfinished, silence_timeout


def said(text: str, language: str = "en") -> Transcript:
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
def test_something_comes_after_these(text: str, language: str) -> None:
    assert is_unfinished(text, language)
    assert silence_timeout(said(text, language), 0.99) == silence_timeout(said(text, language), None) == LONG_SILENCE


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
def test_nothing_has_to_come_after_these(text: str, language: str) -> None:
    assert not is_unfinished(text, language)


def test_what_sounds_and_reads_done_is_over_soon() -> None:
    assert silence_timeout(said("What time is it?"), 0.97) == SHORT_SILENCE
    assert silence_timeout(said("I am hungry."), 0.97) == SHORT_SILENCE
    assert silence_timeout(said(""), 0.01) == SHORT_SILENCE, "a cough keeps nobody waiting"


def test_the_two_signs_check_each_other() -> None:
    # Whisper leaves out the "um" that was heard.
    assert silence_timeout(said("I would like a table."), 0.01) == LONG_SILENCE
    # A whole question that sounds undecided, and surely unfinished.
    assert silence_timeout(said("Is it far?"), 0.3) == SHORT_SILENCE
    assert silence_timeout(said("Is it far?"), 0.01) == DEFAULT_SILENCE
    assert silence_timeout(said("I am hungry."), 0.3) == DEFAULT_SILENCE
    # No mark at the end: Whisper does not take it for a sentence.
    assert silence_timeout(said("She said she would"), 0.97) == DEFAULT_SILENCE
    assert silence_timeout(said("She said she would"), 0.3) == LONG_SILENCE


def test_where_the_sound_is_not_judged_silence_decides() -> None:
    assert {
        silence_timeout(said(text), None) for text in ("What time is it?", "I am hungry.", "She said she would")
    } == {DEFAULT_SILENCE}
