"""Warm equals cold: whatever went before, a reply is the one of a model that has heard nothing else."""

import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from assistant.errors import ContextOverflow, ModelError
from assistant.events import Usage
from assistant.messages import Image, Message, assistant, user
from assistant.models.base import GenerationOptions
from assistant.models.local import kv_cache
from assistant.models.local.image_encoder import ImageEncoder
from assistant.models.local.model import LocalModel
from assistant.models.local.prompt_cache import Prompt, PromptCache, chunks, common_prefix_length
from tests.assistant.models.conftest import speed_up

WORDS = st.sampled_from(["What is this?", "And now?", "A dog <image> runs", "日本 😀", " ", "in this picture " * 6])
PICTURES = st.lists(st.integers(1, 3), max_size=2)
SAY = st.tuples(st.just("say"), WORDS, PICTURES)
CANCEL = st.tuples(st.just("cancel"), WORDS, PICTURES, st.integers(0, 5))
OTHER = st.tuples(st.just("other"), WORDS, PICTURES)
EDIT = st.tuples(st.just("edit"), WORDS, PICTURES)
STORIES = st.lists(st.one_of(SAY, SAY, CANCEL, OTHER, EDIT), min_size=2, max_size=6)


def finish(stream: Generator[str, None, Usage], most: int = 1000) -> tuple[str, Usage | None]:
    """Listen to the end, or leave after `most` pieces."""
    pieces_heard: list[str] = []
    while len(pieces_heard) < most:
        try:
            pieces_heard.append(next(stream))
        except StopIteration as end:
            return "".join(pieces_heard), end.value
    stream.close()
    return "".join(pieces_heard), None


class Pair:
    """A model that remembers, and the same one that forgets everything before each question."""

    def __init__(self, folder: Path, quantize: str) -> None:
        self.warm, self.cold = (LocalModel.load(str(folder), device="cpu", quantize=quantize) for _ in range(2))
        self.logits, self._expected = (_watched(model) for model in (self.warm, self.cold))
        """Logits of the warm model's last answer, by how many tokens it had read."""

    def ask(self, messages: list[Message], temperature: float = 0.0) -> tuple[str, Usage]:
        """The warm model's reply, after comparing it with the cold one's."""
        options = GenerationOptions(max_tokens=8, temperature=temperature, seed=3)
        forget(self.cold)
        self.logits.clear()
        self._expected.clear()
        expected, usage = finish(self.cold.stream(messages, options, threading.Event()))
        assert usage is not None
        assert usage.cached_tokens == 0
        found, usage = finish(self.warm.stream(messages, options, threading.Event()))
        assert usage is not None
        assert found == expected
        # Words alone would not tell: a random model may say the same whatever it sees.
        both = self.logits.keys() & self._expected.keys()
        assert max(both) >= usage.prompt_tokens
        for read in both:
            torch.testing.assert_close(self.logits[read], self._expected[read], atol=1e-3, rtol=1e-3)
        return found, usage


def _watched(model: LocalModel) -> dict[int, torch.Tensor]:
    decoder: Any = model._decoder
    read, seen = decoder.forward, {}

    def watch(prompt: Prompt, start: int, end: int) -> torch.Tensor:
        logits: torch.Tensor = read(prompt, start, end)
        seen[end] = logits
        return logits

    decoder.forward = watch
    return seen


def forget(model: LocalModel) -> None:
    model._forget()
    pictures(model).clear()


def pictures(model: LocalModel) -> ImageEncoder:
    assert model._image_encoder is not None
    return model._image_encoder


def counted(model: LocalModel, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, torch.Tensor]]:
    """What is given to the vision tower of `model` from here on."""
    tower = pictures(model)._model
    encode = tower.get_image_features
    encoded: list[dict[str, torch.Tensor]] = []

    def count(**inputs: torch.Tensor) -> Any:
        encoded.append(inputs)
        return encode(**inputs)

    monkeypatch.setattr(tower, "get_image_features", count)
    return encoded


@pytest.fixture(
    scope="module",
    params=[
        *("llava-none", "llava-int8", "adapted-none", "adapted-int8", "qwen-none", "qwen-int8", "gemma-none"),
        "qwen-fixed",
        *(pytest.param(f"{name}-none", marks=pytest.mark.gpu_stack) for name in ("qwen3_vl", "smolvlm2", "internvl")),
        *(pytest.param(f"{name}-fixed", marks=pytest.mark.gpu_stack) for name in ("qwen3_vl", "internvl")),
    ],
)
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    family, _, quantize = request.param.partition("-")
    with pytest.MonkeyPatch.context() as patched:
        # So little that layers of a sliding window have forgotten what an edit would go back to.
        patched.setattr(kv_cache, "WINDOW_SLACK", 24)
        pair = Pair(request.getfixturevalue(f"{family}_folder"), "none" if quantize == "fixed" else quantize)
        if quantize == "fixed":
            # The blocks of its keys and values are outgrown by the way.
            speed_up(pair.warm, 64, None)
        yield pair


