"""Warm equals cold: whatever went before, a reply is the one of a model that has heard nothing else."""

import threading
from collections.abc import Callable, Generator
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
from assistant.models.local import LocalModel
from assistant.models.prompt_cache import Prompt, PromptCache, common_prefix, pieces

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

    def ask(self, messages: list[Message], temperature: float = 0.0) -> tuple[str, Usage]:
        """The warm model's reply, after comparing it with the cold one's."""
        options = GenerationOptions(max_tokens=8, temperature=temperature, seed=3)
        forget(self.cold)
        expected, usage = finish(self.cold.stream(messages, options, threading.Event()))
        assert usage is not None
        assert usage.cached_tokens == 0
        found, usage = finish(self.warm.stream(messages, options, threading.Event()))
        assert usage is not None
        assert found == expected
        return found, usage


def forget(model: LocalModel) -> None:
    decoder: Any = model._decoder
    model._forget()
    getattr(decoder, "_features", {}).clear()


@pytest.fixture(
    scope="module", params=["llava-none", "llava-int8", "adapted-none", "adapted-int8", "qwen-none", "qwen-int8"]
)
def pair(request: pytest.FixtureRequest) -> Pair:
    family, _, quantize = request.param.partition("-")
    return Pair(request.getfixturevalue(f"{family}_folder"), quantize)


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


def test_a_follow_up_reads_only_what_is_new(pair: Pair, picture: Callable[[int], Image]) -> None:
    opening = user("What is in this picture? " * 4, picture(1))
    reply, first = pair.ask([opening])
    _, second = pair.ask([opening, assistant(reply), user("And now?")])
    assert second.cached_tokens >= first.prompt_tokens


def test_another_picture_in_the_same_place_is_looked_at(pair: Pair, picture: Callable[[int], Image]) -> None:
    one, _ = pair.ask([user("Look!", picture(1))])
    other, usage = pair.ask([user("Look!", picture(2))])
    assert one != other
    assert usage.cached_tokens < 5


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
    decoder: Any = model._decoder
    encode = decoder._model.get_image_features
    encoded: list[torch.Tensor] = []

    def count(pixel_values: torch.Tensor) -> Any:
        encoded.append(pixel_values)
        return encode(pixel_values=pixel_values)

    monkeypatch.setattr(decoder._model, "get_image_features", count)
    options = GenerationOptions(max_tokens=2)
    finish(model.stream([user("Look!", picture(1))], options, threading.Event()))
    # Everything after the first word must be read anew, yet the picture itself is known.
    finish(model.stream([user("Hm.", picture(2), picture(1))], options, threading.Event()))
    assert len(encoded) == 2


def test_many_pictures_are_encoded_once(
    llava_folder: Path, picture: Callable[[int], Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = LocalModel.load(str(llava_folder), device="cpu")
    decoder: Any = model._decoder
    encode = decoder._model.get_image_features
    encoded: list[torch.Tensor] = []

    def count(pixel_values: torch.Tensor) -> Any:
        encoded.append(pixel_values)
        return encode(pixel_values=pixel_values)

    monkeypatch.setattr(decoder._model, "get_image_features", count)
    options = GenerationOptions(max_tokens=1)
    opening = user("", *map(picture, range(50)))
    for talk in ([opening], [opening, assistant("."), user("?")]):
        finish(model.stream(talk, options, threading.Event()))
        assert len(encoded) == 50
    # Even more than the context holds leave no more behind than that, once others are asked about.
    with pytest.raises(ContextOverflow):
        finish(model.stream([user("", *map(picture, range(50, 200)))], options, threading.Event()))
    finish(model.stream([user("", picture(1))], options, threading.Event()))
    assert sum(map(len, decoder._features.values())) <= model.info.context_tokens


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
            patched.setattr(decoder._llama, "read", broken)
            with pytest.raises(ModelError):
                finish(pair.warm.stream(question, options, threading.Event()))
        assert not pair.warm._cache.known
    assert pair.ask(question)[0] == expected


def test_a_failure_in_the_middle_is_forgotten(
    llava_folder: Path, picture: Callable[[int], Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = Pair(llava_folder, "int8")
    question = [user("What is in this picture?", picture(1))]
    expected, _ = pair.ask(question)
    decoder: Any = pair.warm._decoder
    read = decoder._llama.read

    def fail(x: torch.Tensor) -> Any:
        if len(x) > 1:
            return read(x)
        read(x)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(decoder._llama, "read", fail)
        with pytest.raises(KeyboardInterrupt):
            finish(pair.warm.stream(question, GenerationOptions(max_tokens=8), threading.Event()))
    assert pair.ask(question)[0] == expected


def test_a_long_prompt_is_read_in_pieces_that_stop_can_come_between(llava_folder: Path) -> None:
    pair = Pair(llava_folder, "int8")
    long = [user("dog " * 180)]
    stop = threading.Event()
    decoder: Any = pair.warm._decoder
    read, sizes = decoder.read, []

    def read_and_stop(prompt: Prompt, start: int, end: int) -> Any:
        sizes.append(end - start)
        stop.set()
        return read(prompt, start, end)

    decoder.read = read_and_stop
    said, usage = finish(pair.warm.stream(long, GenerationOptions(), stop))
    assert said == ""
    assert usage is not None
    assert sum(sizes) < usage.prompt_tokens
    decoder.read = read
    _, usage = pair.ask(long)
    assert usage.cached_tokens == sum(sizes)


@given(st.lists(st.sampled_from([1, 2, "a", "b"]), max_size=8), st.lists(st.sampled_from([1, 2, "a", "b"]), max_size=8))
def test_a_common_prefix_is_common_and_ends_where_they_differ(one: list[int | str], other: list[int | str]) -> None:
    count = common_prefix(one, other)
    assert one[:count] == other[:count]
    assert one[count : count + 1] != other[count : count + 1] or count in {len(one), len(other)}


@given(st.data())
def test_pieces_cover_the_prompt_and_never_cut_a_span(data: st.DataObject) -> None:
    length = data.draw(st.integers(1, 60))
    cuts = sorted(set(data.draw(st.lists(st.integers(0, length), max_size=6))))
    spans = list(zip(cuts[::2], cuts[1::2], strict=False))
    prompt = Prompt(list(range(length)), list(range(length)), spans)
    known = PromptCache(list(range(data.draw(st.integers(0, length)))))
    start = known.match(prompt)
    found = list(pieces(prompt, start, data.draw(st.integers(1, 20))))
    assert start < length
    assert [place for first, end in found for place in range(first, end)] == list(range(start, length))
    assert not any(first < end < last for _, end in found for first, last in spans)
