"""Sampling options as llama.cpp gets them, with a model's own recommendations."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from assistant.messages import user
from assistant.models.base import GenerationOptions
from assistant.models.gguf.metadata import GgufMetadata, read_metadata
from assistant.models.gguf.model import GgufModel
from assistant.models.gguf.sampling import recommended, to_request
from tests.fakes.generation import complete, complete_with_usage

LoadModel = Callable[..., GgufModel]
QUESTION = user("What is in this picture?")


@pytest.fixture
def metadata(write_gguf: Callable[..., Path]) -> GgufMetadata:
    return read_metadata(write_gguf())


def test_a_model_that_recommends_nothing_is_greedy(metadata: GgufMetadata) -> None:
    request = to_request(GenerationOptions(), recommended(metadata))
    assert request["temperature"] == 0
    assert request["repeat_penalty"] == 1


def test_a_file_recommends_its_sampling(metadata: GgufMetadata) -> None:
    written = replace(metadata, sampling={"temp": 0.6, "top_k": 40, "penalty_repeat": 1.2})
    request = to_request(GenerationOptions(), recommended(written))
    assert (request["temperature"], request["top_k"], request["repeat_penalty"]) == (0.6, 40, 1.2)
    assert request["top_p"] == 1, "what is not recommended is off"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -3.0])
def test_a_recommendation_that_makes_no_sense_is_left_out(metadata: GgufMetadata, value: float) -> None:
    assert recommended(replace(metadata, sampling={"temp": value, "min_p": 0.1})) == {"min_p": 0.1}


@pytest.mark.parametrize(
    "absurd", [{"temp": 50.0}, {"top_p": 0.0}, {"top_p": 7.0}, {"min_p": 3.0}, {"top_k": 1e30}, {"penalty_repeat": 0.0}]
)
def test_a_recommendation_that_no_setting_allows_is_left_out(metadata: GgufMetadata, absurd: dict[str, float]) -> None:
    assert recommended(replace(metadata, sampling=absurd)) == {}


def test_a_top_k_below_zero_means_off(metadata: GgufMetadata) -> None:
    assert recommended(replace(metadata, sampling={"temp": 1.0, "top_k": -1.0})) == {"temperature": 1.0, "top_k": 0}


@pytest.mark.parametrize("name", ["Qwen2.5 Coder 1.5B Instruct GGUF", "Qwen2.5-Coder-0.5B-Instruct"])
def test_the_bundled_model_is_sampled_as_its_makers_say(metadata: GgufMetadata, name: str) -> None:
    assert recommended(replace(metadata, name=name)) == {
        "temperature": 0.7,
        "top_p": 0.8,
        "top_k": 20,
        "repetition_penalty": 1.1,
    }


def test_options_come_before_recommendations(metadata: GgufMetadata) -> None:
    options = GenerationOptions(temperature=0, top_p=0.5, repetition_penalty=1.0)
    request = to_request(options, recommended(replace(metadata, name="Qwen2.5 Coder")))
    assert (request["temperature"], request["top_p"], request["repeat_penalty"]) == (0, 0.5, 1)


def test_without_a_seed_replies_differ_and_with_one_they_do_not(load_model: LoadModel) -> None:
    model = load_model(speech="bytes")

    def ask(seed: int | None) -> str:
        return complete(model, QUESTION, max_tokens=30, temperature=1.5, seed=seed)

    assert len({ask(None) for _ in range(5)}) > 1
    assert len({ask(7) for _ in range(3)}) == 1
    assert ask(7) != ask(8)


def test_a_recommendation_in_the_file_decides_how_the_model_samples(load_model: LoadModel) -> None:
    model = load_model(speech="bytes", metadata={"general.sampling.temp": 1.5})
    assert len({complete(model, QUESTION, max_tokens=30) for _ in range(5)}) > 1
    assert len({complete(model, QUESTION, max_tokens=30, temperature=0) for _ in range(5)}) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 2},
        {"temperature": 1e-30},
        {"temperature": 1.0, "top_k": 10**6},
        {"temperature": 1.0, "top_p": 1e-30},
        {"temperature": 1.0, "min_p": 1.0},
        {"temperature": 1.0, "repetition_penalty": 0.1},
        {"temperature": 1.0, "presence_penalty": -2},
        {"seed": 2**63 - 1},
        {"max_tokens": 2**31 - 1},
        {"stop": ("\ud800",)},
    ],
)
def test_extreme_values_are_no_crash(load_model: LoadModel, options: dict[str, float]) -> None:
    generation = GenerationOptions(**{"max_tokens": 5, **options})  # type: ignore[arg-type]
    usage = complete_with_usage(load_model().stream([QUESTION], generation, threading.Event()))[1]
    assert usage.reply_tokens > 0
