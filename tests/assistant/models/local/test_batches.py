"""Conversations answered together: word for word what each would be told alone, whoever else is asking."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from assistant.errors import ContextOverflow
from assistant.messages import Image, Message, assistant, system, user
from assistant.models.base import BatchModel, GenerationOptions
from assistant.models.local.model import LocalModel

WORDS = ("What is in this picture?", "A dog", "runs over the grass, and a child looks on.", "Who? 日本 😀")


@pytest.fixture(params=["llava", "llava-int8", "adapted-int8", "qwen"])
def load(request: pytest.FixtureRequest) -> Callable[[], LocalModel]:
    family, _, quantize = request.param.partition("-")
    folder: Path = request.getfixturevalue(f"{family}_folder")
    return lambda: LocalModel.load(str(folder), device="cpu", quantize=quantize or "none")


def alone(model: LocalModel, messages: Sequence[Message], options: GenerationOptions) -> str:
    return "".join(model.stream(messages, options, threading.Event()))


def together(
    model: BatchModel, conversations: Sequence[Sequence[Message]], options: GenerationOptions | None = None
) -> list[str]:
    return model.generate_batch(conversations, options or GenerationOptions(max_tokens=24), threading.Event())


def conversations(picture: Callable[[int], Image]) -> list[list[Message]]:
    """More than go side by side, of all lengths, with one, two and no pictures."""
    asked = [
        [user(WORDS[number % len(WORDS)] * (1 + number % 2), *[picture(number)] * (number % 3))] for number in range(14)
    ]
    return [*asked, [system("Be brief."), user("Look!", picture(1)), assistant("A dog."), user("And now?")]]


@pytest.mark.parametrize(
    "options", [GenerationOptions(max_tokens=24), GenerationOptions(max_tokens=12, temperature=1.5, seed=7)]
)
def test_each_is_told_what_it_would_be_told_alone(
    options: GenerationOptions, load: Callable[[], LocalModel], picture: Callable[[int], Image]
) -> None:
    asked = conversations(picture)
    single = load()
    expected = [alone(single, messages, options) for messages in asked]
    assert len(set(expected)) > len(expected) // 2
    assert len({len(text) for text in expected}) > 3
    model = load()
    assert together(model, asked, options) == expected
    # And warm, in another order, between other calls.
    assert alone(model, asked[3], options) == expected[3]
    assert together(model, asked[::-1], options) == expected[::-1]
    assert alone(model, asked[0], options) == expected[0]


def test_replies_may_grow_beyond_the_room_first_taken(load: Callable[[], LocalModel]) -> None:
    asked = [[user("dog " * count)] for count in (5, 120, 30)]
    options = GenerationOptions(max_tokens=10_000)
    single = load()
    assert together(load(), asked, options) == [alone(single, messages, options) for messages in asked]


def test_one_that_does_not_fit_is_refused_for_all(load: Callable[[], LocalModel]) -> None:
    model = load()
    with pytest.raises(ContextOverflow):
        together(model, [[user("Look!")], [user("dog " * 600)]])
    assert together(model, [[user("Look!")]])[0]


def test_nobody_asked_nothing_said(load: Callable[[], LocalModel]) -> None:
    assert together(load(), []) == []


def test_stopped_they_end(load: Callable[[], LocalModel]) -> None:
    stop = threading.Event()
    stop.set()
    assert load().generate_batch([[user("Look!")]] * 3, GenerationOptions(), stop) == ["", "", ""]


def test_what_gains_nothing_says_so(llava_folder: Path, qwen_folder: Path) -> None:
    assert LocalModel.load(str(llava_folder), device="cpu", quantize="int8").batch_size > 1
    assert LocalModel.load(str(qwen_folder), device="cpu", quantize="none").batch_size == 1
