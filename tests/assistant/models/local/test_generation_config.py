"""What a model's generation config says applies where nothing else is asked for, and a broken one breaks nothing."""

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from assistant.messages import user
from assistant.models.base import GenerationOptions, ModelDefaults
from assistant.models.local.model import LocalModel
from assistant.models.replies import only_text
from tests.fakes.generation import complete


@pytest.fixture
def folder(llava_folder: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(llava_folder, tmp_path / "model"))


def load(folder: Path, content: object) -> LocalModel:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    (folder / "generation_config.json").write_bytes(data)
    return LocalModel.load(str(folder), device="cpu", quantize="none")


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ({}, {}),
        ({"temperature": 0.6, "top_p": 0.9}, {"top_p": 0.9}),
        ({"do_sample": False, "temperature": 0.6, "repetition_penalty": 1.05}, {"repetition_penalty": 1.05}),
        ({"do_sample": True}, {"temperature": 1.0}),
        (
            {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "top_k": 20, "min_p": None},
            {"temperature": 0.6, "top_p": 0.9, "top_k": 20},
        ),
    ],
)
def test_the_options_of_the_makers_are_read(folder: Path, content: Any, options: dict[str, float]) -> None:
    model = load(folder, content)
    assert isinstance(model, ModelDefaults)
    assert model.defaults == GenerationOptions(**options)  # type: ignore[arg-type]
    assert not model.notices


def test_the_makers_options_apply_and_temperature_0_stays_greedy(folder: Path) -> None:
    greedy = complete(load(folder, {}), user("Hello"), max_tokens=12)
    model = load(folder, {"do_sample": True, "temperature": 2.0})
    sampled = {complete(model, user("Hello"), max_tokens=12, seed=seed) for seed in range(4)}
    assert len(sampled) > 1
    assert complete(model, user("Hello"), max_tokens=12, temperature=0) == greedy
    penalized = load(folder, {"repetition_penalty": 2.0})
    assert complete(penalized, user("Hello"), max_tokens=12) != greedy
    options = GenerationOptions.greedy(12)
    assert "".join(only_text(penalized.stream([user("Hello")], options, threading.Event()))) == greedy


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"temperature": "hot", "do_sample": True}, 'temperature = "hot" is no value that can be used'),
        ({"top_p": 7, "top_k": -3}, "top_p = 7, top_k = -3 are no values that can be used and are left out"),
        ({"temperature": float("nan")}, "temperature = NaN is no value"),
        ({"repetition_penalty": [1.1]}, "repetition_penalty = [1.1] is no value"),
        ({"do_sample": "yes"}, 'do_sample = "yes" is no value'),
        ({"eos_token_id": "x"}, 'eos_token_id = "x" is no value'),
        ({"eos_token_id": [2, -1, True]}, "eos_token_id = [2, -1, true] is no value"),
        (b"{", "The generation_config.json of model cannot be read"),
        (b"[1]", "The generation_config.json of model cannot be read"),
        (b"\xff", "The generation_config.json of model cannot be read"),
        (b"[" * 100_000, "The generation_config.json of model cannot be read"),
    ],
)
def test_a_broken_file_is_one_notice(folder: Path, content: Any, said: str) -> None:
    model = load(folder, content)
    assert len(model.notices) == 1
    assert said in model.notices[0]
    assert complete(model, user("Hello"), max_tokens=4, seed=1)


@pytest.mark.parametrize("content", [{"early_stopping": "maybe"}, {"max_new_tokens": -1}, {"watermarking_config": {}}])
def test_values_that_nothing_uses_do_not_matter(folder: Path, content: Any) -> None:
    assert not load(folder, content).notices
