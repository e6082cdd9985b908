"""Estimate how much memory a model takes, from its configuration alone.

    weights      parameters of the decoder's linear layers, which are quantized, and all others, which are not
    cache        keys and values of every token of the context
    activations  tensors alive at once while an image is encoded or a long prompt is prefilled

Compared with the tensors of tiny models. Not yet compared with the allocator of a GPU.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from assistant.models.free_memory import free_memory

if TYPE_CHECKING:
    from typing import Any

MIN_CONTEXT = 2048
"""Tokens. A shorter context is too small for a conversation about an image."""
DEFAULT_CONTEXT = 8192
"""Tokens of context that must fit for a model to be chosen."""
WINDOW_SLACK = 1024
"""Tokens that sliding-window layers keep beyond their window, so that a reply and its question can be cropped."""
RESERVED_FRACTION = 0.05
"""Fraction of the free memory that stays unused, for fragmentation and for the display."""

# Blocks of 64 weights of 4 bits with a scale of 8 bits each, and a 32-bit scale for 256 of those: double quantization.
_NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
# cuBLAS and attention kernels reserve this much on a GPU, whatever the model.
_WORKSPACE_BYTES = 64 * 2**20
# With fewer parameters in the decoder, nf4 saves only megabytes, and unpacking them takes longer than reading them.
_MIN_NF4_PARAMS = 10**9
# Image size assumed for vision towers of any resolution: 1,024 x 1,024 pixels.
_DEFAULT_PIXELS = 2**20
# Length in tokens of the longest chunk that is prefilled at once: a large image.
_MAX_CHUNK_TOKENS = 2048
# Tensors of the hidden size, and of the feed-forward size, that are alive at once in a layer.
_LIVE_HIDDEN, _LIVE_FEED_FORWARD = 4, 3


@dataclass(frozen=True)
class ModelProfile:
    """The sizes of a model that decide how much memory it takes.

    Attributes:
        decoder_linear_params: Parameters of the decoder's linear layers, which can be quantized.
        other_params: All other parameters.
        largest_matrix: Parameters of the largest of those layers. It is unpacked to multiply more than one token.
        kv_values: Keys and values of one token in layers with full attention.
        activation_values: Values alive at once while an image is prefilled.
        window_kv_values: Keys and values of one token in sliding-window layers.
        window: Length of the sliding window in tokens.
    """

    decoder_linear_params: int
    other_params: int
    largest_matrix: int
    kv_values: int
    activation_values: int
    window_kv_values: int = 0
    window: int = 0

    @property
    def num_parameters(self) -> int:
        """Total number of parameters."""
        return self.decoder_linear_params + self.other_params


@dataclass(frozen=True)
class Precision:
    """Bytes per value: of a quantizable weight, of other weights and activations, and of the KV cache."""

    quantizable: float
    other: int
    cache: int


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that a model takes."""

    weights: int
    cache: int
    activations: int

    @property
    def total(self) -> int:
        """Sum of the three."""
        return self.weights + self.cache + self.activations


def auto_quantization(profile: ModelProfile) -> str:
    """Resolve "auto" on a GPU: "nf4", or "none" for models so small that it would save only megabytes."""
    return "none" if profile.decoder_linear_params < _MIN_NF4_PARAMS else "nf4"


def precision_for(quantization: str, device: str) -> Precision:
    """Return the bytes per value that a choice of `--quantize` means on a device."""
    if device == "cpu" and quantization in {"int8", "none"}:
        return Precision(1.0 if quantization == "int8" else 4.0, 4, 4)
    return Precision({"nf4": _NF4_BYTES, "int8": 1.0}.get(quantization, 2.0), 2, 2)


def estimate(profile: ModelProfile, precision: Precision, context_tokens: int) -> MemoryEstimate:
    """Estimate the bytes that a model takes with a context of `context_tokens`."""
    quantized = precision.quantizable < precision.other
    windowed_tokens = min(context_tokens, profile.window + WINDOW_SLACK)
    activation_values = profile.activation_values + (profile.largest_matrix if quantized else 0)
    return MemoryEstimate(
        weights=round(profile.decoder_linear_params * precision.quantizable + profile.other_params * precision.other),
        cache=precision.cache * (profile.kv_values * context_tokens + profile.window_kv_values * windowed_tokens),
        activations=precision.other * activation_values + _WORKSPACE_BYTES,
    )


def max_context(profile: ModelProfile, precision: Precision, free: int) -> int:
    """Return the longest context in tokens that fits into `free` bytes, 0 if the weights alone do not fit."""
    usable = free * (1 - RESERVED_FRACTION)
    if estimate(profile, precision, 1).total > usable:
        return 0
    low, high = 1, 2**24
    while low < high:
        middle = (low + high + 1) // 2
        if estimate(profile, precision, middle).total <= usable:
            low = middle
        else:
            high = middle - 1
    return low


