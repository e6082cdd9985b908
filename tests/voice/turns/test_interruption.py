"""What interrupts Parley, and what does not."""

import pytest

from voice.turns.interruption import is_backchannel, is_echo

SAID = "The cat is lying on the sofa in the sun. It is a grey cat, and it seems to be asleep."


@pytest.mark.parametrize("text", ["Mm-hm.", "Uh-huh", "Okay.", "Yeah, yeah.", "I see.", "Oh, nice!", "Right"])
def test_listeners_noises(text: str) -> None:
    assert is_backchannel(text)


@pytest.mark.parametrize("text", ["Stop.", "Wait", "No.", "Yes, but what about the dog?", "Okay, stop.", "Why?"])
def test_interruptions(text: str) -> None:
    assert not is_backchannel(text)
    assert not is_echo(text, SAID)


@pytest.mark.parametrize(
    "text",
    [
        "The cat is lying on the sofa",
        "lying on the sofa in the son",
        "And it seems to be asleep.",
        "It is a great cat, and",
    ],
)
def test_its_own_voice_misheard_a_little(text: str) -> None:
    assert is_echo(text, SAID)


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
def test_the_same_words_in_another_sentence(text: str) -> None:
    assert not is_echo(text, SAID)
