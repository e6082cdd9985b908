"""Phrases that Whisper invents are dropped, and what people say is kept."""

import pytest

from voice.stt.hallucinations import SegmentStats, is_hallucination

CLEAR = SegmentStats(no_speech_prob=0.05, avg_logprob=-0.3, compression_ratio=1.1)
SILENT = SegmentStats(no_speech_prob=0.8, avg_logprob=-0.5, compression_ratio=1.1)
UNCERTAIN = SegmentStats(no_speech_prob=0.2, avg_logprob=-0.95, compression_ratio=1.1)


@pytest.mark.parametrize("stats", [SILENT, UNCERTAIN])
@pytest.mark.parametrize(
    "text",
    [
        "Thank you.", "Thanks for watching!", "Thank you for watching, see you next time.", "you", "Bye-bye.",
        "Please like and subscribe to my channel.", "Subtitles by the Amara.org community", "Don't forget to subscribe",
        "Untertitelung des ZDF, 2020", "Sous-titrage ST' 501", "ご視聴ありがとうございました",
    ],
)  # fmt: skip
def test_typical_phrases_are_dropped_where_speech_is_doubtful(text: str, stats: SegmentStats) -> None:
    assert is_hallucination(text, stats)


@pytest.mark.parametrize("text", ["Thank you.", "Bye.", "Okay.", "Thank you for watching.", "You.", "Music"])
def test_the_same_phrases_are_kept_where_speech_is_clear(text: str) -> None:
    assert not is_hallucination(text, CLEAR)


@pytest.mark.parametrize("stats", [CLEAR, SILENT, UNCERTAIN])
@pytest.mark.parametrize("text", ["Thank you for the tea, it was watching paint dry.", "Where is the cat?"])
def test_other_words_are_always_kept(text: str, stats: SegmentStats) -> None:
    assert not is_hallucination(text, stats)


@pytest.mark.parametrize(
    "text", ["[Music]", "(applause)", "♪♪♪", "♪ La la ♪", "[Music] (sighs).", "...", "", " - ", "*sighs*"]
)
def test_descriptions_of_sounds_and_bare_punctuation_are_always_dropped(text: str) -> None:
    assert is_hallucination(text, CLEAR)


@pytest.mark.parametrize("text", ["(music) Hello there. (music)", "[door] Come in! [door]", "*sighs* No. *coughs*"])
def test_words_between_descriptions_of_sounds_are_kept(text: str) -> None:
    assert not is_hallucination(text, CLEAR)


@pytest.mark.parametrize(
    ("text", "compression_ratio"),
    [
        ("I am, I am, I am, I am, I am, I am", 4.2),
        ("Well: the next one is the next one is the next one is the next one is", 2.5),
    ],
)
def test_a_phrase_in_a_loop_is_dropped(text: str, compression_ratio: float) -> None:
    assert is_hallucination(text, SegmentStats(0.1, -0.2, compression_ratio))


@pytest.mark.parametrize(
    ("text", "compression_ratio"), [("The cat sleeps. The cat sleeps.", 2.6), ("No, no, no, no!", 1.2)]
)
def test_a_few_repetitions_are_kept(text: str, compression_ratio: float) -> None:
    assert not is_hallucination(text, SegmentStats(0.1, -0.2, compression_ratio))
