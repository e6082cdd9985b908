"""Log-probabilities of given replies."""

import math
import threading
from collections.abc import Callable

import pytest

from assistant.errors import ModelError
from assistant.messages import user
from assistant.models.base import GenerationOptions, Scorer
from assistant.models.gguf.model import GgufModel
from assistant.models.gguf.reply import token_logprobs
from assistant.models.gguf.vocabulary import Vocabulary
from tests.fakes.generation import complete, complete_with_usage

LoadModel = Callable[..., GgufModel]
QUESTION = [user("What is in this picture?")]


def score(model: GgufModel, *candidates: str) -> list[tuple[float, ...]]:
    assert isinstance(model, Scorer)
    return model.score(QUESTION, candidates, threading.Event())


def test_each_token_and_the_end_have_a_log_probability(load_model: LoadModel) -> None:
    scores = score(load_model(), "x", "dog", "xyz")
    assert [len(each) for each in scores] == [2, 2, 4]
    assert all(value < 0 for each in scores for value in each)


def test_the_probabilities_of_all_first_tokens_add_up_to_no_more_than_one(load_model: LoadModel) -> None:
    letters = "abcdefghijklmnopqrstuvwxyz "
    first = [math.exp(each[0]) for each in score(load_model(), *letters)]
    assert 0 < sum(first) <= 1.001


def test_the_reply_that_the_model_gives_scores_best(load_model: LoadModel) -> None:
    model = load_model()
    reply = complete(model, *QUESTION, max_tokens=1, temperature=0)
    others = [letter for letter in "abcdefghijklmnopqrstuvwxyz" if letter != reply]
    best, *rest = score(model, reply, *others)
    assert best[0] >= max(each[0] for each in rest)


def test_scores_are_repeatable_whatever_came_before(load_model: LoadModel) -> None:
    model = load_model()
    once = score(model, "dog")
    complete(model, user("Something else."), max_tokens=5)
    assert score(model, "dog")[0] == pytest.approx(once[0], abs=1e-3)


def test_the_prompt_cache_holds_the_conversation_after_scoring(load_model: LoadModel) -> None:
    model = load_model()
    score(model, "dog", "cat")
    usage = complete_with_usage(model.stream(QUESTION, GenerationOptions(max_tokens=1), threading.Event()))[1]
    assert usage.cached_tokens >= usage.prompt_tokens - 1


def test_a_stop_returns_no_scores(load_model: LoadModel) -> None:
    stop = threading.Event()
    stop.set()
    assert load_model().score(QUESTION, ["dog"], stop) == []


def test_the_longest_tokens_are_taken_and_special_ones_are_text() -> None:
    tokens = ["<end>", "d", "o", "g", "dog", "Ġdog", "<", "e", "n", ">"]
    vocabulary = Vocabulary("gpt2", [token.encode() for token in tokens], frozenset({"<end>"}))
    assert vocabulary.tokenize("dog dog") == [4, 5]
    assert vocabulary.tokenize("<end>") == [6, 7, 8, 1, 9]
    with pytest.raises(ModelError, match="no token"):
        vocabulary.tokenize("x")


def test_other_tokenizers_are_refused() -> None:
    with pytest.raises(ModelError, match="'llama'"):
        Vocabulary("llama", [], frozenset())


def test_an_empty_reply_is_refused(load_model: LoadModel) -> None:
    with pytest.raises(ModelError, match="empty reply"):
        score(load_model(), "")


def test_a_model_whose_weights_are_damaged_gives_no_probabilities() -> None:
    answer = {"choices": [{"logprobs": {"content": [{"logprob": -1.5}, {"logprob": None}]}}]}
    with pytest.raises(ModelError, match="its weights are damaged"):
        token_logprobs(answer)
