"""Phantom phrases go, and what people say stays."""

import pytest

from voice.stt.hallucinations import Evidence, is_phantom

SURE = Evidence(no_speech=0.05, logprob=-0.3, compression=1.1)
SILENT = Evidence(no_speech=0.8, logprob=-0.5, compression=1.1)
MUMBLED = Evidence(no_speech=0.2, logprob=-0.95, compression=1.1)


@pytest.mark.parametrize("evidence", [SILENT, MUMBLED])
@pytest.mark.parametrize(
    "text",
    [
        "Thank you.", "Thanks for watching!", "Thank you for watching, see you next time.", "you", "Bye-bye.",
        "Please like and subscribe to my channel.", "Subtitles by the Amara.org community", "Don't forget to subscribe",
        "Untertitelung des ZDF, 2020", "Sous-titrage ST' 501", "ご視聴ありがとうございました",
    ],
)  # fmt: skip
def test_phantoms_go_where_nothing_speaks_for_them(text: str, evidence: Evidence) -> None:
    assert is_phantom(text, evidence)


@pytest.mark.parametrize("text", ["Thank you.", "Bye.", "Okay.", "Thank you for watching.", "You.", "Music"])
def test_the_same_words_stay_where_they_were_surely_said(text: str) -> None:
    assert not is_phantom(text, SURE)


@pytest.mark.parametrize("evidence", [SURE, SILENT, MUMBLED])
def test_other_words_stay_however_doubtful(evidence: Evidence) -> None:
    assert not is_phantom("Thank you for the tea, it was watching paint dry.", evidence)
    assert not is_phantom("Where is the cat?", evidence)


@pytest.mark.parametrize(
    "text", ["[Music]", "(applause)", "♪♪♪", "♪ La la ♪", "[Music] (sighs).", "...", "", " - ", "*sighs*"]
)
def test_descriptions_of_sounds_and_bare_punctuation_always_go(text: str) -> None:
    assert is_phantom(text, SURE)


@pytest.mark.parametrize("text", ["(music) Hello there. (music)", "[door] Come in! [door]", "*sighs* No. *coughs*"])
def test_words_between_descriptions_stay(text: str) -> None:
    assert not is_phantom(text, SURE)


def test_one_phrase_over_and_over_goes() -> None:
    assert is_phantom("I am, I am, I am, I am, I am, I am", Evidence(0.1, -0.2, 4.2))
    assert is_phantom("Well: the next one is the next one is the next one is the next one is", Evidence(0.1, -0.2, 2.5))


def test_what_is_said_twice_stays() -> None:
    assert not is_phantom("The cat sleeps. The cat sleeps.", Evidence(0.1, -0.2, 2.6))
    assert not is_phantom("No, no, no, no!", Evidence(0.1, -0.2, 1.2))
