"""Every decoder generates the tokens of transformers' own `generate`."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from assistant.attachments.images import decode
from assistant.errors import ModelError
from assistant.messages import Image, Message, assistant, user
from assistant.models.local.checkpoint import read_adapter
from assistant.models.local.decoders.llava import LlavaDecoder
from assistant.models.local.decoders.transformers import TransformersDecoder
from assistant.models.local.llama import KVBuffer
from assistant.models.local.lora import LoraAdapter
from assistant.models.local.model import LocalModel
from tests.fakes.generation import complete
from tests.fakes.tiny_models import decoder_of, make_llava

GPU_STACK = ("qwen3_vl", "qwen3_5", "smolvlm2", "internvl", "gemma4", "large_gemma4", "lfm3_vl")
"""Families whose processors need torchvision."""

INT8_TOLERANCE = 0.2
"""Relative error, of random weights that are larger than trained ones."""


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def generate(folder: Path, messages: list[Message], change: Callable[[Any], object] = id) -> str:
    """Return the reply of transformers' `generate`, without its last bytes if they are no complete character."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    processor = AutoProcessor.from_pretrained(folder)
    model: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    change(model)
    conversation = [
        {
            "role": message.role,
            "content": [{"type": "image"} for _ in message.images] + [{"type": "text", "text": message.text}],
        }
        for message in messages
    ]
    prompt = processor.apply_chat_template(conversation, add_generation_prompt=True)
    images = [decode(image) for message in messages for image in message.images]
    inputs = processor(
        text=[prompt], images=[images] if images else None, return_tensors="pt", add_special_tokens=False
    )
    vocabulary = processor.tokenizer.get_vocab()
    stops = [vocabulary["<|endoftext|>"], vocabulary.get("<end_of_utterance>", vocabulary["<|im_end|>"])]
    with torch.inference_mode():
        output = model.generate(**inputs, max_new_tokens=16, do_sample=False, eos_token_id=stops, pad_token_id=0)
    written = output[0, inputs["input_ids"].shape[1] :].tolist()
    text: str = processor.tokenizer.decode(written, skip_special_tokens=True)
    return text.rstrip("\N{REPLACEMENT CHARACTER}")


