"""Configurations of real models, without their weights."""

from collections.abc import Callable
from typing import Any


def qwen3_vl(hidden: int, inner: int, layers: int, heads: int, *, large_tower: bool, tied: bool) -> Any:
    """Return the configuration of a Qwen3-VL with `heads` query heads and 8 key heads."""
    from transformers import Qwen3VLConfig

    tower = {"depth": 27, "hidden_size": 1152, "intermediate_size": 4304, "deepstack_visual_indexes": [8, 16, 24]}
    if not large_tower:
        tower = {"depth": 24, "hidden_size": 1024, "intermediate_size": 4096, "deepstack_visual_indexes": [5, 11, 17]}
    return Qwen3VLConfig(
        text_config={
            "hidden_size": hidden,
            "intermediate_size": inner,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "vocab_size": 151936,
            "max_position_embeddings": 262144,
            "rope_parameters": {"rope_type": "default", "mrope_section": [24, 20, 20], "rope_theta": 5e6},
        },
        vision_config={**tower, "out_hidden_size": hidden, "num_heads": 16, "patch_size": 16},
        tie_word_embeddings=tied,
    )


def tiny_qwen3_vl() -> Any:
    """Return the configuration of a Qwen3-VL with a few hundred thousand weights, to try a benchmark out."""
    from transformers import Qwen3VLConfig

    return Qwen3VLConfig(
        text_config={
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "vocab_size": 512,
            "max_position_embeddings": 4096,
            "rope_parameters": {"rope_type": "default", "mrope_section": [4, 2, 2], "rope_theta": 5e6},
        },
        vision_config={
            "depth": 3,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_heads": 2,
            "deepstack_visual_indexes": [0, 1, 2],
            "out_hidden_size": 64,
            "patch_size": 16,
        },
        image_token_id=1,
        video_token_id=2,
        vision_start_token_id=3,
        vision_end_token_id=4,
        tie_word_embeddings=True,
    )


QWEN3_VL: dict[str, Callable[[], Any]] = {
    "tiny": tiny_qwen3_vl,
    "2b": lambda: qwen3_vl(2048, 6144, 28, 16, large_tower=False, tied=True),
    "8b": lambda: qwen3_vl(4096, 12288, 36, 32, large_tower=True, tied=False),
}
"""Configuration factories by size."""
