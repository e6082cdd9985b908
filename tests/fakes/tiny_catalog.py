"""Tiny versions of the catalog's families whose processors need torchvision, with random weights.

Their chat templates write images and turns like the published ones.
"""

from pathlib import Path
from typing import Any

import torch

from tests.fakes import model_shapes
from tests.fakes.tiny_models import make_tokenizer

# Multiples of a block of 64 weights, so that each can be quantized to nf4.
_TEXT = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 2048,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
_TOWER = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 2}

_QWEN_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}"
    "{{ '<|vision_start|><|image_pad|><|vision_end|>' }}{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_SMOLVLM_TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}"
    "{% if message['content'][0]['type'] == 'image' %}{{ ':' }}{% else %}{{ ': ' }}{% endif %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<image>' }}{% else %}{{ part['text'] }}"
    "{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
_INTERNVL_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<IMG_CONTEXT>\n' }}{% else %}"
    "{{ part['text'] }}{% endif %}{% endfor %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_GEMMA4_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<image>' }}{% else %}{{ part['text'] }}"
    "{% endif %}{% endfor %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def make_qwen3_vl(folder: Path) -> Path:
    """Save a Qwen3-VL: images of any shape, one token per 32 x 32 pixels, M-RoPE."""
    from transformers import Qwen2VLImageProcessor, Qwen3VLProcessor, Qwen3VLVideoProcessor

    tokenizer = make_tokenizer(
        image_token="<|image_pad|>",
        video_token="<|video_pad|>",
        vision_start_token="<|vision_start|>",
        vision_end_token="<|vision_end|>",
    )
    config = shrunk_qwen3_vl()
    for name in ("image", "video", "vision_start", "vision_end"):
        setattr(config, f"{name}_token_id", getattr(tokenizer, f"{name}_token_id"))
    # Between 4 and 16 tokens.
    pixels: Any = {"shortest_edge": 4 * 32 * 32, "longest_edge": 16 * 32 * 32}
    _save(folder, config, len(tokenizer))
    Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(patch_size=16, size=pixels),
        tokenizer=tokenizer,
        video_processor=Qwen3VLVideoProcessor(patch_size=16, size=pixels),
        chat_template=_QWEN_TEMPLATE,
    ).save_pretrained(folder)
    return folder


def shrunk_qwen3_vl(**text: Any) -> Any:
    """Return the configuration of the tiny Qwen3-VL; `text` changes its decoder."""
    tower = {**_TOWER, "depth": 4, "num_heads": 2, "out_hidden_size": 64, "deepstack_visual_indexes": [0, 1, 2]}
    # The same shares of time, height and width as in the real models.
    rope = {"rope_type": "default", "rope_theta": 5e6, "mrope_interleaved": True, "mrope_section": [4, 2, 2]}
    return _shrunk("qwen3-vl-4b", {**_TEXT, "rope_parameters": rope, **text}, {**tower, "num_position_embeddings": 16})


def make_smolvlm2(folder: Path) -> Path:
    """Save a SmolVLM2: an image is cut into up to 2 x 2 tiles of 4 tokens, plus a thumbnail."""
    from transformers import SmolVLMImageProcessor, SmolVLMProcessor, SmolVLMVideoProcessor

    tokenizer = make_tokenizer(
        fake_image_token="<fake_token_around_image>",
        global_image_token="<global-img>",
        end_of_utterance_token="<end_of_utterance>",
    )
    tower = {**_TOWER, "num_hidden_layers": 2, "image_size": 32, "patch_size": 8}
    config = _shrunk("smolvlm2-2.2b", _TEXT, tower, scale_factor=2)
    config.image_token_id = tokenizer.image_token_id
    tile: Any = {"longest_edge": 32}
    largest: Any = {"longest_edge": 64}
    sampling: Any = {"video_sampling": {"fps": 1, "max_frames": 4}}
    _save(folder, config, len(tokenizer))
    SmolVLMProcessor(
        image_processor=SmolVLMImageProcessor(size=largest, max_image_size=tile),
        tokenizer=tokenizer,
        video_processor=SmolVLMVideoProcessor(size=largest, max_image_size=tile, **sampling),
        image_seq_len=4,
        chat_template=_SMOLVLM_TEMPLATE,
    ).save_pretrained(folder)
    return folder