@pytest.fixture(
    params=[
        "llava",
        "qwen",
        "gemma",
        *(pytest.param(family, marks=pytest.mark.gpu_stack) for family in GPU_STACK),
    ]
)
def folder(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(f"{request.param}_folder")
    return found


def test_text_and_images_get_the_reply_of_transformers(folder: Path, make_image: Callable[[int], Image]) -> None:
    model = LocalModel.load(str(folder), device="cpu", quantize="none")
    conversations = [
        [user("What is this?")],
        [user("What is this?", make_image(1))],
        [
            user("Look!", make_image(1)),
            assistant("A dog."),
            user("And this? Which is which?", make_image(2), make_image(1)),
        ],
        # Text alone after images, of which nothing may be left in the cache.
        [user("What is this?")],
    ]
    for messages in conversations:
        expected = generate(folder, messages)
        assert complete(model, *messages, max_tokens=16).rstrip("\N{REPLACEMENT CHARACTER}") == expected
        # Again with a warm cache.
        assert complete(model, *messages, max_tokens=16).rstrip("\N{REPLACEMENT CHARACTER}") == expected


def test_only_a_plain_llama_has_the_fast_decoder(llava_folder: Path, qwen_folder: Path, gemma_folder: Path) -> None:
    models = [LocalModel.load(str(found)) for found in (llava_folder, qwen_folder, gemma_folder)]
    assert [type(decoder_of(model)) for model in models] == [LlavaDecoder, TransformersDecoder, TransformersDecoder]


def test_the_adapter_acts_like_merged_weights_on_images_and_not_at_all_on_text(
    llava_folder: Path, adapted_folder: Path, make_image: Callable[[int], Image]
) -> None:
    adapter = read_adapter(adapted_folder / "picture_adapter.safetensors")

    def merge(model: Any) -> None:
        for name, layer in model.model.language_model.named_modules():
            if isinstance(layer, torch.nn.Linear):
                layer.weight.data = adapter.merge(name, layer.weight.data)

    text_only, with_image = [user("What is this?")], [user("What is this?", make_image(1))]
    model = LocalModel.load(str(adapted_folder), device="cpu", quantize="none")

    def answer(messages: list[Message]) -> str:
        return complete(model, *messages, max_tokens=16).rstrip("\N{REPLACEMENT CHARACTER}")

    assert answer(text_only) == generate(llava_folder, text_only)
    assert answer(with_image) == generate(llava_folder, with_image, merge)
    assert generate(llava_folder, with_image, merge) != generate(llava_folder, with_image)


@pytest.mark.parametrize("quantize", ["int8", "none"])
def test_text_alone_is_answered_by_the_base_model(llava_folder: Path, adapted_folder: Path, quantize: str) -> None:
    plain, adapted = (
        LocalModel.load(str(found), device="cpu", quantize=quantize) for found in (llava_folder, adapted_folder)
    )
    for words in ("What is this?", "A dog runs over the grass.", "日本"):
        assert complete(adapted, user(words), max_tokens=40) == complete(plain, user(words), max_tokens=40)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("quantize", ["int8", "none"])
def test_logits_hardly_depend_on_how_a_prompt_is_chunked(adapted_folder: Path, quantize: str, threads: int) -> None:
    model = LocalModel.load(str(adapted_folder), device="cpu", quantize=quantize)
    llama = decoder_of(model)._llama
    ids = torch.randint(0, 300, (40,), generator=torch.Generator().manual_seed(5))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            for adapted in (False, True):
                llama.set_adapter(enabled=adapted)
                seen = []
                for sizes in ([40], [1] * 40, [33, 1, 6], [3, 34, 3]):
                    llama.length = 0
                    for part in ids.split(sizes):
                        logits = llama.forward(llama.embed(part))
                    seen.append(logits)
                for logits in seen[1:]:
                    assert relative_error(logits, seen[0]) < (INT8_TOLERANCE if quantize == "int8" else 1e-4)
    finally:
        torch.set_num_threads(before)


def test_int8_logits_are_those_of_float32_within_the_tolerance(adapted_folder: Path) -> None:
    logits, states = {}, {}
    ids = torch.randint(0, 300, (40,), generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        for quantize in ("int8", "none"):
            llama = decoder_of(LocalModel.load(str(adapted_folder), device="cpu", quantize=quantize))._llama
            llama.set_adapter(enabled=True)
            logits[quantize] = llama.forward(llama.embed(ids))
            states[quantize] = llama.hidden_states(llama.embed(ids), (1, 2))
    assert relative_error(logits["int8"], logits["none"]) < INT8_TOLERANCE
    assert relative_error(states["int8"], states["none"]) < INT8_TOLERANCE


def test_layers_after_the_last_hidden_states_are_not_computed(
    adapted_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffers: list[KVBuffer] = []

    class Watched(KVBuffer):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            buffers.append(self)

    llama = decoder_of(LocalModel.load(str(adapted_folder), device="cpu", quantize="int8"))._llama
    monkeypatch.setattr("assistant.models.local.llama.KVBuffer", Watched)
    x = llama.embed(torch.arange(9))
    with torch.inference_mode():
        both = llama.hidden_states(x, (1, 2))
        first = llama.hidden_states(x, (1,))
    assert torch.equal(first[0], both[0])
    assert [[bool(layer.any()) for layer in buffer.data] for buffer in buffers] == [[True, True], [True, False]]


def test_the_kv_cache_grows_with_the_conversation(tmp_path: Path) -> None:
    folder = make_llava(tmp_path / "llava", context_tokens=2048)
    model = LocalModel.load(str(folder), device="cpu", quantize="none")
    llama = decoder_of(model)._llama
    ids = torch.randint(0, 300, (1100,), generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        complete_logits = llama.forward(llama.embed(ids))
        llama.length = 0
        for part in ids.split([500, 20, 580]):
            logits = llama.forward(llama.embed(part))
    assert llama.length == 1100
    assert relative_error(logits, complete_logits) < 1e-4


def test_an_adapter_for_another_model_is_refused(adapted_folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    folder = tmp_path / "model"
    shutil.copytree(adapted_folder, folder)
    tensors = {"layers.0.self_attn.q_proj.lora_A": torch.zeros(2, 7)}
    save_file(tensors, folder / "picture_adapter.safetensors", {"alpha": "4", "r": "2"})
    with pytest.raises(ModelError, match="fits no layer"):
        LocalModel.load(str(folder))


def test_a_lora_adapter_adds_alpha_over_rank_times_b_a() -> None:
    down, up, weight = torch.randn(2, 5), torch.randn(3, 2), torch.randn(3, 5)
    adapter = LoraAdapter({"x.lora_A": down, "x.lora_B": up}, alpha=6, rank=2)
    torch.testing.assert_close(adapter.merge("x", weight), weight + 3 * up @ down)
    assert adapter.merge("y", weight) is weight
