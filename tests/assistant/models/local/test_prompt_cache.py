"""A reply with a warm prompt cache equals one with a cold cache, whatever came before."""

import threading
from collections.abc import Callable, Iterator
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
from assistant.models.local import engine, kv_cache
from assistant.models.local.model import LocalModel
from assistant.models.local.prompt_cache import Prompt, PromptCache, chunks, common_prefix_length
from tests.fakes.generation import complete, complete_partly, complete_with_usage
from tests.fakes.tiny_models import cached_keys, clear_caches, decoder_of, image_encoder_of, use_compiled_decoder

WORDS = st.sampled_from(["What is this?", "And now?", "A dog <image> runs", "日本 😀", " ", "in this picture " * 6])
IMAGES = st.lists(st.integers(1, 3), max_size=2)
SAY = st.tuples(st.just("say"), WORDS, IMAGES)
STOP = st.tuples(st.just("stop"), WORDS, IMAGES, st.integers(0, 5))
OTHER = st.tuples(st.just("other"), WORDS, IMAGES)
EDIT = st.tuples(st.just("edit"), WORDS, IMAGES)
STORIES = st.lists(st.one_of(SAY, SAY, STOP, OTHER, EDIT), min_size=2, max_size=6)


class Pair:
    """Two copies of a model: one keeps its caches, the other clears them before each question.

    A float's last bit, which depends on how many rows are multiplied together, can move an int8 activation by one unit.
    That changes a log-probability by up to 0.0013 (seen with the kernels for AVX2), and by a few of these in a row.
    """

    def __init__(self, folder: Path, quantize: str) -> None:
        self.tolerance = 1e-2 if quantize == "int8" else 1e-3
        self.warm, self.cold = (LocalModel.load(str(folder), device="cpu", quantize=quantize) for _ in range(2))
        self.logits, self._expected = (_recorded(model) for model in (self.warm, self.cold))
        """Logits of the warm model's last reply, by the number of tokens before them."""

    def check_reply(self, messages: list[Message], temperature: float = 0.0) -> tuple[str, Usage]:
        """Assert that the warm model replies as the cold one does, and return the reply."""
        options = GenerationOptions(max_tokens=8, temperature=temperature, seed=3)
        clear_caches(self.cold)
        self.logits.clear()
        self._expected.clear()
        expected, usage = complete_with_usage(self.cold.stream(messages, options, threading.Event()))
        assert usage.cached_tokens == 0
        found, usage = complete_with_usage(self.warm.stream(messages, options, threading.Event()))
        # Texts alone prove little: a random model may say the same whatever it sees.
        both = sorted(self.logits.keys() & self._expected.keys())
        assert both[-1] >= usage.prompt_tokens
        for length in both:
            torch.testing.assert_close(
                self.logits[length], self._expected[length], atol=self.tolerance, rtol=self.tolerance
            )
            if self._may_part_after(length, temperature):
                return found, usage
        assert found == expected
        return found, usage

    def _may_part_after(self, length: int, temperature: float) -> bool:
        """Return True if a difference within the tolerance can change the next token."""
        if temperature:
            return self.tolerance > 1e-3
        first, second = self._expected[length].topk(2).values.tolist()
        return bool(first - second < 2 * self.tolerance)


def _recorded(model: LocalModel) -> dict[int, torch.Tensor]:
    decoder = decoder_of(model)
    forward, logits_at = decoder.forward, {}

    def record(prompt: Prompt, start: int, end: int) -> torch.Tensor:
        logits: torch.Tensor = forward(prompt, start, end)
        logits_at[end] = logits
        return logits

    decoder.forward = record
    return logits_at


def count_encoded(model: LocalModel, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, torch.Tensor]]:
    """Collect the inputs of the vision tower from here on."""
    tower = image_encoder_of(model)._model
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
        *("llava-none", "adapted-none", "qwen-none", "qwen-int8", "gemma-none"),
        "qwen-fixed",
        *(pytest.param(f"{name}-none", marks=pytest.mark.gpu_stack) for name in ("qwen3_vl", "smolvlm2", "internvl")),
        *(pytest.param(f"{name}-fixed", marks=pytest.mark.gpu_stack) for name in ("qwen3_vl", "internvl")),
    ],
)
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    family, _, quantize = request.param.partition("-")
    with pytest.MonkeyPatch.context() as patched:
        # So small that sliding-window layers have dropped what an edit would go back to.
        patched.setattr(kv_cache, "WINDOW_SLACK", 24)
        pair = Pair(request.getfixturevalue(f"{family}_folder"), "none" if quantize == "fixed" else quantize)
        if quantize == "fixed":
            # So small that the static KV cache has to grow.
            use_compiled_decoder(pair.warm, 64, None)
        yield pair


@pytest.fixture(scope="module")
def llava_pair(llava_folder: Path) -> Pair:
    return Pair(llava_folder, "none")


