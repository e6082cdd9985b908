"""Vision-language models with a few thousand random weights, saved and loaded like real ones."""

import io
import random
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import PIL.Image
import torch

from assistant.messages import Image
from assistant.models.local.compiled import CompiledDecoder, StaticKVCache
from assistant.models.local.image_encoder import ImageEncoder
from assistant.models.local.model import LocalModel
from assistant.models.local.prompt_lookup import NUM_DRAFT_TOKENS

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
QUANTIZABLE_SIZES: Mapping[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "head_dim": 16,
}
"""Sizes that are multiples of a block of 64 weights, for nf4."""


def make_tokenizer(**markers: str) -> Any:
    """Train a byte-level tokenizer with special tokens for a chat with images, and those in `markers`."""
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


def make_llava(
    folder: Path,
    family: str = "LlamaConfig",
    *,
    context_tokens: int = 512,
    seed: int = 0,
    sizes: Mapping[str, Any] = MappingProxyType({}),
) -> Path:
    """Save a LLaVA around a decoder of class `family`, with a CLIP tower for 4 patches."""
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
        **{"hidden_size": 96, "intermediate_size": 80, "num_attention_heads": 6, **sizes},
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
        # So large that attention and images change the reply.
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


def make_gemma(folder: Path, sizes: Mapping[str, Any] = MappingProxyType({})) -> Path:
    """Save a Gemma 3: another family, with bidirectional attention inside images."""
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


def save_adapter(folder: Path, *, strength: float = 1.0, seed: int = 1) -> None:
    """Save a random image adapter of rank 2 beside the model in `folder`."""
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


def make_image(seed: int, width: int = 40, height: int = 30) -> Image:
    """Make an image of random noise."""
    canvas = PIL.Image.frombytes("RGB", (width, height), random.Random(seed).randbytes(width * height * 3))
    data = io.BytesIO()
    canvas.save(data, "PNG")
    return Image(data.getvalue(), "image/png", width, height, f"noise-{seed}.png")


def use_compiled_decoder(model: LocalModel, capacity: int, backend: str | None) -> None:
    """Decode with static shapes, with a KV cache of `capacity` tokens at first. Backend None compiles nothing."""
    decoder = decoder_of(model)
    with torch.inference_mode():
        cache = StaticKVCache.for_model(decoder._model, capacity)
        cache.max_capacity = model.info.context_tokens
        compiled = CompiledDecoder(decoder._model, cache, uses_mrope=decoder.uses_mrope, backend=backend)
        compiled.warmup((1, 1 + NUM_DRAFT_TOKENS))
    decoder.use_compiled(compiled)


def decoder_of(model: LocalModel) -> Any:
    """Return the decoder of `model`, to replace its methods."""
    return model._engine.decoder


def reply_with_one_token(model: LocalModel, token: str) -> None:
    """Let `model` write nothing but `token`: random weights may write a reply of white space, which is an error."""
    decoder, [token_id] = decoder_of(model), model._tokenizer.encode(token, add_special_tokens=False)
    forward = decoder.forward

    def constant(prompt: Any, start: int, end: int) -> torch.Tensor:
        logits: torch.Tensor = forward(prompt, start, end)
        return torch.full_like(logits, -1e4).index_fill_(-1, torch.tensor([token_id]), 0.0)

    decoder.forward = constant


def image_encoder_of(model: LocalModel) -> ImageEncoder:
    """Return the image encoder of `model`."""
    return model._engine.loaded.image_encoder


def cached_keys(model: LocalModel) -> list[int | str]:
    """Return the cache keys of the tokens in the KV cache of `model`."""
    return model._engine.prompt_cache.keys


def clear_caches(model: LocalModel) -> None:
    """Forget all prompts and images."""
    model._engine.prompt_cache.crop(0)
    image_encoder_of(model).clear()
