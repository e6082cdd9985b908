"""How likely a given reply is: the same whether it is read alone or beside others, and without a trace afterwards."""

import math
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from assistant.errors import ContextOverflow
from assistant.messages import Image, Message, assistant, user
from assistant.models.base import GenerationOptions, Scorer
from assistant.models.local.model import LocalModel
from assistant.models.scripted import ScriptedModel

OPTIONS = ["Yes.", "No, it is a dog that runs over the grass.", "", "日本 😀", "<|im_end|> a dog <image>"]


@pytest.fixture(
    params=[
        *("llava", "llava-int8", "adapted-int8", "qwen", "gemma"),
        *(pytest.param(family, marks=pytest.mark.gpu_stack) for family in ("qwen3_vl", "smolvlm2", "internvl")),
    ]
)
def load(request: pytest.FixtureRequest) -> Callable[[], LocalModel]:
    family, _, quantize = request.param.partition("-")
    folder: Path = request.getfixturevalue(f"{family}_folder")
    return lambda: LocalModel.load(str(folder), device="cpu", quantize=quantize or "none")


def score(model: Scorer, messages: Sequence[Message], *options: str) -> list[tuple[float, ...]]:
    return model.score(messages, options, threading.Event())


def reply(model: LocalModel, messages: Sequence[Message]) -> tuple[str, int]:
    stream = model.stream(messages, GenerationOptions(max_tokens=12), threading.Event())
    pieces = []
    while True:
        try:
            pieces.append(next(stream))
        except StopIteration as end:
            return "".join(pieces), end.value.cached_tokens


def one_by_one(model: LocalModel, messages: Sequence[Message], option: str) -> tuple[float, ...]:
    """The same by the way replies are written: a token is read, and then there are logits for the next."""
    with torch.inference_mode():
        prompt = model._prompt(messages, 0)
        model._reuse(prompt)
        logits = model._read_prompt(prompt, model._reuse(prompt), threading.Event())
        chances = []
        for token in model._format.tokenize_reply(option):
            assert logits is not None
            chances.append(float(torch.log_softmax(logits, 0)[token]))
            prompt.append(token)
            logits = model._read(prompt, len(prompt) - 1, len(prompt))
        assert logits is not None
        ends = torch.softmax(logits, 0)[sorted(model._end_tokens)].sum()
    return (*chances, float(ends.log()))


def test_side_by_side_is_as_likely_as_word_by_word(
    load: Callable[[], LocalModel], picture: Callable[[int], Image]
) -> None:
    model, other = load(), load()
    for messages in ([user("What is this?")], [user("Is it a dog?", picture(1))]):
        scored = score(model, messages, *OPTIONS)
        for option, chances in zip(OPTIONS, scored, strict=True):
            expected = one_by_one(other, messages, option)
            assert len(chances) == len(expected)
            assert chances == pytest.approx(expected, abs=2e-3), option


def test_scoring_leaves_the_conversation_as_warm_as_it_was(
    load: Callable[[], LocalModel], picture: Callable[[int], Image]
) -> None:
    opening = [user("What is this?", picture(1))]
    plain, scored = load(), load()
    for model in (plain, scored):
        said, _ = reply(model, opening)
    conversation = [*opening, assistant(said), user("And now?")]
    expected = reply(plain, conversation)
    score(scored, opening, *OPTIONS)
    score(scored, conversation, *OPTIONS)
    found = reply(scored, conversation)
    assert found[0] == expected[0]
    assert found[1] >= expected[1]


def test_the_likeliest_reply_is_the_one_it_gives(load: Callable[[], LocalModel]) -> None:
    model = load()
    question = [user("What is in this picture?")]
    stream = model.stream(question, GenerationOptions(max_tokens=1), threading.Event())
    first = next(stream)
    if "\N{REPLACEMENT CHARACTER}" in first or len(model._format.tokenize_reply(first)) != 1:
        pytest.skip("The first token of these random weights is no text of its own.")
    given, *others = score(model, question, first, "Yes", "dog", "A")
    assert all(given[0] >= chances[0] for chances in others)


def test_what_does_not_fit_is_refused(load: Callable[[], LocalModel]) -> None:
    model = load()
    too_long = "dog " * model.info.context_tokens
    with pytest.raises(ContextOverflow):
        score(model, [user(too_long)], "Yes.")
    with pytest.raises(ContextOverflow):
        score(model, [user("dog")], too_long)
    assert score(model, [user("dog")], "Yes.")


def test_stopped_before_it_begins_it_says_nothing(load: Callable[[], LocalModel]) -> None:
    stop = threading.Event()
    stop.set()
    assert load().score([user("dog")], ["Yes."], stop) == []


def test_the_scripted_model_finds_likely_what_it_is_about_to_say() -> None:
    model = ScriptedModel("A red dog")
    right, wrong, short = score(model, [user("What?")], "A red dog", "A blue dog", "A red")
    assert right == pytest.approx((math.log(0.9),) * 4)
    assert wrong == pytest.approx((math.log(0.9), math.log(0.1), math.log(0.9), math.log(0.9)))
    assert short == pytest.approx((math.log(0.9), math.log(0.9), math.log(0.1)))
    assert "".join(model.stream([user("What?")], GenerationOptions(), threading.Event())) == "A red dog"
