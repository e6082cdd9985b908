"""Log-probabilities of given replies: the same alone and beside others, and without effect on the prompt cache."""

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
from tests.fakes.generation import complete, complete_with_usage
from tests.fakes.tiny_models import clear_caches, decoder_of

CANDIDATES = ["Yes.", "No, it is a dog that runs over the grass.", "", "日本 😀", "<|im_end|> a dog <image>"]

Load = Callable[[], LocalModel]


@pytest.fixture(
    scope="module",
    params=[
        *("llava", "llava-int8", "adapted-int8", "qwen", "gemma"),
        *(pytest.param(family, marks=pytest.mark.gpu_stack) for family in ("qwen3_vl", "smolvlm2", "internvl")),
    ],
)
def load(request: pytest.FixtureRequest) -> Load:
    family, _, quantize = request.param.partition("-")
    folder: Path = request.getfixturevalue(f"{family}_folder")
    return lambda: LocalModel.load(str(folder), device="cpu", quantize=quantize or "none")


@pytest.fixture(scope="module")
def shared_model(load: Load) -> LocalModel:
    return load()


@pytest.fixture
def model(shared_model: LocalModel) -> LocalModel:
    clear_caches(shared_model)
    return shared_model


@pytest.fixture(scope="module")
def other(load: Load) -> LocalModel:
    return load()


def score(model: Scorer, messages: Sequence[Message], *candidates: str) -> list[tuple[float, ...]]:
    return model.score(messages, candidates, threading.Event())


def reply(model: LocalModel, messages: Sequence[Message]) -> tuple[str, int]:
    """Return the model's reply and the number of cached prompt tokens."""
    stream = model.stream(messages, GenerationOptions(max_tokens=12), threading.Event())
    text, usage = complete_with_usage(stream)
    return text, usage.cached_tokens


def tolerance(model: LocalModel) -> float:
    """Return by how much log-probabilities may differ: one unit of an int8 activation moves them most."""
    return 0.05 if model.info.quantization == "int8" else 2e-3


def score_token_by_token(model: LocalModel, messages: Sequence[Message], candidate: str) -> tuple[float, ...]:
    """Score the way replies are generated: process a token, look at the logits after it."""
    decoder = decoder_of(model)
    clear_caches(model)
    with torch.inference_mode():
        prompt = model._build_prompt(messages, 0)
        decoder.crop(prompt, 0)
        logits = decoder.forward(prompt, 0, len(prompt))
        logprobs = []
        for token in model._template.tokenize_reply(candidate):
            logprobs.append(float(torch.log_softmax(logits, 0)[token]))
            prompt.append(token)
            logits = decoder.forward(prompt, len(prompt) - 1, len(prompt))
        end = torch.softmax(logits, 0)[sorted(model._eos_token_ids)].sum()
    return (*logprobs, float(end.log()))


def test_candidates_beside_others_score_as_token_by_token(
    model: LocalModel, other: LocalModel, make_image: Callable[[int], Image]
) -> None:
    for messages in ([user("What is this?")], [user("Is it a dog?", make_image(1))]):
        for candidate, logprobs in zip(CANDIDATES, score(model, messages, *CANDIDATES), strict=True):
            expected = score_token_by_token(other, messages, candidate)
            assert len(logprobs) == len(expected)
            assert logprobs == pytest.approx(expected, abs=tolerance(model)), candidate


def test_scoring_leaves_the_prompt_cache_as_it_was(
    model: LocalModel, other: LocalModel, make_image: Callable[[int], Image]
) -> None:
    clear_caches(other)
    opening = [user("What is this?", make_image(1))]
    for each in (other, model):
        text, _ = reply(each, opening)
    conversation = [*opening, assistant(text), user("And now?")]
    expected = reply(other, conversation)
    score(model, opening, *CANDIDATES)
    score(model, conversation, *CANDIDATES)
    found = reply(model, conversation)
    assert found[1] >= expected[1]
    if model.info.quantization != "int8":  # There a near tie of random weights may go either way.
        assert found[0] == expected[0]
    for one, another in zip(score(model, conversation, "Yes."), score(other, conversation, "Yes."), strict=True):
        assert one == pytest.approx(another, abs=tolerance(model))


def test_the_greedy_reply_has_the_highest_score(model: LocalModel) -> None:
    # With random weights the first token may be a part of a character, which no candidate can begin with.
    for number in range(20):
        question = user(f"What is in picture {number}?")
        first = complete(model, question, max_tokens=1)
        if first and "\N{REPLACEMENT CHARACTER}" not in first and len(model._template.tokenize_reply(first)) == 1:
            break
    else:
        pytest.fail("No first token is a text of its own.")
    greedy, *others = score(model, [question], first, "Yes", "dog", "A")
    assert all(greedy[0] >= logprobs[0] for logprobs in others)


def test_a_prompt_or_candidate_that_does_not_fit_is_refused(model: LocalModel) -> None:
    too_long = "dog " * model.info.context_tokens
    with pytest.raises(ContextOverflow):
        score(model, [user(too_long)], "Yes.")
    with pytest.raises(ContextOverflow):
        score(model, [user("dog")], too_long)
    assert score(model, [user("dog")], "Yes.")


def test_stopped_before_it_begins_it_returns_nothing(model: LocalModel) -> None:
    stop = threading.Event()
    stop.set()
    assert model.score([user("dog")], ["Yes."], stop) == []


def test_the_scripted_model_finds_its_next_reply_likely() -> None:
    model = ScriptedModel("A red dog")
    right, wrong, short = score(model, [user("What?")], "A red dog", "A blue dog", "A red")
    assert right == pytest.approx((math.log(0.9),) * 4)
    assert wrong == pytest.approx((math.log(0.9), math.log(0.1), math.log(0.9), math.log(0.9)))
    assert short == pytest.approx((math.log(0.9), math.log(0.9), math.log(0.1)))
    assert complete(model, user("What?")) == "A red dog"
