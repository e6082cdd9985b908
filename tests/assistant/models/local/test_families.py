"""The same tokens as transformers' own `generate`, for every way there is of running a model."""

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from assistant.attachments.images import decode
from assistant.errors import ModelError
from assistant.messages import Image, Message, assistant, user
from assistant.models.base import GenerationOptions
from assistant.models.local.decoders.llava import LlavaDecoder
from assistant.models.local.decoders.transformers import TransformersDecoder
from assistant.models.local.llama import LoraAdapter
from assistant.models.local.checkpoint import read_adapter
from assistant.models.local.model import LocalModel


def tell(model: LocalModel, messages: list[Message], tokens: int = 16) -> str:
    return "".join(model.stream(messages, GenerationOptions(max_tokens=tokens), threading.Event()))


def generate(folder: Path, messages: list[Message], change: Callable[[Any], object] = id) -> str:
    """What transformers itself makes of `messages`, as the plainest script would ask it."""
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
        *(pytest.param(family, marks=pytest.mark.gpu_stack) for family in ("qwen3_vl", "smolvlm2", "internvl")),
    ]
)
def folder(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(f"{request.param}_folder")
    return found


def test_words_and_pictures_are_answered_as_transformers_would(folder: Path, picture: Callable[[int], Image]) -> None:
    model = LocalModel.load(str(folder), device="cpu", quantize="none")
    talks = [
        [user("What is this?")],
        [user("What is this?", picture(1))],
        [user("Look!", picture(1)), assistant("A dog."), user("And this? Which is which?", picture(2), picture(1))],
        # Words alone after pictures, of which nothing may be left.
        [user("What is this?")],
    ]
    for messages in talks:
        expected = generate(folder, messages)
        assert tell(model, messages).rstrip("\N{REPLACEMENT CHARACTER}") == expected
        # And again, with whatever is remembered by now.
        assert tell(model, messages).rstrip("\N{REPLACEMENT CHARACTER}") == expected


def test_each_family_has_its_way(llava_folder: Path, qwen_folder: Path, gemma_folder: Path) -> None:
    ways = [type(LocalModel.load(str(found))._decoder) for found in (llava_folder, qwen_folder, gemma_folder)]
    assert ways == [LlavaDecoder, TransformersDecoder, TransformersDecoder]


def test_the_adapter_changes_pictures_as_merged_weights_do_and_words_not_at_all(
    llava_folder: Path, adapted_folder: Path, picture: Callable[[int], Image]
) -> None:
    adapter = read_adapter(adapted_folder / "picture_adapter.safetensors")

    def merge(model: Any) -> None:
        for name, layer in model.model.language_model.named_modules():
            if isinstance(layer, torch.nn.Linear):
                layer.weight.data = adapter.merge(name, layer.weight.data)

    words, shown = [user("What is this?")], [user("What is this?", picture(1))]
    model = LocalModel.load(str(adapted_folder), device="cpu", quantize="none")
    assert tell(model, words).rstrip("\N{REPLACEMENT CHARACTER}") == generate(llava_folder, words)
    assert tell(model, shown).rstrip("\N{REPLACEMENT CHARACTER}") == generate(llava_folder, shown, merge)
    assert generate(llava_folder, shown, merge) != generate(llava_folder, shown)


@pytest.mark.parametrize("quantize", ["int8", "none"])
def test_words_alone_are_answered_by_the_base_model(llava_folder: Path, adapted_folder: Path, quantize: str) -> None:
    plain, adapted = (
        LocalModel.load(str(found), device="cpu", quantize=quantize) for found in (llava_folder, adapted_folder)
    )
    for words in ("What is this?", "A dog runs over the grass.", "日本"):
        assert tell(adapted, [user(words)], 40) == tell(plain, [user(words)], 40)


@pytest.mark.parametrize("threads", [1, 2])
def test_with_int8_not_one_bit_depends_on_how_a_prompt_was_cut(adapted_folder: Path, threads: int) -> None:
    model = LocalModel.load(str(adapted_folder), device="cpu", quantize="int8")
    decoder: Any = model._decoder
    llama = decoder._llama
    ids = torch.randint(0, 300, (40,), generator=torch.Generator().manual_seed(5))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            for adapted in (False, True):
                llama.set_adapter(enabled=adapted)
                seen = []
                for cut in ([40], [1] * 40, [33, 1, 6], [3, 34, 3]):
                    llama.length = 0
                    for part in ids.split(cut):
                        logits = llama.forward(llama.embed(part))
                    seen.append(logits)
                assert all(torch.equal(seen[0], logits) for logits in seen[1:])
    finally:
        torch.set_num_threads(before)


def test_memory_grows_with_the_conversation(tmp_path: Path, llava_folder: Path) -> None:
    model = LocalModel.load(str(llava_folder), device="cpu", quantize="int8")
    decoder: Any = model._decoder
    llama = decoder._llama
    ids = torch.randint(0, 300, (1100,), generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        whole = llama.forward(llama.embed(ids))
        llama.length = 0
        for part in ids.split([500, 20, 580]):
            cut = llama.forward(llama.embed(part))
    assert llama.length == 1100
    assert torch.equal(whole, cut)


def test_an_adapter_for_another_model_is_refused(adapted_folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    folder = tmp_path / "model"
    shutil.copytree(adapted_folder, folder)
    tensors = {"layers.0.self_attn.q_proj.lora_A": torch.zeros(2, 7)}
    save_file(tensors, folder / "picture_adapter.safetensors", {"alpha": "4", "r": "2"})
    with pytest.raises(ModelError, match="fits no layer"):
        LocalModel.load(str(folder))


def test_a_change_of_low_rank_is_added_as_its_formula_says() -> None:
    down, up, weight = torch.randn(2, 5), torch.randn(3, 2), torch.randn(3, 5)
    adapter = LoraAdapter({"x.lora_A": down, "x.lora_B": up}, alpha=6, rank=2)
    torch.testing.assert_close(adapter.merge("x", weight), weight + 3 * up @ down)
    assert adapter.merge("y", weight) is weight
