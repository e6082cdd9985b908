"""Compiled decoding with static shapes writes the same replies as transformers' own code."""

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
from tests.fakes import model_shapes
from tests.fakes.generation import complete, complete_partly
from tests.fakes.tiny_catalog import shrunk_qwen3_vl
from tests.fakes.tiny_models import QUANTIZABLE_SIZES, clear_caches, decoder_of, make_llava, use_compiled_decoder

SMALL_CAPACITY = 64
"""Tokens. Conversations here outgrow it."""


@pytest.fixture(autouse=True)
def _reset_compiler() -> Iterator[None]:
    """Forget what other tests compiled: it would count as compiled here, and towards the limit of recompilations."""
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def load_compiled(
    folder: Path, quantize: str = "none", capacity: int = 512, backend: str | None = "eager"
) -> LocalModel:
    """Load the model in `folder` and trace it as on a GPU. The "eager" backend runs the graph without a C compiler."""
    model = LocalModel.load(str(folder), device="cpu", quantize=quantize)
    use_compiled_decoder(model, capacity, backend)
    return model


def reply(model: LocalModel, *messages: Message, max_tokens: int = 12) -> str:
    return complete(model, *messages, max_tokens=max_tokens)


@pytest.fixture(
    params=["qwen", *(pytest.param(name, marks=pytest.mark.gpu_stack) for name in ("qwen3_vl", "internvl"))]
)
def folder(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(f"{request.param}_folder")
    return found


def test_a_conversation_has_the_replies_of_the_plain_model(folder: Path, make_image: Callable[[int], Image]) -> None:
    plain = LocalModel.load(str(folder), device="cpu", quantize="none")
    fast = load_compiled(folder, capacity=SMALL_CAPACITY)

    def both(*messages: Message) -> str:
        clear_caches(plain)
        expected = reply(plain, *messages)
        assert reply(fast, *messages) == expected
        return expected

    opening = user("What is in this picture?", make_image(1))
    conversation = [opening, assistant(both(opening)), user("And in this one? Which is which?", make_image(2))]
    conversation.append(assistant(both(*conversation)))
    # Then another prompt in between, a reply that is stopped, and the last question asked differently.
    both(user("Is there a dog?", make_image(2)))
    stopped = [*conversation, user("What colour is the grass? " * 3)]
    complete_partly(fast.stream(stopped, GenerationOptions(max_tokens=12), threading.Event()), 3)
    both(*conversation, user("What colour is the child?"))
    both(user("What is this?"))
    cache = decoder_of(fast)._compiled.cache
    assert SMALL_CAPACITY < cache.capacity <= fast.info.context_tokens, "the conversation outgrew the first blocks"
    assert cache.length > 0


def test_prompts_of_any_length_cause_no_recompilation(qwen_folder: Path) -> None:
    model = load_compiled(qwen_folder)
    graphs = counters["stats"]["unique_graphs"]
    assert graphs == 2, "steps of one token, and of one with a draft"
    # In other threads than the one that loaded the model, as in a conversation.
    replies: list[str] = []
    with torch._dynamo.config.patch(error_on_recompile=True):
        for number in range(20):
            asking = threading.Thread(target=lambda n=number: replies.append(reply(model, user("dog " * (1 + 7 * n)))))
            asking.start()
            asking.join()
    assert len(replies) == 20
    assert counters["stats"]["unique_graphs"] == graphs


def test_scores_are_those_of_the_plain_model(qwen_folder: Path) -> None:
    question, candidates, stop = user("Is there a dog?"), ["yes", "no", "a dog runs"], threading.Event()
    plain = LocalModel.load(str(qwen_folder), device="cpu", quantize="none")
    fast = load_compiled(qwen_folder, backend=None)
    for model in (plain, fast):
        reply(model, user("What is this?"))
    expected, found = (model.score([question], candidates, stop) for model in (plain, fast))
    for one, other in zip(expected, found, strict=True):
        # float32 sums over a window of 512 positions instead of the prompt's: a hundred times their rounding error.
        assert other == pytest.approx(one, abs=1e-3)
    assert reply(fast, question) == reply(plain, question)


def test_a_failure_leaves_no_nan_in_the_cache(qwen_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_compiled(qwen_folder, backend=None)
    question = user("What is this?")
    expected = reply(model, question)
    decoder = decoder_of(model)
    step = decoder._compiled.step

    def broken(tokens: list[int], position: int) -> torch.Tensor:
        cache = decoder._compiled.cache
        for block in (*cache.keys, *cache.values):
            block[:, :, cache.length] = torch.nan
        return step(tokens, position) * torch.nan  # type: ignore[no-any-return]

    with monkeypatch.context() as patched:
        patched.setattr(decoder._compiled, "step", broken)
        with pytest.raises(ModelError, match="NaN"):
            reply(model, question)
    assert reply(model, question) == expected


@pytest.mark.parametrize("survivors", [0, 1, 3])
def test_running_out_of_memory_while_blocks_grow_does_no_harm(
    qwen_folder: Path, monkeypatch: pytest.MonkeyPatch, survivors: int
) -> None:
    first, second = user("What is this?"), user("A dog runs over the grass. " * 12)
    plain = LocalModel.load(str(qwen_folder), device="cpu", quantize="none")
    fast = load_compiled(qwen_folder, capacity=SMALL_CAPACITY)
    assert reply(fast, first, max_tokens=4) == reply(plain, first, max_tokens=4)
    static_block, calls = compiled._static_block, iter(range(100))

    def exhausted(tensor: torch.Tensor) -> torch.Tensor:
        if next(calls) == survivors:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return static_block(tensor)

    monkeypatch.setattr(compiled, "_static_block", exhausted)
    # The model tries a second time by itself, which needs as many blocks.
    assert reply(fast, second) == reply(plain, second)
    assert next(calls) > survivors + 1
    assert reply(fast, first, max_tokens=4) == reply(plain, first, max_tokens=4)


def test_blocks_may_grow_beyond_the_recompilation_limit(qwen_folder: Path) -> None:
    steps = decoder_of(load_compiled(qwen_folder, capacity=8))._compiled
    graphs = counters["stats"]["unique_graphs"]
    with torch._dynamo.config.patch(recompile_limit=2), torch.inference_mode():
        for _ in range(3):
            steps.cache.reserve(2 * steps.cache.capacity)
            for q_len in (1, 1 + NUM_DRAFT_TOKENS):
                steps.step([7] * q_len, steps.cache.length)
    assert steps.cache.capacity == 8 * 2**3
    assert counters["stats"]["unique_graphs"] == graphs + 6


def test_closing_a_model_frees_its_weights(qwen_folder: Path) -> None:
    model = load_compiled(qwen_folder)
    reply(model, user("What is this?"))
    weights = weakref.ref(decoder_of(model)._model)
    model.close()
    gc.collect()
    assert weights() is None


@pytest.mark.slow
def test_nf4_weights_compile_to_one_graph(tmp_path: Path) -> None:
    folder = make_llava(tmp_path / "even-qwen", "Qwen2Config", sizes={**QUANTIZABLE_SIZES, "head_dim": 16})
    question = user("What is in this picture?")
    expected = reply(LocalModel.load(str(folder), device="cpu", quantize="nf4"), question)
    assert reply(load_compiled(folder, "nf4"), question) == expected


@pytest.mark.parametrize("q_len", [1, 3])
def test_compiled_steps_use_mrope_positions(q_len: int) -> None:
    from transformers import AutoModelForImageTextToText

    torch.manual_seed(1)
    model = AutoModelForImageTextToText.from_config(shrunk_qwen3_vl(vocab_size=320)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4 if parameter.ndim > 1 else 1.0)
    ids = torch.randint(0, 320, (1, 30), generator=torch.Generator().manual_seed(2))
    # As with an image: its tokens have different positions on the axes, and the text after it continues earlier.
    positions = torch.arange(30).expand(3, 1, -1).clone()
    positions[:, 0, 4:8] = torch.tensor([[4, 4, 4, 4], [4, 4, 5, 5], [4, 5, 4, 5]])
    positions[:, :, 8:] -= 2
    with torch.inference_mode():
        expected = model(input_ids=ids, position_ids=positions).logits[0]
        cache = StaticKVCache.for_model(model, SMALL_CAPACITY)
        steps = CompiledDecoder(model, cache, uses_mrope=True, backend="eager")
        steps.warmup([q_len])
        model(input_ids=ids[:, :15], position_ids=positions[..., :15], past_key_values=cache)
        for start in range(15, 30, q_len):
            found = steps.step(ids[0, start : start + q_len].tolist(), start - 2)
            # Logits reach 15 here. Wrong positions change some by more than 2.
            torch.testing.assert_close(found, expected[start : start + q_len], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("name", "supported"), [("qwen3-vl-8b", True), ("internvl3.5-8b", True), ("gemma-3-4b", False)]
)
def test_only_models_with_full_attention_are_supported(name: str, supported: bool) -> None:
    from transformers import AutoModelForImageTextToText

    with torch.device("meta"):
        assert is_supported(AutoModelForImageTextToText.from_config(model_shapes.configs()[name])) is supported


def test_a_notice_says_if_a_model_cannot_be_compiled(gemma_folder: Path, llava_folder: Path) -> None:
    notices = load(str(gemma_folder), choose_device("cpu", "none", "on")).notices
    assert notices == ("tiny-gemma is of a family that cannot be compiled: it decodes as transformers does.",)
    notices = load(str(llava_folder), choose_device("cpu", "none", "on")).notices
    assert notices == ("tiny-llava decodes by code of its own, which is not compiled.",)


def test_a_failing_compiler_causes_a_notice_and_no_other_replies(
    qwen_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = user("What is this?")
    expected = reply(LocalModel.load(str(qwen_folder), device="cpu", quantize="none"), question)

    def no_compiler(*_: Any, **__: Any) -> Any:
        raise RuntimeError("Failed to find C compiler.\nSee the log.")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: no_compiler)
    model = LocalModel.load(str(qwen_folder), device="cpu", quantize="none", compile="on")
    assert model.notices == ("tiny-qwen could not be compiled and answers more slowly: Failed to find C compiler.",)
    assert reply(model, question) == expected


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_code_compiled_for_this_processor_is_as_exact(qwen_folder: Path, make_image: Callable[[int], Image]) -> None:
    plain = LocalModel.load(str(qwen_folder), device="cpu", quantize="none")
    labels: list[str] = []
    fast = LocalModel.load(
        str(qwen_folder), device="cpu", quantize="none", compile="on", progress=lambda label, *_: labels.append(label)
    )
    assert not fast.notices
    assert labels[-1] == "compiling tiny-qwen"
    with torch._dynamo.config.patch(error_on_recompile=True):
        for words in ("What is this?", "A dog runs over the grass. " * 6, "日本"):
            question = user(words, make_image(1))
            assert reply(fast, question, max_tokens=40) == reply(plain, question, max_tokens=40)
