"""How closely a model looks at pictures: how many of their pixels it is given, and so how many tokens they take.

               up to                     Qwen3-VL        InternVL3.5             SmolVLM2              LLaVA, Gemma 3
    low        512 x 512 pixels          256 tokens      1 tile                  1 tile                one size,
    high       2,048 x 2,048 pixels      4,096 tokens    12 tiles and a whole    4 x 4 and a whole     whatever is asked
    auto       what there is memory for, of these two and three steps between them

Each family's image processor has options of its own for this; a picture is never made larger than they would make it.
"""

from math import isqrt
from typing import Any

LEVELS = ("auto", "low", "high")
"""What people can ask for."""
LOW_PIXELS, HIGH_PIXELS = 2**18, 2**22
"""Pixels of a picture that are shown at the lowest and at the highest detail."""

_STEPS = (HIGH_PIXELS, 2**21, 2**20, 2**19, LOW_PIXELS)
# More take minutes to read there, however much memory there is.
_MOST_ON_CPU = 2**20
# Of the finest family; the others have fewer for the same picture.
_PIXELS_OF_A_TOKEN = 32 * 32
# A conversation shows several pictures, and says something about them.
_PICTURES_IN_CONTEXT = 16


def pixel_budgets(level: str, kind: str) -> tuple[int, ...]:
    """Pixels that may be shown at `level` on that kind of device ("cpu", "cuda"), the most wanted first."""
    if level != "auto":
        return (LOW_PIXELS,) if level == "low" else (HIGH_PIXELS,)
    return tuple(pixels for pixels in _STEPS if kind != "cpu" or pixels <= _MOST_ON_CPU)


def fits_conversation(pixels: int, context_tokens: int) -> bool:
    """Whether a context has room for a conversation about pictures of so many pixels."""
    return pixels // _PIXELS_OF_A_TOKEN * _PICTURES_IN_CONTEXT <= context_tokens


def processor_options(image_processor: Any, pixels: int) -> dict[str, Any]:
    """What to tell an image processor (transformers') to show at most `pixels`; empty if it knows only one size."""
    size = dict(getattr(image_processor, "size", None) or {})
    if getattr(image_processor, "merge_size", None) and size.get("shortest_edge"):
        # These two are areas, whatever they are called.
        most = min(size["longest_edge"], pixels)
        return {"size": {"shortest_edge": min(size["shortest_edge"], most), "longest_edge": most}}
    if getattr(image_processor, "crop_to_patches", False):
        return {"max_patches": max(1, min(image_processor.max_patches, pixels // (size["height"] * size["width"])))}
    if getattr(image_processor, "do_image_splitting", False):
        tile = image_processor.max_image_size["longest_edge"]
        return {"size": {"longest_edge": min(size["longest_edge"], max(1, isqrt(pixels) // tile) * tile)}}
    return {}
