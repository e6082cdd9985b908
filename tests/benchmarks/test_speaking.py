"""The benchmark of voices: its sentences, and what counts as lost."""

import pytest

from benchmarks.speaking import Heard, installed, word_errors
from benchmarks.spoken_sentences import KINDS
from voice.tts.text_cleanup import spoken_text


def test_there_are_a_hundred_sentences_of_several_kinds() -> None:
    sentences = [text for kind in KINDS.values() for text, _ in kind]
    assert len(KINDS) >= 6
    assert len(sentences) == len(set(sentences)) >= 100
    assert all(spoken_text(text) for text in sentences)


def test_the_bundled_voice_is_measured_first() -> None:
    assert next(installed()) == "hibari"


@pytest.mark.parametrize(
    ("kind", "wanted", "heard", "lost"),
    [
        ("plain", "The cat sleeps today.", "the cat sleeps, today", 0),
        ("plain", "The cat sleeps today.", "The cat sleeps.", 25),
        ("numbers", "It costs 5 dollars.", "It costs five dollars.", 0),
        ("codes", "Call 5551234.", "Call 5-5-5-1-2-3-4.", 0),
        ("codes", "Code 4711", "Code 4712", 12.5),
    ],
)
def test_what_is_lost(kind: str, wanted: str, heard: str, lost: float) -> None:
    result = Heard()
    result.transcripts[kind].append((wanted, heard))
    (figure,) = word_errors(kind, {"a voice": result})
    assert figure.median == pytest.approx(lost)