def make_internvl(folder: Path) -> Path:
    """Save an InternVL3.5: an image is cut into up to three tiles of 4 tokens, plus a thumbnail."""
    from transformers import GotOcr2ImageProcessor, InternVLProcessor, InternVLVideoProcessor

    tokenizer = make_tokenizer(
        start_image_token="<img>",
        end_image_token="</img>",
        context_image_token="<IMG_CONTEXT>",
        video_token="<video>",
    )
    tower = {**_TOWER, "num_hidden_layers": 2, "image_size": [28, 28], "patch_size": [7, 7]}
    config = _shrunk("internvl3.5-8b", _TEXT, tower, image_seq_length=4)
    config.image_token_id = tokenizer.context_image_token_id
    pixels: Any = {"height": 28, "width": 28}
    _save(folder, config, len(tokenizer))
    InternVLProcessor(
        image_processor=GotOcr2ImageProcessor(size=pixels, crop_to_patches=True, max_patches=3),
        tokenizer=tokenizer,
        video_processor=InternVLVideoProcessor(size=pixels),
        image_seq_length=4,
        chat_template=_INTERNVL_TEMPLATE,
    ).save_pretrained(folder)
    return folder


def make_qwen3_5(folder: Path) -> Path:
    """Save a Qwen3.5: as Qwen3-VL, with three layers of linear attention for each layer of full attention."""
    from transformers import Qwen2VLImageProcessor, Qwen3VLProcessor, Qwen3VLVideoProcessor

    tokenizer = make_tokenizer(
        image_token="<|image_pad|>",
        video_token="<|video_pad|>",
        vision_start_token="<|vision_start|>",
        vision_end_token="<|vision_end|>",
    )
    linear = {"linear_key_head_dim": 16, "linear_value_head_dim": 16}
    linear |= {"linear_num_key_heads": 2, "linear_num_value_heads": 4}
    rope = {"rope_type": "default", "rope_theta": 1e7, "mrope_interleaved": True, "mrope_section": [2, 1, 1]}
    tower = {**_TOWER, "depth": 2, "num_heads": 2, "out_hidden_size": 64, "num_position_embeddings": 16}
    text = {**_TEXT, **linear, "rope_parameters": {**rope, "partial_rotary_factor": 0.5}}
    config = _shrunk("qwen3.5-9b", text, tower)
    for name in ("image", "video", "vision_start", "vision_end"):
        setattr(config, f"{name}_token_id", getattr(tokenizer, f"{name}_token_id"))
    pixels: Any = {"shortest_edge": 4 * 32 * 32, "longest_edge": 16 * 32 * 32}
    _save(folder, config, len(tokenizer))
    Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(patch_size=16, size=pixels),
        tokenizer=tokenizer,
        video_processor=Qwen3VLVideoProcessor(patch_size=16, size=pixels),
        chat_template=_QWEN_TEMPLATE,
    ).save_pretrained(folder)
    return folder


def make_lfm3_vl(folder: Path) -> Path:
    """Save an LFM3-VL: short convolutions, sliding windows and full attention in turn."""
    from transformers import Lfm3VlProcessor, Qwen2VLImageProcessor, Qwen3VLVideoProcessor

    tokenizer = make_tokenizer(
        image_token="<|image_pad|>",
        video_token="<|video_pad|>",
        vision_start_token="<|vision_start|>",
        vision_end_token="<|vision_end|>",
    )
    config = shrunk_lfm3_vl()
    for name in ("image", "video", "vision_start", "vision_end"):
        setattr(config, f"{name}_token_id", getattr(tokenizer, f"{name}_token_id"))
    pixels: Any = {"shortest_edge": 4 * 32 * 32, "longest_edge": 16 * 32 * 32}
    _save(folder, config, len(tokenizer))
    Lfm3VlProcessor(
        image_processor=Qwen2VLImageProcessor(patch_size=16, size=pixels),
        tokenizer=tokenizer,
        video_processor=Qwen3VLVideoProcessor(patch_size=16, size=pixels),
        chat_template=_QWEN_TEMPLATE,
    ).save_pretrained(folder)
    return folder


