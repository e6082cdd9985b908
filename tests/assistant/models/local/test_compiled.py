"""Compiled, recorded at fixed shapes, and remembered between turns: the tokens are those of the plain model."""

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters

from assistant.errors import ModelError
from assistant.messages import Image, Message, assistant, user
from assistant.models.base import GenerationOptions
from assistant.models.local import compiled
from assistant.models.local.compiled import CompiledDecoder, StaticKVCache, is_supported
from assistant.models.local.loader import load
from assistant.models.local.model import LocalModel
from assistant.models.local.placement import choose_device
from assistant.models.local.prompt_lookup import NUM_DRAFT_TOKENS
from tests.assistant.models.conftest import EVEN, make_llava, speed_up
from tests.assistant.models.local.test_prompt_cache import finish, forget
from tests.fakes import model_shapes
from tests.fakes.tiny_catalog import shrunk_qwen3_vl

SHORT = 64
"""A first capacity that conversations here outgrow."""


@pytest.fixture(autouse=True)
def _compile_anew() -> Iterator[None]:
    """What others compiled before counts neither as compiled here nor towards the limit of recompilations."""
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def load_compiled(
    folder: Path, quantize: str = "none", capacity: int = 512, backend: str | None = "eager"
) -> LocalModel:
    """The model in `folder`, traced as on a GPU; its graph is then run as it is, which takes no compiler."""
    model = LocalModel.load(str(folder), device="cpu", quantize=quantize)
    speed_up(model, capacity, backend)
    return model


def say(model: LocalModel, messages: list[Message], tokens: int = 12, most: int = 1000) -> str:
    return finish(model.stream(messages, GenerationOptions(max_tokens=tokens), threading.Event()), most)[0]


