"""How long a pause may last: what sounds done and reads done is over soon, and who thinks is waited for."""

import pytest

from voice.stt.base import Segment, Transcript
from voice.turns.endpointing import ORDINARY, PATIENT, SOON, is_unfinished, patience


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
    assert patience(said(text, language), 0.99) == patience(said(text, language), None) == PATIENT


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
    assert patience(said("What time is it?"), 0.97) == SOON
    assert patience(said("I am hungry."), 0.97) == SOON
    assert patience(said(""), 0.01) == SOON, "a cough keeps nobody waiting"


def test_the_two_signs_check_each_other() -> None:
    # Whisper leaves out the "um" that was heard.
    assert patience(said("I would like a table."), 0.01) == PATIENT
    # A whole question that sounds undecided, and surely unfinished.
    assert patience(said("Is it far?"), 0.3) == SOON
    assert patience(said("Is it far?"), 0.01) == ORDINARY
    assert patience(said("I am hungry."), 0.3) == ORDINARY
    # No mark at the end: Whisper does not take it for a sentence.
    assert patience(said("She said she would"), 0.97) == ORDINARY
    assert patience(said("She said she would"), 0.3) == PATIENT


def test_where_the_sound_is_not_judged_silence_decides() -> None:
    assert {patience(said(text), None) for text in ("What time is it?", "I am hungry.", "She said she would")} == {
        ORDINARY
    }
