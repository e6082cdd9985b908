"""Replies that end after some sentences."""

import threading

import pytest

from assistant.events import Usage
from assistant.messages import user
from assistant.models.base import GenerationOptions
from assistant.models.pocket.sentence_limit import stream_sentences
from assistant.models.scripted import ScriptedModel


def stream(reply: str, count: int, stop: threading.Event | None = None) -> tuple[str, Usage]:
    generator = stream_sentences(
        ScriptedModel(reply), [user("Hi")], GenerationOptions(), stop or threading.Event(), count
    )
    text = ""
    while True:
        try:
            text += str(next(generator))
        except StopIteration as end:
            usage: Usage = end.value
            return text, usage


@pytest.mark.parametrize(
    ("reply", "shown"),
    [
        ("A dog. It runs! Is it wet? Yes.", "A dog. It runs!"),
        ("A dog. It runs", "A dog. It runs"),
        ("Ein Hund, z. B. ein Dackel. Er rennt. Er bellt.", "Ein Hund, z. B. ein Dackel. Er rennt."),
        ("1. A dog. 2. A ball. 3. Grass.", "1. A dog. 2. A ball."),
        ('He says "Go." Then he goes. Gone.', 'He says "Go." Then he goes.'),
        ("\u4e00\u53ea\u72d7\u3002\u5b83\u8dd1\u3002\u5b83\u53eb\u3002", "\u4e00\u53ea\u72d7\u3002\u5b83\u8dd1\u3002"),
        ("It costs 2.50 euros. It is red. It is big.", "It costs 2.50 euros. It is red."),
    ],
)
def test_a_reply_ends_after_its_second_sentence(reply: str, shown: str) -> None:
    assert stream(reply, 2)[0].rstrip() == shown


def test_the_model_stops_and_tells_its_usage() -> None:
    text, usage = stream("One. " * 100, 3)
    assert text.rstrip() == "One. One. One."
    assert 3 <= usage.reply_tokens < 20


def test_a_stop_of_the_user_ends_it_sooner() -> None:
    stop = threading.Event()
    stop.set()
    assert stream("One two. Three.", 2, stop)[0] == ""
