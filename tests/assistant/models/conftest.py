"""Vision-language models of a few thousand random weights, saved and loaded like any other."""

import io
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import PIL.Image
import pytest
import torch

from assistant.messages import Image
from assistant.models.local.compiled import StaticKVCache, CompiledDecoder
from assistant.models.local.model import LocalModel
from assistant.models.local.prompt_lookup import NUM_DRAFT_TOKENS
from tests.fakes.chat_server import ChatServer, running

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<image>' }}{% else %}{{ part['text'] }}"
    "{% endif %}{% endfor %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CORPUS = [
    "What is in this picture? A dog runs over the grass, and a child looks on.",
    "system user assistant",
    "Ünï → 日本 😀",
]


def make_tokenizer(**markers: str) -> Any:
    """A byte-level tokenizer with the markers of a chat and of a picture, and those named besides."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", *markers.values()],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        **({"extra_special_tokens": {"image_token": "<image>", **markers}} if markers else {}),
    )


EVEN: Mapping[str, Any] = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "head_dim": 16}
"""Sizes that come out even in blocks of 64 weights."""


def make_llava(
    folder: Path,
    family: str = "LlamaConfig",
    *,
    context_tokens: int = 512,
    seed: int = 0,
    sizes: Mapping[str, Any] = MappingProxyType({}),
) -> Path:
    """Save a LLaVA model around a decoder of `family`, with a CLIP tower that sees 4 patches."""
    import transformers
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    tokenizer = make_tokenizer()
    text_config = getattr(transformers, family)(
        **{"hidden_size": 48, "intermediate_size": 80, "num_attention_heads": 6, **sizes},
        vocab_size=len(tokenizer),
        num_hidden_layers=2,
        num_key_value_heads=2,
        max_position_embeddings=context_tokens,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    tower = CLIPVisionConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14
    )
    config = LlavaConfig(
        vision_config=tower,
        text_config=text_config,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=4,
        tie_word_embeddings=True,
    )
    torch.manual_seed(seed)
    model = LlavaForConditionalGeneration(config)
    for parameter in model.parameters():
        # Wide enough that attention and pictures matter to what is said.
        torch.nn.init.normal_(parameter, std=0.4 if parameter.ndim > 1 else 1.0)
    model.save_pretrained(folder)
    LlavaProcessor(
        image_processor=CLIPImageProcessor(size={"height": 28, "width": 28}, crop_size={"height": 28, "width": 28}),
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    ).save_pretrained(folder)
    return folder


def save_adapter(folder: Path, *, strength: float = 1.0, seed: int = 1) -> None:
    """Put a random picture adapter of rank 2 beside the model in `folder`."""
    from safetensors.torch import save_file
    from transformers import AutoModelForImageTextToText

    decoder = AutoModelForImageTextToText.from_pretrained(folder).model.language_model
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, layer in decoder.named_modules():
        if isinstance(layer, torch.nn.Linear):
            tensors[f"{name}.lora_A"] = torch.randn(2, layer.in_features, generator=generator) * strength
            tensors[f"{name}.lora_B"] = torch.randn(layer.out_features, 2, generator=generator) * strength
    save_file(tensors, folder / "picture_adapter.safetensors", {"alpha": "4", "r": "2"})


def make_picture(seed: int, width: int = 40, height: int = 30) -> Image:
    """A picture of random noise."""
    picture = PIL.Image.frombytes("RGB", (width, height), random.Random(seed).randbytes(width * height * 3))
    data = io.BytesIO()
    picture.save(data, "PNG")
    return Image(data.getvalue(), "image/png", width, height, f"noise-{seed}.png")


@pytest.fixture(scope="session")
def picture() -> Callable[[int], Image]:
    return make_picture


@pytest.fixture(scope="session")
def llava_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_llava(tmp_path_factory.mktemp("llava") / "tiny-llava")


@pytest.fixture(scope="session")
def adapted_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_llava(tmp_path_factory.mktemp("adapted") / "tiny-adapted")
    save_adapter(folder)
    return folder


@pytest.fixture(scope="session")
def qwen_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaVA around a decoder that the lean Llama cannot stand in for."""
    return make_llava(tmp_path_factory.mktemp("qwen") / "tiny-qwen", "Qwen2Config")


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Models this small are slower on two threads, many times so where another program keeps one of them waiting."""
    torch.set_num_threads(1)


def make_gemma(folder: Path, sizes: Mapping[str, Any] = MappingProxyType({})) -> Path:
    """Save a Gemma 3 model: another family, with pictures that read themselves in both directions."""
    from transformers import (
        Gemma3Config,
        Gemma3ForConditionalGeneration,
        Gemma3ImageProcessor,
        Gemma3Processor,
        Gemma3TextConfig,
        SiglipVisionConfig,
    )

    tokenizer = make_tokenizer(boi_token="<begin>", eoi_token="<end>")
    config = Gemma3Config(
        text_config=Gemma3TextConfig(
            **{"hidden_size": 48, "intermediate_size": 80, "num_attention_heads": 6, "head_dim": 8, **sizes},
            vocab_size=len(tokenizer),
            num_hidden_layers=2,
            num_key_value_heads=2,
            max_position_embeddings=512,
            layer_types=["sliding_attention", "full_attention"],
            sliding_window=16,
            bos_token_id=None,
            eos_token_id=None,
            pad_token_id=None,
        ),
        vision_config=SiglipVisionConfig(
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=28,
            patch_size=7,
        ),
        mm_tokens_per_image=4,
        boi_token_index=tokenizer.convert_tokens_to_ids("<begin>"),
        eoi_token_index=tokenizer.convert_tokens_to_ids("<end>"),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    torch.manual_seed(0)
    model = Gemma3ForConditionalGeneration(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    model.save_pretrained(folder)
    Gemma3Processor(
        image_processor=Gemma3ImageProcessor(size={"height": 28, "width": 28}),
        tokenizer=tokenizer,
        image_seq_length=4,
        chat_template=CHAT_TEMPLATE.replace("<image>", "<begin>"),
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def gemma_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gemma(tmp_path_factory.mktemp("gemma") / "tiny-gemma")


@pytest.fixture(scope="session")
def qwen3_vl_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.fakes.tiny_catalog import make_qwen3_vl

    return make_qwen3_vl(tmp_path_factory.mktemp("qwen3-vl") / "tiny-qwen3-vl")


@pytest.fixture(scope="session")
def smolvlm2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.fakes.tiny_catalog import make_smolvlm2

    return make_smolvlm2(tmp_path_factory.mktemp("smolvlm2") / "tiny-smolvlm2")


@pytest.fixture(scope="session")
def internvl_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.fakes.tiny_catalog import make_internvl

    return make_internvl(tmp_path_factory.mktemp("internvl") / "tiny-internvl")


@pytest.fixture
def chat_server() -> Iterator[ChatServer]:
    """A server on the loopback whose model says 300 words."""
    with running(ChatServer()) as server:
        yield server


@pytest.fixture(scope="session")
def even_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaVA whose decoder can be held in 4 bits on any processor."""
    return make_llava(tmp_path_factory.mktemp("even") / "tiny-even", sizes=EVEN)


def speed_up(model: LocalModel, capacity: int, backend: str | None) -> None:
    """Have `model` reply at fixed shapes, with room for `capacity` tokens at first; None compiles nothing."""
    decoder: Any = model._decoder
    with torch.inference_mode():
        cache = StaticKVCache.for_model(decoder._model, capacity)
        cache.max_capacity = model.info.context_tokens
        steps = CompiledDecoder(decoder._model, cache, uses_mrope=decoder.uses_mrope, backend=backend)
        steps.warmup((1, 1 + NUM_DRAFT_TOKENS))
    decoder.use_compiled(steps)
