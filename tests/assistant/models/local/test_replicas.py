"""Models on the same weights, each on a thread of its own at the same time: nobody hears anything of the others."""

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

OPTIONS = GenerationOptions(max_tokens=16)


@pytest.fixture(autouse=True)
def two_cores() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=["llava-none", "llava-int8", "adapted-int8"])
def model(request: pytest.FixtureRequest) -> LocalModel:
    family, _, quantize = request.param.partition("-")
    return LocalModel.load(str(request.getfixturevalue(f"{family}_folder")), device="cpu", quantize=quantize)


def say(model: LocalModel, question: str, *images: Image) -> str:
    return "".join(model.stream([user(question, *images)], OPTIONS, threading.Event()))


def test_at_the_same_time_each_says_what_one_alone_would_say(
    model: LocalModel, picture: Callable[[int], Image]
) -> None:
    asked = [("Look! " * (1 + number % 4), [picture(number % 7)] * (number % 3)) for number in range(24)]
    conversations = [[user(question, *images)] for question, images in asked]
    expected = [say(model, question, *images) for question, images in asked]
    likely = model.score(conversations[1], ["A dog", "a child"], threading.Event())
    assert len(set(expected)) > len(expected) // 2

    def work(replica: LocalModel) -> None:
        for _ in range(3):
            assert replica.generate_batch(conversations, OPTIONS, threading.Event()) == expected
            assert replica.score(conversations[1], ["A dog", "a child"], threading.Event()) == likely
        assert [say(replica, question, *images) for question, images in asked] == expected

    replicas = model.replicas(2)
    assert len(replicas) == 2
    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(work, replica) for replica in replicas]:
            done.result()


def test_each_computes_on_its_share_of_the_cores_and_nobody_else_on_fewer(model: LocalModel) -> None:
    torch.set_num_threads(5)
    replicas = model.replicas(9)
    assert len(replicas) == 4
    computed_on = []
    for replica in replicas:
        with ThreadPoolExecutor(1) as thread:
            thread.submit(say, replica, "Look!").result()
            computed_on.append(thread.submit(torch.get_num_threads).result())
    assert computed_on == [2, 1, 1, 1]
    assert torch.get_num_threads() == 5
    with ThreadPoolExecutor(1) as later:
        assert later.submit(torch.get_num_threads).result() == 5


def test_a_picture_is_encoded_on_as_many_cores_as_by_the_model_itself(
    model: LocalModel, picture: Callable[[int], Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    eyes = model._image_encoder._model  # type: ignore[union-attr]
    encode, cores = eyes.get_image_features, []

    def watch(**inputs: object) -> object:
        cores.append(torch.get_num_threads())
        return encode(**inputs)

    monkeypatch.setattr(eyes, "get_image_features", watch)
    with ThreadPoolExecutor(1) as thread:
        thread.submit(say, model.replicas(2)[1], "Look!", picture(1)).result()
        assert thread.submit(torch.get_num_threads).result() == 1
    say(model, "Look!", picture(1))
    torch.set_num_threads(1)
    say(model, "Look!", picture(2))
    assert cores == [2, 2, 1]


def test_cores_are_dealt_out_to_the_last() -> None:
    assert split_evenly(7, 3) == [3, 2, 2]
    with ThreadPoolExecutor(1) as thread:
        thread.submit(set_num_threads, 3).result()
        # Whatever else it does later, and even if it is told again.
        thread.submit(set_num_threads, 3).result()
        assert thread.submit(torch.get_num_threads).result() == 3


def test_where_there_is_nothing_to_gain_it_is_the_model_itself(model: LocalModel, qwen_folder: Path) -> None:
    assert model.replicas(1) == [model]
    other = LocalModel.load(str(qwen_folder), device="cpu", quantize="none")
    assert other.replicas(2) == [other]
    torch.set_num_threads(1)
    assert model.replicas(2) == [model]


def test_closing_one_leaves_the_others_and_closing_all_frees_the_weights(
    model: LocalModel, picture: Callable[[int], Image]
) -> None:
    first, second = model.replicas(2)
    weights = weakref.ref(model._image_encoder._model)  # type: ignore[union-attr]
    model.close()
    with pytest.raises(ModelError, match="has been closed"):
        say(model, "Look!")
    assert model.replicas(2) == [model]
    assert say(first, "Look!", picture(1)) == say(second, "Look!", picture(1))
    first.close()
    assert say(second, "Look!", picture(2))
    second.close()
    gc.collect()
    assert weights() is None


def test_together_they_keep_no_more_pictures_than_one(
    llava_folder: Path, picture: Callable[[int], Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = LocalModel.load(str(llava_folder), device="cpu", quantize="none", detail="low")
    say(model, "Look!", picture(1))
    assert model._image_encoder is not None
    monkeypatch.setattr(model._image_encoder, "_most_bytes", 4 * next(iter(model._image_encoder._cache.values())).num_bytes)
    for replica in model.replicas(2):
        for number in range(6):
            say(replica, "Look!", picture(number))
        assert replica._image_encoder is not None
        assert replica._image_encoder.processor_options == model._image_encoder.processor_options
        # The latest is there before it is encoded, when it still takes more.
        assert 1 <= len(replica._image_encoder._cache) <= 2
