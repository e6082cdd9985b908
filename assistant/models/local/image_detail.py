"""Image resolution: how many pixels of an image the model is given, and so how many tokens it takes.

            at most                 Qwen3-VL, 3.5   InternVL3.5             SmolVLM2               Gemma 4
    low     512 x 512 pixels        256 tokens      1 tile                  1 tile                 70 tokens
    high    2,048 x 2,048 pixels    4,096 tokens    12 tiles + thumbnail    4 x 4 + thumbnail      280 tokens
    auto    the highest that fits into memory, of these two and three steps between them

LLaVA and Gemma 3 have one size, whatever is asked.
Each family's image processor has its own options for this. An image is never made larger than the family would make it.
"""

from math import isqrt
from typing import Any

LEVELS = ("auto", "low", "high")
"""Choices of `--detail`."""
LOW_PIXELS, HIGH_PIXELS = 2**18, 2**22
"""Most pixels of an image at the lowest and at the highest detail."""

_AUTO_PIXELS = (HIGH_PIXELS, 2**21, 2**20, 2**19, LOW_PIXELS)
# Larger images take minutes to prefill on a CPU, however much memory there is.
_MAX_CPU_PIXELS = 2**20
# Numbers of tokens that Gemma 4 was trained with.
_SOFT_TOKENS = (70, 140, 280, 560, 1120)
# Pixels per token of the family with the most tokens per image.
_PIXELS_PER_TOKEN = 32 * 32
# A context should hold this many images and the text about them.
_IMAGES_PER_CONTEXT = 16


def pixel_budgets(level: str, device_type: str) -> tuple[int, ...]:
    """Return the most pixels of an image at `level` on a type of device ("cpu", "cuda"), in order of preference."""
    if level != "auto":
        return (LOW_PIXELS,) if level == "low" else (HIGH_PIXELS,)
    return tuple(pixels for pixels in _AUTO_PIXELS if device_type != "cpu" or pixels <= _MAX_CPU_PIXELS)


def fits_conversation(pixels: int, context_tokens: int) -> bool:
    """Return True if a context has room for a conversation about images of `pixels` pixels."""
    return pixels // _PIXELS_PER_TOKEN * _IMAGES_PER_CONTEXT <= context_tokens


def processor_options(image_processor: Any, pixels: int) -> dict[str, Any]:
    """Return options for transformers' image processor to use at most `pixels`; empty if it has only one size."""
    size = dict(getattr(image_processor, "size", None) or {})
    if getattr(image_processor, "merge_size", None) and size.get("shortest_edge"):
        # Despite their names, these two are areas.
        largest = min(size["longest_edge"], pixels)
        return {"size": {"shortest_edge": min(size["shortest_edge"], largest), "longest_edge": largest}}
    if largest := getattr(image_processor, "max_soft_tokens", None):
        side = image_processor.patch_size * image_processor.pooling_kernel_size
        fitting = [tokens for tokens in _SOFT_TOKENS if tokens <= min(largest, pixels // side**2)]
        return {"max_soft_tokens": max(fitting, default=min(largest, _SOFT_TOKENS[0]))}
    if getattr(image_processor, "crop_to_patches", False):
        return {"max_patches": max(1, min(image_processor.max_patches, pixels // (size["height"] * size["width"])))}
    if getattr(image_processor, "do_image_splitting", False):
        tile = image_processor.max_image_size["longest_edge"]
        return {"size": {"longest_edge": min(size["longest_edge"], max(1, isqrt(pixels) // tile) * tile)}}
    return {}
