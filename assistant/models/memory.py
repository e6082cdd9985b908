"""How much memory a model will take, told from its shape before a byte of it is loaded.

    weights    parameters of the decoder's linear layers, which are quantized, and all others, which are not
    cache      keys and values of every token of the context
    work       what lives while a picture is looked at and read, or a long prompt

Measured against what tensors of tiny models take; against the allocator of a GPU it has not been measured yet.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

LEAST_CONTEXT = 2048
"""Tokens of context without which a conversation about a picture is no use."""
USUAL_CONTEXT = 8192
"""Tokens that a model is chosen to have room for."""
SLACK = 1024
"""Tokens that layers of a sliding window keep beyond it, so that a reply and its question can be taken back."""
SPARE = 0.05
"""The part of free memory that is left alone: for what the allocator cannot use, and for the screen."""

# A block of 64 weights in 4 bits each with a scale of 8 bits, and a 32-bit scale for 256 of those: double quantization.
_NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
# Kernels of cuBLAS and of attention reserve this much on a GPU, whatever the model.
_WORKSPACE = 64 * 2**20
# Below this many weights in the decoder nf4 saves megabytes, and unpacking them takes longer than reading them.
_SMALL = 10**9
# A picture that towers of any resolution are taken to see: 1,024 by 1,024 pixels.
_USUAL_PIXELS = 2**20
# Tensors as large as the tokens, and as large as their inner layer, that live at once in a layer.
_ALIVE_OUTER, _ALIVE_INNER = 4, 3


@dataclass(frozen=True)
class Shape:
    """What of a model decides how much memory it takes.

    `quantizable` and `kept` are numbers of parameters; `widest` is the largest quantizable matrix, which is unpacked to
    be multiplied with more than one token. `cache_values` are the keys and values of one token in layers that see the
    whole context, `window_values` those in layers that see only the last `window` tokens. `work_values` live at once
    while a picture is read.
    """

    quantizable: int
    kept: int
    widest: int
    cache_values: int
    work_values: int
    window_values: int = 0
    window: int = 0

    @property
    def parameters(self) -> int:
        """All of them."""
        return self.quantizable + self.kept


@dataclass(frozen=True)
class Precision:
    """Bytes that one value takes: of a quantizable weight, of another weight or of work, and of the cache."""

    quantizable: float
    kept: int
    cache: int


@dataclass(frozen=True)
class Estimate:
    """Bytes that a model takes."""

    weights: int
    cache: int
    work: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.weights + self.cache + self.work


def automatic_quantization(shape: Shape) -> str:
    """What "auto" means on a GPU for a model with this `shape`: "nf4", or "none" where that saves only megabytes."""
    return "none" if shape.quantizable < _SMALL else "nf4"


def precision(quantization: str, device: str) -> Precision:
    """What each of the names that `--quantize` takes means on a device."""
    if device == "cpu" and quantization in {"int8", "none"}:
        return Precision(1.0 if quantization == "int8" else 4.0, 4, 4)
    return Precision({"nf4": _NF4_BYTES, "int8": 1.0}.get(quantization, 2.0), 2, 2)


def estimate(shape: Shape, held: Precision, context_tokens: int) -> Estimate:
    """Bytes for a model with `shape` whose values are `held` like that, with a context of `context_tokens`."""
    quantized = held.quantizable < held.kept
    return Estimate(
        weights=round(shape.quantizable * held.quantizable + shape.kept * held.kept),
        cache=held.cache
        * (shape.cache_values * context_tokens + shape.window_values * min(context_tokens, shape.window + SLACK)),
        work=held.kept * (shape.work_values + (shape.widest if quantized else 0)) + _WORKSPACE,
    )


def most_context(shape: Shape, held: Precision, free: int) -> int:
    """The longest context in tokens for which there is room in `free` bytes; 0 if there is none at all."""
    room = free * (1 - SPARE)
    if estimate(shape, held, 1).total > room:
        return 0
    low, high = 1, 2**24
    while low < high:
        middle = (low + high + 1) // 2
        if estimate(shape, held, middle).total <= room:
            low = middle
        else:
            high = middle - 1
    return low


def shape_of(config: "Any") -> Shape:
    """The shape of the image-text-to-text model that `config` (transformers') describes; takes milliseconds."""
    from torch import nn

    model = _without_weights(config)
    matrices = [layer.weight.numel() for layer in model.get_decoder().modules() if isinstance(layer, nn.Linear)]
    parameters = sum(parameter.numel() for parameter in model.parameters())
    text = config.get_text_config()
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    kinds = getattr(text, "layer_types", None) or ["full_attention"] * text.num_hidden_layers
    sliding = sum("sliding" in kind for kind in kinds)
    window = getattr(text, "sliding_window", None) or 0
    return Shape(
        quantizable=sum(matrices),
        kept=parameters - sum(matrices),
        widest=max(matrices, default=0),
        cache_values=2 * heads * head * (len(kinds) - sliding),
        work_values=_work_values(text, getattr(config, "vision_config", None)),
        window_values=2 * heads * head * sliding,
        window=window,
    )


def showing(shape: Shape, config: "Any", pixels: int) -> Shape:
    """`shape` for pictures of that many pixels, in one piece or in tiles that the tower sees side by side."""
    work = _work_values(config.get_text_config(), getattr(config, "vision_config", None), pixels)
    return replace(shape, work_values=work)


def linears_outside_decoder(config: "Any") -> list[str]:
    """Names of the linear layers of that model that are not to be quantized: tower, connector and output."""
    from torch import nn

    model = _without_weights(config)
    inside = set(model.get_decoder().modules())
    return [name for name, layer in model.named_modules() if isinstance(layer, nn.Linear) and layer not in inside]


def free_bytes(device: str) -> int:
    """Bytes that can still be had on `device`: "cpu", "mps" or one of CUDA."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(torch.device(device))[0])
    import psutil

    return int(psutil.virtual_memory().available)


def gigabytes(count: int) -> str:
    """Bytes as people read them."""
    return f"{count / 1e9:.1f} GB"


def _without_weights(config: "Any") -> "Any":
    import torch
    from transformers import AutoModelForImageTextToText

    with torch.device("meta"):
        model: Any = AutoModelForImageTextToText.from_config(config)
    model.tie_weights()
    return model


def _work_values(text: "Any", vision: "Any", pixels: int = 0) -> int:
    """Values alive at once while a picture goes through the tower, or through a layer of the decoder with its text."""
    inner = getattr(text, "intermediate_size", None) or 4 * text.hidden_size
    # A large picture is the longest that is read at once.
    read: int = 2048 * (_ALIVE_OUTER * text.hidden_size + _ALIVE_INNER * inner)
    width = getattr(vision, "hidden_size", None)
    if not isinstance(width, int):
        return read
    patch = _side(getattr(vision, "patch_size", 16))
    image = getattr(vision, "image_size", None)
    # A picture in tiles is shown as a whole besides, in one more of them.
    shown = _side(image) ** 2 + (pixels if pixels > _side(image) ** 2 else 0) if image else pixels or _USUAL_PIXELS
    patches = shown // patch**2
    inner = getattr(vision, "intermediate_size", None) or 4 * width
    return max(read, patches * (_ALIVE_OUTER * width + _ALIVE_INNER * inner))


def _side(size: "Any") -> int:
    return int(size[0] if isinstance(size, (list, tuple)) else size)
