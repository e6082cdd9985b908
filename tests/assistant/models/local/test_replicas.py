"""Replicas of a model: the same weights, used on several threads at the same time."""

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from assistant.errors import ModelError
from assistant.messages import Image, user
from assistant.models.base import GenerationOptions
from assistant.models.local.cpu_threads import set_num_threads, split_evenly
from assistant.models.local.model import LocalModel
from tests.fakes.generation import complete
from tests.fakes.tiny_models import image_encoder_of

OPTIONS = GenerationOptions(max_tokens=12)
LOGPROB_TOLERANCE = 1e-4
"""Replicas and the model compute with other numbers of threads and other cached prefixes, so float32 sums are taken
in another order. Log-probabilities then differed by up to 5e-6 on one to three threads, with AVX-512 and AVX2 kernels.
One word less in the prompt changes each of them by more than 0.1."""


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model(llava_folder: Path) -> LocalModel:
    """A model that is only read."""
    return LocalModel.load(str(llava_folder), device="cpu", quantize="none")


@pytest.mark.parametrize("name", ["llava-none", "adapted-none"])
def test_replicas_reply_at_the_same_time_as_the_model_does_alone(
    request: pytest.FixtureRequest, make_image: Callable[[int], Image], name: str
) -> None:
    family, _, quantize = name.partition("-")
    model = LocalModel.load(str(request.getfixturevalue(f"{family}_folder")), device="cpu", quantize=quantize)
    conversations = [
        [user("Look! " * (1 + number % 4), *[make_image(number % 7)] * (number % 3))] for number in range(12)
    ]
    expected = [complete(model, *messages, max_tokens=OPTIONS.max_tokens) for messages in conversations]
    candidates = ["A dog", "a child"]
    expected_scores = model.score(conversations[1], candidates, threading.Event())
    assert len(set(expected)) > len(expected) // 2

    def work(replica: LocalModel) -> None:
        for _ in range(2):
            replies = replica.generate_batch(conversations, OPTIONS, threading.Event())
            assert [reply.text for reply in replies] == expected
            scores = replica.score(conversations[1], candidates, threading.Event())
            for found, wanted in zip(scores, expected_scores, strict=True):
                assert found == pytest.approx(wanted, abs=LOGPROB_TOLERANCE)
        assert [complete(replica, *messages, max_tokens=OPTIONS.max_tokens) for messages in conversations] == expected

    replicas = model.replicas(2)
    assert len(replicas) == 2
    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(work, replica) for replica in replicas]:
            done.result()


def test_replicas_share_the_cpu_threads(model: LocalModel) -> None:
    torch.set_num_threads(5)
    replicas = model.replicas(9)
    assert len(replicas) == 4
    used = []
    for replica in replicas:
        with ThreadPoolExecutor(1) as thread:
            thread.submit(complete, replica, user("Look!"), max_tokens=1).result()
            used.append(thread.submit(torch.get_num_threads).result())
    assert used == [2, 1, 1, 1]
    assert torch.get_num_threads() == 5
    with ThreadPoolExecutor(1) as new_thread:
        assert new_thread.submit(torch.get_num_threads).result() == 5


def test_threads_are_split_evenly() -> None:
    assert split_evenly(7, 3) == [3, 2, 2]


def test_the_number_of_threads_is_set_for_one_thread_only() -> None:
    with ThreadPoolExecutor(1) as thread:
        thread.submit(set_num_threads, 3).result()
        # A second call must not set the number of the process either.
        thread.submit(set_num_threads, 3).result()
        assert thread.submit(torch.get_num_threads).result() == 3
    with ThreadPoolExecutor(1) as new_thread:
        assert new_thread.submit(torch.get_num_threads).result() == 2


def test_without_anything_to_gain_the_model_is_its_only_replica(model: LocalModel, qwen_folder: Path) -> None:
    assert model.replicas(1) == [model]
    other_family = LocalModel.load(str(qwen_folder), device="cpu", quantize="none")
    assert other_family.replicas(2) == [other_family]
    torch.set_num_threads(1)
    assert model.replicas(2) == [model]


@pytest.mark.parametrize("family", ["llava", "adapted"])
def test_the_weights_are_freed_when_the_last_replica_is_closed(
    request: pytest.FixtureRequest, make_image: Callable[[int], Image], family: str
) -> None:
    model = LocalModel.load(str(request.getfixturevalue(f"{family}_folder")), device="cpu", quantize="none")
    first, second = model.replicas(2)
    weights = weakref.ref(image_encoder_of(model)._model)
    model.close()
    with pytest.raises(ModelError, match="has been closed"):
        complete(model, user("Look!"))
    assert model.replicas(2) == [model]
    question = user("Look!", make_image(1))
    assert complete(first, question, max_tokens=8) == complete(second, question, max_tokens=8)
    first.close()
    assert complete(second, user("Look!", make_image(2)), max_tokens=8)
    second.close()
    gc.collect()
    assert weights() is None


def test_replicas_together_keep_no_more_images_than_the_model(
    llava_folder: Path, make_image: Callable[[int], Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = LocalModel.load(str(llava_folder), device="cpu", quantize="none", detail="low")
    complete(model, user("Look!", make_image(1)), max_tokens=1)
    encoder = image_encoder_of(model)
    monkeypatch.setattr(encoder, "_max_bytes", 4 * next(iter(encoder._cache.values())).num_bytes)
    for replica in model.replicas(2):
        for number in range(6):
            complete(replica, user("Look!", make_image(number)), max_tokens=1)
        replica_encoder = image_encoder_of(replica)
        assert replica_encoder.processor_options == encoder.processor_options
        # One image more fits before it is encoded than after, so a cache for two may hold one.
        assert 1 <= len(replica_encoder._cache) <= 2