def shrunk_lfm3_vl() -> Any:
    """Return the configuration of the tiny LFM3-VL."""
    from transformers import Lfm3VlConfig

    layers = ["conv", "sliding_attention", "full_attention", "conv"]
    text = {**_TEXT, "model_type": "lfm3", "layer_types": layers, "sliding_window": 16}
    tower = {**_TOWER, "num_hidden_layers": 3, "num_key_value_heads": 2}
    return Lfm3VlConfig(text_config=text, vision_config=tower, projector_hidden_size=48)


def make_gemma4(folder: Path, *, bidirectional: bool = False) -> Path:
    """Save a Gemma 4: per-layer inputs, shared keys and values, and sliding windows.

    Images are attended to in both directions if `bidirectional`, as in the larger models of the family.
    """
    from transformers import (
        Gemma4AudioFeatureExtractor,
        Gemma4ImageProcessor,
        Gemma4Processor,
        Gemma4VideoProcessor,
    )

    tokenizer = make_tokenizer(
        boi_token="<|image>",
        eoi_token="<image|>",
        audio_token="<|audio|>",
        boa_token="<|audio>",
        eoa_token="<audio|>",
        video_token="<|video|>",
    )
    config = shrunk_gemma4(bidirectional=bidirectional)
    for name in ("boi", "eoi", "image", "video", "boa", "audio"):
        setattr(config, f"{name}_token_id", getattr(tokenizer, f"{name}_token_id"))
    config.eoa_token_index = tokenizer.eoa_token_id
    config.text_config.vocab_size_per_layer_input = len(tokenizer)
    _save(folder, config, len(tokenizer))
    Gemma4Processor(
        feature_extractor=Gemma4AudioFeatureExtractor(),
        image_processor=Gemma4ImageProcessor(patch_size=8, pooling_kernel_size=2, max_soft_tokens=70),
        tokenizer=tokenizer,
        video_processor=Gemma4VideoProcessor(patch_size=8, pooling_kernel_size=2, max_soft_tokens=70),
        image_seq_length=70,
        chat_template=_GEMMA4_TEMPLATE,
    ).save_pretrained(folder)
    return folder


def shrunk_gemma4(*, bidirectional: bool = False) -> Any:
    """Return the configuration of the tiny Gemma 4."""
    from transformers import Gemma4Config

    layers = ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]
    text = {
        **_TEXT,
        "layer_types": layers,
        "sliding_window": 16,
        "global_head_dim": 32,
        "num_kv_shared_layers": 2,
        "hidden_size_per_layer_input": 8,
        "pad_token_id": 0,
        "use_bidirectional_attention": "vision" if bidirectional else None,
    }
    tower = {**_TOWER, "num_hidden_layers": 2, "num_key_value_heads": 2, "head_dim": 16, "patch_size": 8}
    tower |= {"pooling_kernel_size": 2, "position_embedding_size": 64}
    return Gemma4Config(text_config=text, vision_config=tower, audio_config=None)


def _shrunk(name: str, text: dict[str, Any], tower: dict[str, Any], **more: Any) -> Any:
    """Return the real configuration of `name` with the sizes in `text` and `tower`."""
    real = model_shapes.configs()[name]
    values = real.to_dict()
    values["text_config"] |= text
    # By default, all layers have full attention.
    values["text_config"].pop("layer_types", None)
    values["vision_config"] |= tower
    return type(real).from_dict(values | more)


def _save(folder: Path, config: Any, vocabulary: int) -> None:
    from transformers import AutoModelForImageTextToText

    config.text_config.vocab_size = vocabulary
    torch.manual_seed(1)
    model = AutoModelForImageTextToText.from_config(config)
    for parameter in model.parameters():
        # So large that attention and images change the reply.
        torch.nn.init.normal_(parameter, std=0.4 if parameter.ndim > 1 else 1.0)
    model.save_pretrained(folder)
