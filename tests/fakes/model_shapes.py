"""Configurations of the catalog's models, as far as they decide how much memory a model takes."""

from typing import Any

from benchmarks.shapes import qwen3_vl as qwen


def smolvlm(hidden: int, inner: int, layers: int, heads: tuple[int, int], tower: dict[str, int], scale: int) -> Any:
    """Return the configuration of a SmolVLM2; `heads` are the numbers of query and key heads."""
    from transformers import SmolVLMConfig

    return SmolVLMConfig(
        text_config={
            "model_type": "llama",
            "hidden_size": hidden,
            "intermediate_size": inner,
            "num_hidden_layers": layers,
            "num_attention_heads": heads[0],
            "num_key_value_heads": heads[1],
            "head_dim": 64,
            "vocab_size": 49280,
            "max_position_embeddings": 8192,
        },
        vision_config={"model_type": "smolvlm_vision", **tower},
        scale_factor=scale,
        tie_word_embeddings=False,
    )


def gemma(hidden: int, inner: int, layers: int, heads: tuple[int, int]) -> Any:
    """Return the configuration of a Gemma 3; `heads` are the numbers of query and key heads."""
    from transformers import Gemma3Config

    return Gemma3Config(
        text_config={
            "hidden_size": hidden,
            "intermediate_size": inner,
            "num_hidden_layers": layers,
            "num_attention_heads": heads[0],
            "num_key_value_heads": heads[1],
            "head_dim": 256,
            "vocab_size": 262208,
            "sliding_window": 1024,
            "max_position_embeddings": 131072,
        },
        vision_config={
            "hidden_size": 1152,
            "intermediate_size": 4304,
            "num_hidden_layers": 27,
            "num_attention_heads": 16,
            "image_size": 896,
            "patch_size": 14,
            "vision_use_head": False,
        },
        mm_tokens_per_image=256,
    )


def internvl() -> Any:
    """Return the configuration of the InternVL3.5 with 8 B parameters."""
    from transformers import InternVLConfig

    return InternVLConfig(
        text_config={
            "model_type": "qwen3",
            "hidden_size": 4096,
            "intermediate_size": 12288,
            "num_hidden_layers": 36,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "vocab_size": 151936,
            "max_position_embeddings": 40960,
            "tie_word_embeddings": False,
        },
        vision_config={
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "image_size": [448, 448],
            "patch_size": [14, 14],
        },
        tie_word_embeddings=False,
    )


def qwen3_5(hidden: int, inner: int, layers: int, heads: tuple[int, int, int], *, large: bool = True) -> Any:
    """Return the configuration of a Qwen3.5 or 3.8.

    Args:
        hidden: Hidden size.
        inner: Feed-forward size.
        layers: Number of layers.
        heads: Numbers of query and key heads, and of value heads in linear attention.
        large: Models above 4 B have a larger vision tower, and an output layer apart from the embeddings.
    """
    from transformers import Qwen3_5Config

    tower = {} if large else {"hidden_size": 1024, "intermediate_size": 4096, "depth": 24}
    return Qwen3_5Config(
        text_config={
            "model_type": "qwen3_5_text",
            "hidden_size": hidden,
            "intermediate_size": inner,
            "num_hidden_layers": layers,
            "num_attention_heads": heads[0],
            "num_key_value_heads": heads[1],
            "linear_num_value_heads": heads[2],
            "max_position_embeddings": 262144,
            "tie_word_embeddings": not large,
        },
        vision_config={"out_hidden_size": hidden, **tower},
        tie_word_embeddings=not large,
    )


def gemma4(hidden: int, inner: int, kv_heads: int, layers: list[str], shared: int) -> Any:
    """Return the configuration of a Gemma 4 whose last `shared` layers have no keys and values of their own."""
    from transformers import Gemma4Config

    return Gemma4Config(
        text_config={
            "hidden_size": hidden,
            "intermediate_size": inner,
            "num_hidden_layers": len(layers),
            "num_attention_heads": 8,
            "num_key_value_heads": kv_heads,
            "layer_types": layers,
            "num_kv_shared_layers": shared,
            # The smallest has few layers with keys, and wider ones after them.
            "use_double_wide_mlp": kv_heads == 1,
            "hidden_size_per_layer_input": 256,
            "sliding_window": 512,
            "max_position_embeddings": 131072,
        },
        vision_config={},
        audio_config={},
    )


SLIDING, FULL = "sliding_attention", "full_attention"
SIGLIP = {
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
    "image_size": 384,
    "patch_size": 14,
}
SIGLIP_BASE = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 512,
    "patch_size": 16,
}


def configs() -> dict[str, Any]:
    """Return the configuration of each model in the catalog, by its name."""
    return {
        "qwen3-vl-2b": qwen(2048, 6144, 28, 16, large_tower=False, tied=True),
        "qwen3-vl-4b": qwen(2560, 9728, 36, 32, large_tower=False, tied=True),
        "qwen3-vl-8b": qwen(4096, 12288, 36, 32, large_tower=True, tied=False),
        "qwen3-vl-32b": qwen(5120, 25600, 64, 64, large_tower=True, tied=False),
        "qwen3.5-2b": qwen3_5(2048, 6144, 24, (8, 2, 16), large=False),
        "qwen3.5-4b": qwen3_5(2560, 9216, 32, (16, 4, 32), large=False),
        "qwen3.5-9b": qwen3_5(4096, 12288, 32, (16, 4, 32)),
        "qwen3.8-27b": qwen3_5(5120, 17408, 64, (24, 4, 48)),
        "smolvlm2-500m": smolvlm(960, 2560, 32, (15, 5), SIGLIP_BASE, 4),
        "smolvlm2-2.2b": smolvlm(2048, 8192, 24, (32, 32), SIGLIP, 3),
        "gemma-4-e2b": gemma4(1536, 6144, 1, [*[SLIDING] * 4, FULL] * 7, 20),
        "gemma-4-e4b": gemma4(2560, 10240, 2, [*[SLIDING] * 5, FULL] * 7, 18),
        "gemma-3-4b": gemma(2560, 10240, 34, (8, 4)),
        "gemma-3-12b": gemma(3840, 15360, 48, (16, 8)),
        "internvl3.5-8b": internvl(),
    }
