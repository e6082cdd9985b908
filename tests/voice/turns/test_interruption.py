"""Interruptions, backchannels and echoes told apart."""

import pytest

from voice.turns.interruption import Decision, InterruptionClassifier, is_backchannel, is_echo
from voice.turns.utterance import Utterance

SPOKEN = "The cat is lying on the sofa in the sun. It is a grey cat, and it seems to be asleep."


@pytest.mark.parametrize("text", ["Mm-hm.", "Uh-huh", "Okay.", "Yeah, yeah.", "I see.", "Oh, nice!", "Right"])
def test_backchannels(text: str) -> None:
    assert is_backchannel(text)


@pytest.mark.parametrize("text", ["Stop.", "Wait", "No.", "Yes, but what about the dog?", "Okay, stop.", "Why?"])
def test_interruptions_are_neither_backchannel_nor_echo(text: str) -> None:
    assert not is_backchannel(text)
    assert not is_echo(text, SPOKEN)


@pytest.mark.parametrize(
    "text",
    [
        "The cat is lying on the sofa",
        "lying on the sofa in the son",
        "And it seems to be asleep.",
        "It is a great cat, and",
    ],
)
def test_echo_with_small_transcription_errors(text: str) -> None:
    assert is_echo(text, SPOKEN)


@pytest.mark.parametrize(
    "text",
    [
        "cat",
        "No, the cat is lying on the bed.",
        "Is the dog asleep on the floor?",
        "What is it?",
        "The sun is in the sky",
        "",
    ],
)
def test_same_words_in_another_sentence_are_no_echo(text: str) -> None:
    assert not is_echo(text, SPOKEN)


class Reply:
    spoken_text = SPOKEN


@pytest.mark.parametrize(
    ("text", "over_reply", "push_to_talk", "headphones", "decision"),
    [
        ("", True, True, False, "nothing"),
        ("Mm-hm.", True, False, False, "backchannel"),
        ("Mm-hm.", False, False, False, "turn"),
        ("Mm-hm.", True, True, False, "turn"),
        ("lying on the sofa in the sun", True, False, False, "echo"),
        ("lying on the sofa in the sun", False, False, False, "echo"),
        ("lying on the sofa in the sun", True, True, False, "turn"),
        ("lying on the sofa in the sun", True, False, True, "turn"),
        ("And the dog?", True, False, False, "turn"),
    ],
)
def test_classification(text: str, over_reply: bool, push_to_talk: bool, headphones: bool, decision: Decision) -> None:
    utterance = Utterance(1, 0.0, push_to_talk, interrupted_reply=Reply(), over_reply=over_reply)
    assert InterruptionClassifier(headphones=headphones).classify(text, utterance) == decision