@pytest.fixture(
    params=["qwen", *(pytest.param(name, marks=pytest.mark.gpu_stack) for name in ("qwen3_vl", "internvl"))]
)
def folder(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(f"{request.param}_folder")
    return found


def test_a_conversation_goes_as_with_the_plain_model(folder: Path, picture: Callable[[int], Image]) -> None:
    plain = LocalModel.load(str(folder), device="cpu", quantize="none")
    fast = load_compiled(folder, capacity=SHORT)

    def both(messages: list[Message]) -> str:
        forget(plain)
        expected = say(plain, messages)
        assert say(fast, messages) == expected
        return expected

    opening = [user("What is in this picture?", picture(1))]
    talk = [*opening, assistant(both(opening)), user("And in this one? Which is which?", picture(2))]
    reply = both(talk)
    # A skill asks something of its own in between, a reply is broken off, and a question asked differently.
    both([user("Is there a dog?", picture(2))])
    say(fast, [*talk, assistant(reply), user("What colour is the grass? " * 3)], most=3)
    both([*talk, assistant(reply), user("What colour is the child?")])
    both([user("What is this?")])
    decoder: Any = fast._decoder
    outgrown = decoder._compiled.cache.capacity
    assert SHORT < outgrown <= fast.info.context_tokens, "the conversation outgrew what there was room for at first"
    assert decoder._compiled.cache.length > 0


def test_twenty_prompts_of_different_length_compile_nothing(qwen_folder: Path) -> None:
    model = load_compiled(qwen_folder)
    graphs = counters["stats"]["unique_graphs"]
    assert graphs == 2, "steps of one token, and of one with guesses"
    # From a thread that is not the one it was loaded in, as in a conversation.
    heard: list[str] = []
    with torch._dynamo.config.patch(error_on_recompile=True):
        for number in range(20):
            asking = threading.Thread(target=lambda n=number: heard.append(say(model, [user("dog " * (1 + 7 * n))])))
            asking.start()
            asking.join()
    assert len(heard) == 20
    assert counters["stats"]["unique_graphs"] == graphs


def test_how_likely_replies_are_is_said_as_by_the_plain_model(qwen_folder: Path) -> None:
    question, options, stop = [user("Is there a dog?")], ["yes", "no", "a dog runs"], threading.Event()
    plain = LocalModel.load(str(qwen_folder), device="cpu", quantize="none")
    fast = load_compiled(qwen_folder, backend=None)
    for model in (plain, fast):
        say(model, [user("What is this?")])
    for expected, found in zip(plain.score(question, options, stop), fast.score(question, options, stop), strict=True):
        assert found == pytest.approx(expected, abs=1e-4)
    assert say(fast, question) == say(plain, question)


def test_what_a_failure_leaves_behind_is_not_seen(qwen_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_compiled(qwen_folder, backend=None)
    question = [user("What is this?")]
    expected = say(model, question)
    decoder: Any = model._decoder
    step = decoder._compiled.step

    def broken(tokens: list[int], position: int) -> torch.Tensor:
        cache = decoder._compiled.cache
        for block in (*cache.keys, *cache.values):
            block[:, :, cache.length] = torch.nan
        return step(tokens, position) * torch.nan  # type: ignore[no-any-return]

    with monkeypatch.context() as patched:
        patched.setattr(decoder._compiled, "step", broken)
        with pytest.raises(ModelError, match="NaN"):
            say(model, question)
    assert say(model, question) == expected


@pytest.mark.parametrize("survivors", [0, 1, 3])
def test_memory_that_runs_out_while_blocks_grow_leaves_them_in_order(
    qwen_folder: Path, monkeypatch: pytest.MonkeyPatch, survivors: int
) -> None:
    first, second = [user("What is this?")], [user("A dog runs over the grass. " * 12)]
    plain = LocalModel.load(str(qwen_folder), device="cpu", quantize="none")
    fast = load_compiled(qwen_folder, capacity=SHORT)
    assert say(fast, first, 4) == say(plain, first, 4)
    block, grown = compiled._static_block, iter(range(100))

    def exhausted(tensor: torch.Tensor) -> torch.Tensor:
        if next(grown) == survivors:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return block(tensor)

    monkeypatch.setattr(compiled, "_static_block", exhausted)
    # The second try comes by itself, and needs as many blocks.
    assert say(fast, second) == say(plain, second)
    assert next(grown) > survivors + 1
    assert say(fast, first, 4) == say(plain, first, 4)


def test_blocks_may_grow_more_often_than_the_compiler_compiles_anew_by_itself(qwen_folder: Path) -> None:
    decoder: Any = load_compiled(qwen_folder, capacity=8)._decoder
    steps = decoder._compiled
    graphs = counters["stats"]["unique_graphs"]
    for _ in range(9):
        steps.cache.reserve(2 * steps.cache.capacity)
        with torch.inference_mode():
            for width in (1, 1 + NUM_DRAFT_TOKENS):
                steps.step([7] * width, steps.cache.length)
    assert steps.cache.capacity == 8 * 2**9
    assert counters["stats"]["unique_graphs"] == graphs + 18


def test_a_model_that_is_closed_leaves_no_weights_behind(qwen_folder: Path) -> None:
    model = load_compiled(qwen_folder)
    say(model, [user("What is this?")])
    decoder: Any = model._decoder
    weights = weakref.ref(decoder._model)
    del decoder
    model.close()
    gc.collect()
    assert weights() is None


@pytest.mark.slow
def test_in_four_bits_it_is_one_graph_as_well(tmp_path: Path) -> None:
    folder = make_llava(tmp_path / "even-qwen", "Qwen2Config", sizes={**EVEN, "head_dim": 16})
    question = [user("What is in this picture?")]
    expected = say(LocalModel.load(str(folder), device="cpu", quantize="nf4"), question)
    assert say(load_compiled(folder, "nf4"), question) == expected


@pytest.mark.parametrize("width", [1, 3])
def test_qwen3_vl_is_read_where_it_says_it_is(width: int) -> None:
    from transformers import AutoModelForImageTextToText

    torch.manual_seed(1)
    model = AutoModelForImageTextToText.from_config(shrunk_qwen3_vl(vocab_size=320)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4 if parameter.ndim > 1 else 1.0)
    ids = torch.randint(0, 320, (1, 30), generator=torch.Generator().manual_seed(2))
    # As after a picture: time, height and width apart for some tokens, and from then on behind their place.
    positions = torch.arange(30).expand(3, 1, -1).clone()
    positions[:, 0, 4:8] = torch.tensor([[4, 4, 4, 4], [4, 4, 5, 5], [4, 5, 4, 5]])
    positions[:, :, 8:] -= 2
    with torch.inference_mode():
        expected = model(input_ids=ids, position_ids=positions).logits[0]
        cache = StaticKVCache.for_model(model, SHORT)
        steps = CompiledDecoder(model, cache, uses_mrope=True, backend="eager")
        steps.warmup([width])
        model(input_ids=ids[:, :15], position_ids=positions[..., :15], past_key_values=cache)
        for start in range(15, 30, width):
            found = steps.step(ids[0, start : start + width].tolist(), start - 2)
            torch.testing.assert_close(found, expected[start : start + width], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(("name", "fits"), [("qwen3-vl-8b", True), ("internvl3.5-8b", True), ("gemma-3-4b", False)])
def test_families_are_told_apart(name: str, fits: bool) -> None:
    from transformers import AutoModelForImageTextToText

    with torch.device("meta"):
        assert is_supported(AutoModelForImageTextToText.from_config(model_shapes.configs()[name])) is fits


def test_who_asks_for_what_cannot_be_is_told(gemma_folder: Path, llava_folder: Path) -> None:
    told = load(str(gemma_folder), choose_device("cpu", "none", "on")).notices
    assert told == ("tiny-gemma is of a family that cannot be compiled: it decodes as transformers does.",)
    told = load(str(llava_folder), choose_device("cpu", "none", "on")).notices
    assert told == ("tiny-llava decodes by code of its own, which is not compiled.",)


def test_where_the_compiler_fails_it_says_so_and_answers_all_the_same(
    qwen_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = [user("What is this?")]
    expected = say(LocalModel.load(str(qwen_folder), device="cpu", quantize="none"), question)

    def no_compiler(*_: Any, **__: Any) -> Any:
        raise RuntimeError("Failed to find C compiler.\nSee the log.")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: no_compiler)
    model = LocalModel.load(str(qwen_folder), device="cpu", quantize="none", compile="on")
    assert model.notices == ("tiny-qwen could not be compiled and answers more slowly: Failed to find C compiler.",)
    assert say(model, question) == expected


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_compiled_for_this_processor_it_says_the_same(qwen_folder: Path, picture: Callable[[int], Image]) -> None:
    plain = LocalModel.load(str(qwen_folder), device="cpu", quantize="none")
    heard: list[str] = []
    fast = LocalModel.load(
        str(qwen_folder), device="cpu", quantize="none", compile="on", progress=lambda what, *_: heard.append(what)
    )
    assert not fast.notices
    assert heard[-1] == "compiling tiny-qwen"
    with torch._dynamo.config.patch(error_on_recompile=True):
        for words in ("What is this?", "A dog runs over the grass. " * 6, "日本"):
            question = [user(words, picture(1))]
            assert say(fast, question, 40) == say(plain, question, 40)