@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)
@given(story=STORIES, temperature=st.sampled_from([0.0, 1.0]))
def test_warm_output_equals_cold_output(
    pair: Pair, make_image: Callable[[int], Image], story: list[tuple[Any, ...]], temperature: float
) -> None:
    clear_caches(pair.warm)
    conversation: list[Message] = []
    for act, words, images, *rest in story:
        message = user(words, *map(make_image, images))
        match act:
            case "say":
                reply, _ = pair.check_reply([*conversation, message], temperature)
                conversation += [message, assistant(reply)]
            case "stop":
                stream = pair.warm.stream([*conversation, message], GenerationOptions(max_tokens=8), threading.Event())
                conversation += [message, assistant(complete_partly(stream, rest[0]), interrupted=True)]
            case "other":
                # Such as a skill's question about the same image, which is not part of the conversation.
                pair.check_reply([message], temperature)
            case "edit":
                conversation[-2:] = []
                reply, _ = pair.check_reply([*conversation, message], temperature)
                conversation += [message, assistant(reply)]


def test_a_follow_up_prefills_only_new_tokens_and_encodes_no_image_again(
    pair: Pair, make_image: Callable[[int], Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    clear_caches(pair.warm)
    encoded = count_encoded(pair.warm, monkeypatch)
    opening = user("What is in this picture? " * 4, make_image(1))
    reply, first = pair.check_reply([opening])
    assert (first.cached_tokens, len(encoded)) == (0, 1)
    conversation = [opening, assistant(reply), user("And now?")]
    reply, second = pair.check_reply(conversation)
    assert second.cached_tokens >= first.prompt_tokens
    # A second image, after everything that is cached.
    _, third = pair.check_reply([*conversation, assistant(reply), user("Which is which?", make_image(2))])
    assert third.cached_tokens >= second.prompt_tokens
    assert len(encoded) == 2


def test_a_skill_in_between_encodes_no_image_again(
    pair: Pair, make_image: Callable[[int], Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = user("What is this?", make_image(1))
    reply, _ = pair.check_reply([opening])
    pair.warm.score([user("Is there a dog?", make_image(1))], ["yes", "no"], threading.Event())
    encoded = count_encoded(pair.warm, monkeypatch)
    pair.check_reply([opening, assistant(reply), user("And now?")])
    assert not encoded


def test_scores_are_the_same_warm_and_cold(pair: Pair, make_image: Callable[[int], Image]) -> None:
    question, candidates = [user("What is in this picture? " * 4, make_image(1))], ["A dog.", "no", ""]
    pair.check_reply([*question, assistant("A dog runs."), user("And now?")])
    clear_caches(pair.cold)
    warm, cold = (model.score(question, candidates, threading.Event()) for model in (pair.warm, pair.cold))
    for found, expected in zip(warm, cold, strict=True):
        assert found == pytest.approx(expected, abs=pair.tolerance)
    # The candidates are not in the cache afterwards.
    pair.check_reply(question)


def test_another_image_in_the_same_position_is_encoded(pair: Pair, make_image: Callable[[int], Image]) -> None:
    _, usage = pair.check_reply([user("Look!", make_image(1))])
    one = pair.logits[usage.prompt_tokens]
    _, usage = pair.check_reply([user("Look!", make_image(2))])
    assert not torch.allclose(one, pair.logits[usage.prompt_tokens], rtol=1e-4, atol=1e-4)
    assert usage.cached_tokens < usage.prompt_tokens - 4


def test_a_conversation_turns_from_text_to_an_image_and_back(pair: Pair, make_image: Callable[[int], Image]) -> None:
    text_only = [user("What is this?")]
    alone, _ = pair.check_reply(text_only)
    pair.check_reply([*text_only, assistant(alone), user("And this?", make_image(1))])
    again, _ = pair.check_reply(text_only)
    assert again == alone


def test_a_known_image_in_a_new_prompt_is_not_encoded_again(
    llava_folder: Path, make_image: Callable[[int], Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = LocalModel.load(str(llava_folder), device="cpu")
    encoded = count_encoded(model, monkeypatch)
    complete(model, user("Look!", make_image(1)), max_tokens=2)
    # Everything after the first word must be prefilled anew, but the image has been encoded before.
    complete(model, user("Hm.", make_image(2), make_image(1)), max_tokens=2)
    assert len(encoded) == 2


def test_many_images_are_encoded_once_and_the_image_cache_keeps_its_limit(
    llava_folder: Path, make_image: Callable[[int], Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = LocalModel.load(str(llava_folder), device="cpu")
    encoded = count_encoded(model, monkeypatch)
    opening = user("", *map(make_image, range(50)))
    for conversation in ([opening], [user("Other words first."), opening]):
        complete(model, *conversation, max_tokens=1)
        assert len(encoded) == 50
    # Images of a prompt that does not fit are not encoded.
    with pytest.raises(ContextOverflow):
        complete(model, user("", *map(make_image, range(50, 200))), max_tokens=1)
    assert len(encoded) == 50
    cache = image_encoder_of(model)._cache
    max_bytes = 5 * next(iter(cache.values())).num_bytes
    monkeypatch.setattr(image_encoder_of(model), "_max_bytes", max_bytes)
    complete(model, user("", make_image(1)), max_tokens=1)
    assert 0 < sum(image.num_bytes for image in cache.values()) <= max_bytes


def test_images_are_encoded_chunk_by_chunk_so_that_stop_takes_effect_between_them(
    qwen_folder: Path, make_image: Callable[[int], Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = LocalModel.load(str(qwen_folder), device="cpu", quantize="none")
    monkeypatch.setattr(engine, "_CHUNK_TOKENS", 8)
    encoded = count_encoded(model, monkeypatch)
    stop = threading.Event()
    decoder = decoder_of(model)
    forward = decoder.forward

    def stop_after_an_image(*arguments: Any) -> Any:
        if encoded:
            stop.set()
        return forward(*arguments)

    monkeypatch.setattr(decoder, "forward", stop_after_an_image)
    assert not complete(model, user("", *map(make_image, range(9))), stop=stop)
    assert 0 < len(encoded) < 9


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_failed_computation_is_one_sentence_and_empties_the_cache(
    llava_pair: Pair, monkeypatch: pytest.MonkeyPatch, temperature: float
) -> None:
    question = [user("What is this?")]
    expected, _ = llava_pair.check_reply(question)
    decoder = decoder_of(llava_pair.warm)
    for broken in (lambda _: torch.full((320,), torch.nan), lambda _: torch.ones(2) @ torch.ones(3)):
        with monkeypatch.context() as patched:
            patched.setattr(decoder._llama, "forward", broken)
            with pytest.raises(ModelError):
                complete(llava_pair.warm, *question, max_tokens=8, temperature=temperature)
        assert not cached_keys(llava_pair.warm)
    assert llava_pair.check_reply(question)[0] == expected


def test_an_interrupted_step_leaves_nothing_in_the_cache(
    llava_pair: Pair, make_image: Callable[[int], Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    question = [user("What is in this picture?", make_image(1))]
    expected, _ = llava_pair.check_reply(question)
    decoder = decoder_of(llava_pair.warm)
    forward = decoder._llama.forward

    def interrupt(x: torch.Tensor) -> Any:
        if len(x) > 1:
            return forward(x)
        forward(x)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(decoder._llama, "forward", interrupt)
        with pytest.raises(KeyboardInterrupt):
            complete(llava_pair.warm, *question, max_tokens=8)
    assert llava_pair.check_reply(question)[0] == expected


def test_what_was_prepared_is_not_prefilled_again(
    llava_pair: Pair, make_image: Callable[[int], Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    clear_caches(llava_pair.warm)
    encoded = count_encoded(llava_pair.warm, monkeypatch)
    llava_pair.warm.prepare([user("", make_image(5))], threading.Event())
    assert len(encoded) == 1
    _, usage = llava_pair.check_reply([user("What is this?", make_image(5))])
    assert usage.cached_tokens
    assert len(encoded) == 1


def test_preparing_stops_when_it_is_told_to(llava_pair: Pair) -> None:
    clear_caches(llava_pair.warm)
    stop = threading.Event()
    stop.set()
    llava_pair.warm.prepare([user("What is this?")], stop)
    assert not cached_keys(llava_pair.warm)


def test_a_long_prompt_is_prefilled_in_chunks_so_that_stop_takes_effect_between_them(llava_pair: Pair) -> None:
    clear_caches(llava_pair.warm)
    long = [user("dog " * 180)]
    stop = threading.Event()
    decoder = decoder_of(llava_pair.warm)
    forward, sizes = decoder.forward, []

    def stop_in_a_chunk(prompt: Prompt, start: int, end: int) -> Any:
        sizes.append(end - start)
        stop.set()
        return forward(prompt, start, end)

    decoder.forward = stop_in_a_chunk
    text, usage = complete_with_usage(llava_pair.warm.stream(long, GenerationOptions(), stop))
    decoder.forward = forward
    assert text == ""
    assert sum(sizes) < usage.prompt_tokens
    _, usage = llava_pair.check_reply(long)
    assert usage.cached_tokens == sum(sizes)


@given(st.lists(st.sampled_from([1, 2, "a", "b"]), max_size=8), st.lists(st.sampled_from([1, 2, "a", "b"]), max_size=8))
def test_a_common_prefix_is_common_and_ends_at_the_first_difference(
    one: list[int | str], other: list[int | str]
) -> None:
    length = common_prefix_length(one, other)
    assert one[:length] == other[:length]
    assert one[length : length + 1] != other[length : length + 1] or length in {len(one), len(other)}


@given(st.data())
def test_chunks_cover_the_prompt_and_never_split_an_atomic_span(data: st.DataObject) -> None:
    length = data.draw(st.integers(1, 60))
    cuts = sorted(set(data.draw(st.lists(st.integers(0, length), max_size=6))))
    spans = list(zip(cuts[::2], cuts[1::2], strict=False))
    prompt = Prompt(list(range(length)), list(range(length)), spans)
    cache = PromptCache(list(range(data.draw(st.integers(0, length)))))
    start = cache.match_prefix(prompt)
    found = list(chunks(prompt, start, data.draw(st.integers(1, 20))))
    assert start < length
    assert [index for first, end in found for index in range(first, end)] == list(range(start, length))
    assert not any(first < end < last for _, end in found for first, last in spans)