def profile_of(config: "Any") -> ModelProfile:
    """Profile the image-text-to-text model of a transformers `config`. Takes milliseconds."""
    from torch import nn

    model = _without_weights(config)
    matrices = [layer.weight.numel() for layer in model.get_decoder().modules() if isinstance(layer, nn.Linear)]
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    text = config.get_text_config()
    kv_values, window_kv_values = _kv_values(text)
    return ModelProfile(
        decoder_linear_params=sum(matrices),
        other_params=num_parameters - sum(matrices),
        largest_matrix=max(matrices, default=0),
        kv_values=kv_values,
        activation_values=_activation_values(text, getattr(config, "vision_config", None)),
        window_kv_values=window_kv_values,
        window=getattr(text, "sliding_window", None) or 0,
    )


def _kv_values(text: "Any") -> tuple[int, int]:
    """Count keys and values of one token in layers with full attention, and in those with a sliding window.

    Linear attention and convolutions keep a state of the same few megabytes however long the context is. Layers that
    share the keys of another keep none.
    """
    types = getattr(text, "layer_types", None) or ["full_attention"] * text.num_hidden_layers
    full = windowed = 0
    for index, kind in enumerate(types[: len(types) - (getattr(text, "num_kv_shared_layers", None) or 0)]):
        # Gemma 4's layers have heads of two sizes.
        layer = text.per_layer_config[index] if text.is_heterogeneous else text
        head_dim = getattr(layer, "head_dim", None) or layer.hidden_size // layer.num_attention_heads
        values = 2 * (getattr(layer, "num_key_value_heads", None) or layer.num_attention_heads) * head_dim
        if "sliding" in kind:
            windowed += values
        elif "linear" not in kind and "attention" in kind:
            full += values
    return full, windowed


def with_pixels(profile: ModelProfile, config: "Any", pixels: int) -> ModelProfile:
    """Return `profile` for images of `pixels` pixels, whether encoded in one piece or in tiles side by side."""
    values = _activation_values(config.get_text_config(), getattr(config, "vision_config", None), pixels)
    return replace(profile, activation_values=values)


def linear_layers_outside_decoder(config: "Any") -> list[str]:
    """Return the names of the linear layers that are not quantized: vision tower, connector and output layer."""
    from torch import nn

    model = _without_weights(config)
    inside = set(model.get_decoder().modules())
    return [name for name, layer in model.named_modules() if isinstance(layer, nn.Linear) and layer not in inside]


def free_bytes(device: str) -> int:
    """Return the free memory in bytes of `device`: "cpu", "mps", or a CUDA or XPU device. A container's limit counts.

    A chip of Apple has the memory of the machine.
    """
    if device.startswith(("cuda", "xpu")):
        import torch

        backend = torch.cuda if device.startswith("cuda") else torch.xpu
        return int(backend.mem_get_info(torch.device(device))[0])
    return free_memory()


def _without_weights(config: "Any") -> "Any":
    import torch
    from transformers import AutoModelForImageTextToText

    with torch.device("meta"):
        model: Any = AutoModelForImageTextToText.from_config(config)
    model.tie_weights()
    return model


def _activation_values(text: "Any", vision: "Any", pixels: int = 0) -> int:
    """Count the values alive at once in a layer, the larger of the vision tower's and the decoder's.

    Args:
        text: Configuration of the decoder.
        vision: Configuration of the vision tower; None without one.
        pixels: Pixels of an image; 0 for the tower's own size, or `_DEFAULT_PIXELS` if it has none.
    """
    inner = getattr(text, "intermediate_size", None) or 4 * text.hidden_size
    decoder: int = _MAX_CHUNK_TOKENS * (_LIVE_HIDDEN * text.hidden_size + _LIVE_FEED_FORWARD * inner)
    width = getattr(vision, "hidden_size", None)
    if not isinstance(width, int):
        return decoder
    patch = _side(getattr(vision, "patch_size", 16))
    image_size = getattr(vision, "image_size", None)
    if image_size:
        tile = _side(image_size) ** 2
        # An image in tiles is encoded downscaled as well, in one more of them.
        encoded = tile + (pixels if pixels > tile else 0)
    else:
        encoded = pixels or _DEFAULT_PIXELS
    inner = getattr(vision, "intermediate_size", None) or 4 * width
    tower = encoded // patch**2 * (_LIVE_HIDDEN * width + _LIVE_FEED_FORWARD * inner)
    return max(decoder, tower)


def _side(size: "Any") -> int:
    return int(size[0] if isinstance(size, (list, tuple)) else size)