@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)
@given(story=STORIES, temperature=st.sampled_from([0.0, 1.0]))
def test_warm_output_equals_cold_output(
    pair: Pair, picture: Callable[[int], Image], story: list[tuple[Any, ...]], temperature: float
) -> None:
    forget(pair.warm)
    talk: list[Message] = []
    for act, words, pictures, *rest in story:
        message = user(words, *map(picture, pictures))
        match act:
            case "say":
                reply, _ = pair.ask([*talk, message], temperature)
                talk += [message, assistant(reply)]
            case "cancel":
                stream = pair.warm.stream([*talk, message], GenerationOptions(max_tokens=8), threading.Event())
                reply, _ = finish(stream, rest[0])
                talk += [message, assistant(reply, interrupted=True)]
            case "other":
                # Such as a skill's question about the same picture, which is no part of the conversation.
                pair.ask([message], temperature)
            case "edit":
                talk[-2:] = []
                reply, _ = pair.ask([*talk, message], temperature)
                talk += [message, assistant(reply)]


def test_a_follow_up_reads_only_what_is_new_and_looks_at_no_picture_again(
    pair: Pair, picture: Callable[[int], Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    forget(pair.warm)
    encoded = counted(pair.warm, monkeypatch)
    opening = user("What is in this picture? " * 4, picture(1))
    reply, first = pair.ask([opening])
    assert (first.cached_tokens, len(encoded)) == (0, 1)
    talk = [opening, assistant(reply), user("And now?")]
    reply, second = pair.ask(talk)
    assert second.cached_tokens >= first.prompt_tokens
    # A second picture, on top of all that is remembered.
    _, third = pair.ask([*talk, assistant(reply), user("Which is which?", picture(2))])
    assert third.cached_tokens >= second.prompt_tokens
    assert len(encoded) == 2


def test_a_skill_in_between_costs_words_and_no_picture(
    pair: Pair, picture: Callable[[int], Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = user("What is this?", picture(1))
    reply, _ = pair.ask([opening])
    pair.warm.score([user("Is there a dog?", picture(1))], ["yes", "no"], threading.Event())
    encoded = counted(pair.warm, monkeypatch)
    pair.ask([opening, assistant(reply), user("And now?")])
    assert not encoded


def test_scores_are_the_same_warm_and_cold(pair: Pair, picture: Callable[[int], Image]) -> None:
    question, options = [user("What is in this picture? " * 4, picture(1))], ["A dog.", "no", ""]
    pair.ask([*question, assistant("A dog runs."), user("And now?")])
    forget(pair.cold)
    warm, cold = (model.score(question, options, threading.Event()) for model in (pair.warm, pair.cold))
    for found, expected in zip(warm, cold, strict=True):
        assert found == pytest.approx(expected, abs=1e-4)
    # The options are not remembered.
    pair.ask(question)


def test_another_picture_in_the_same_place_is_looked_at(pair: Pair, picture: Callable[[int], Image]) -> None:
    _, usage = pair.ask([user("Look!", picture(1))])
    one = pair.logits[usage.prompt_tokens]
    _, usage = pair.ask([user("Look!", picture(2))])
    assert not torch.allclose(one, pair.logits[usage.prompt_tokens], rtol=1e-4, atol=1e-4)
    assert usage.cached_tokens < usage.prompt_tokens - 4


def test_a_conversation_that_turns_from_words_to_a_picture_and_back(
    pair: Pair, picture: Callable[[int], Image]
) -> None:
    words = [user("What is this?")]
    alone, _ = pair.ask(words)
    pair.ask([*words, assistant(alone), user("And this?", picture(1))])
    again, _ = pair.ask(words)
    assert again == alone


def test_a_picture_known_already_is_not_encoded_again(
    llava_folder: Path, picture: Callable[[int], Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = LocalModel.load(str(llava_folder), device="cpu")
    encoded = counted(model, monkeypatch)
    options = GenerationOptions(max_tokens=2)
    finish(model.stream([user("Look!", picture(1))], options, threading.Event()))
    # Everything after the first word must be read anew, yet the picture itself is known.
    finish(model.stream([user("Hm.", picture(2), picture(1))], options, threading.Event()))
    assert len(encoded) == 2


def test_many_pictures_are_encoded_once_and_no_more_of_them_kept_than_there_is_memory_for(
    llava_folder: Path, picture: Callable[[int], Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = LocalModel.load(str(llava_folder), device="cpu")
    encoded = counted(model, monkeypatch)
    options = GenerationOptions(max_tokens=1)
    opening = user("", *map(picture, range(50)))
    for talk in ([opening], [user("Other words first."), opening]):
        finish(model.stream(talk, options, threading.Event()))
        assert len(encoded) == 50
    # What cannot be shown is not encoded.
    with pytest.raises(ContextOverflow):
        finish(model.stream([user("", *map(picture, range(50, 200)))], options, threading.Event()))
    assert len(encoded) == 50
    most = 5 * next(iter(pictures(model)._cache.values())).num_bytes
    monkeypatch.setattr(pictures(model), "_most_bytes", most)
    finish(model.stream([user("", picture(1))], options, threading.Event()))
    assert 0 < sum(seen.num_bytes for seen in pictures(model)._cache.values()) <= most


def test_pictures_are_looked_at_one_by_one_so_that_stop_can_come_between(
    qwen_folder: Path, picture: Callable[[int], Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = LocalModel.load(str(qwen_folder), device="cpu", quantize="none")
    monkeypatch.setattr(model, "_PIECE", 8)
    encoded = counted(model, monkeypatch)
    stop = threading.Event()
    decoder: Any = model._decoder
    read = decoder.forward

    def stop_once_seen(*place: Any) -> Any:
        if encoded:
            stop.set()
        return read(*place)

    monkeypatch.setattr(decoder, "forward", stop_once_seen)
    said, _ = finish(model.stream([user("", *map(picture, range(9)))], GenerationOptions(), stop))
    assert not said
    assert 0 < len(encoded) < 9


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_model_that_breaks_down_says_so_and_forgets(
    llava_folder: Path, monkeypatch: pytest.MonkeyPatch, temperature: float
) -> None:
    pair = Pair(llava_folder, "int8")
    question = [user("What is this?")]
    expected, _ = pair.ask(question)
    decoder: Any = pair.warm._decoder
    options = GenerationOptions(max_tokens=8, temperature=temperature)
    for broken in (lambda _: torch.full((320,), torch.nan), lambda _: torch.ones(2) @ torch.ones(3)):
        with monkeypatch.context() as patched:
            patched.setattr(decoder._llama, "forward", broken)
            with pytest.raises(ModelError):
                finish(pair.warm.stream(question, options, threading.Event()))
        assert not pair.warm._cache.keys
    assert pair.ask(question)[0] == expected


def test_a_failure_in_the_middle_is_forgotten(
    llava_folder: Path, picture: Callable[[int], Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = Pair(llava_folder, "int8")
    question = [user("What is in this picture?", picture(1))]
    expected, _ = pair.ask(question)
    decoder: Any = pair.warm._decoder
    read = decoder._llama.forward

    def fail(x: torch.Tensor) -> Any:
        if len(x) > 1:
            return read(x)
        read(x)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(decoder._llama, "forward", fail)
        with pytest.raises(KeyboardInterrupt):
            finish(pair.warm.stream(question, GenerationOptions(max_tokens=8), threading.Event()))
    assert pair.ask(question)[0] == expected


def test_a_long_prompt_is_read_in_pieces_that_stop_can_come_between(llava_folder: Path) -> None:
    pair = Pair(llava_folder, "int8")
    long = [user("dog " * 180)]
    stop = threading.Event()
    decoder: Any = pair.warm._decoder
    read, sizes = decoder.forward, []

    def read_and_stop(prompt: Prompt, start: int, end: int) -> Any:
        sizes.append(end - start)
        stop.set()
        return read(prompt, start, end)

    decoder.forward = read_and_stop
    said, usage = finish(pair.warm.stream(long, GenerationOptions(), stop))
    assert said == ""
    assert usage is not None
    assert sum(sizes) < usage.prompt_tokens
    decoder.forward = read
    _, usage = pair.ask(long)
    assert usage.cached_tokens == sum(sizes)


@given(st.lists(st.sampled_from([1, 2, "a", "b"]), max_size=8), st.lists(st.sampled_from([1, 2, "a", "b"]), max_size=8))
def test_a_common_prefix_is_common_and_ends_where_they_differ(one: list[int | str], other: list[int | str]) -> None:
    count = common_prefix_length(one, other)
    assert one[:count] == other[:count]
    assert one[count : count + 1] != other[count : count + 1] or count in {len(one), len(other)}


@given(st.data())
def test_pieces_cover_the_prompt_and_never_cut_a_span(data: st.DataObject) -> None:
    length = data.draw(st.integers(1, 60))
    cuts = sorted(set(data.draw(st.lists(st.integers(0, length), max_size=6))))
    spans = list(zip(cuts[::2], cuts[1::2], strict=False))
    prompt = Prompt(list(range(length)), list(range(length)), spans)
    known = PromptCache(list(range(data.draw(st.integers(0, length)))))
    start = known.match_prefix(prompt)
    found = list(chunks(prompt, start, data.draw(st.integers(1, 20))))
    assert start < length
    assert [place for first, end in found for place in range(first, end)] == list(range(start, length))
    assert not any(first < end < last for _, end in found for first, last in spans)
