"""Choose the device and precision of a model, and plan how much of its context and image size fits into memory.

               CPU                        CUDA, ROCm and XPU               MPS
    auto       int8                       nf4, none for small models       none
    none       float32                    bfloat16                         bfloat16
    int8       Parley's own               bitsandbytes                     -
    nf4        bitsandbytes (slow)        bitsandbytes                     bitsandbytes
    bf16       yes (slow)                 yes                              yes
    fp16       -                          yes                              yes

nf4 and int8 quantize only the decoder's linear layers. The vision tower is faster and more accurate unquantized, and
the output layer decides between tokens with close logits. A checkpoint that was quantized by its makers keeps its own
quantization, whatever is chosen: see `own_quantization`.

torch calls AMD's GPUs "cuda", too. Only CUDA on NVIDIA has the kernels that were measured by others; the rest follows
from what bitsandbytes 0.50 has kernels for.
"""

import warnings
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import torch

from assistant.errors import ConfigError, ModelError
from assistant.formatting import format_bytes
from assistant.models.local import image_detail
from assistant.models.memory import (
    MIN_CONTEXT,
    ModelProfile,
    Precision,
    auto_quantization,
    estimate,
    free_bytes,
    max_context,
    precision_for,
    with_pixels,
)
from assistant.models.quantization import QUANTIZATIONS, choose_quantization

# Tokens. A context below this is reported: a few images and questions fill it.
_SHORT_CONTEXT = 8192


@dataclass(frozen=True)
class Placement:
    """Device and precision of a model.

    Attributes:
        device: "cpu", "mps", or a CUDA or XPU device.
        dtype: Type of everything that is not quantized.
        quantization: A choice of `--quantize`, "auto" until `resolve_quantization`; or the method of a checkpoint that
            is quantized already.
        compile: "on", "off" or "auto".
        quantize_tower: Have bitsandbytes quantize the vision tower as well. Slower; for measurements only.
        notice: The reason why a GPU of this machine cannot be used, or an empty string.
        own_weight_bytes: Bytes of a weight in a checkpoint that is quantized already; None for others.
    """

    device: str
    dtype: torch.dtype
    quantization: str
    compile: str = "auto"
    quantize_tower: bool = False
    notice: str = ""
    own_weight_bytes: float | None = None

    @property
    def device_type(self) -> str:
        """The type of the device: "cpu", "cuda", "xpu" or "mps"."""
        return self.device.partition(":")[0]

    @property
    def should_compile(self) -> bool:
        """True if decode steps are to be compiled, where the model supports it.

        "auto" means off until compiled code has run on a GPU and its speed is known.
        """
        return self.compile == "on"

    @property
    def is_quantized_already(self) -> bool:
        """True if the checkpoint brings a quantization of its own."""
        return self.own_weight_bytes is not None

    @property
    def uses_bitsandbytes(self) -> bool:
        """True if bitsandbytes quantizes the weights while they are loaded."""
        return self.quantization == "nf4" or (self.quantization == "int8" and self.device_type in {"cuda", "xpu"})

    @property
    def precision(self) -> Precision:
        """Bytes per value of weights, activations and KV cache."""
        if self.own_weight_bytes is not None:
            return Precision(self.own_weight_bytes, 2, 2)
        return precision_for(self.quantization, self.device_type)


@dataclass(frozen=True)
class MemoryPlan:
    """The part of a model's abilities that fits into memory.

    Attributes:
        context_tokens: Longest prompt and reply together.
        max_pixels: Most pixels of an image.
        notices: Sentences for people about what does not fit.
    """

    context_tokens: int
    max_pixels: int
    notices: tuple[str, ...]


def choose_device(device: str = "auto", quantize: str = "auto", compile: str = "auto") -> Placement:
    """Choose the device and check that it supports `quantize`.

    Args:
        device: "auto" (a GPU if there is one, else the CPU), "cpu", "mps", or a CUDA or XPU device.
        quantize: "auto" or one of `QUANTIZATIONS`.
        compile: "on", "off" or "auto".

    Raises:
        ConfigError: The device or the quantization does not exist, or one does not support the other.
    """
    has_cuda, why_not = _find_cuda()
    available = {"cuda": has_cuda, "xpu": torch.xpu.is_available(), "mps": torch.backends.mps.is_available()}
    best = next((kind for kind, is_available in available.items() if is_available), "cpu")
    try:
        chosen = torch.device(best if device == "auto" else device)
    except RuntimeError as error:
        raise ConfigError(f"There is no device {device}: choose auto, cpu, mps, xpu or cuda.") from error
    if chosen.type not in QUANTIZATIONS:
        raise ConfigError(f"Models do not run on {device}: choose --device auto, cpu, mps, xpu or cuda.")
    if not available.get(chosen.type, True):
        because = f" ({why_not})" if why_not and chosen.type == "cuda" else ""
        name = "mps" if chosen.type == "mps" else chosen.type.upper()
        raise ConfigError(f"No {name} device can be used here{because}: choose --device auto or cpu.")
    quantize = choose_quantization(chosen.type, quantize)
    default = torch.float32 if chosen.type == "cpu" else torch.bfloat16
    dtype = {"fp16": torch.float16, "bf16": torch.bfloat16, "nf4": torch.bfloat16}.get(quantize, default)
    # On a machine without an NVIDIA GPU a missing driver is no news.
    gpu_unused = device == "auto" and best == "cpu" and why_not and "no NVIDIA driver" not in why_not
    notice = f"The GPU is not used: {why_not}." if gpu_unused else ""
    return Placement(str(chosen), dtype, quantize, compile, notice=notice)


def resolve_quantization(placement: Placement, profile: ModelProfile) -> Placement:
    """Return `placement` with "auto" replaced by a quantization for this model."""
    if placement.quantization != "auto":
        return placement
    return replace(placement, quantization=auto_quantization(profile))


def plan_memory(
    name: str, config: Any, processor: Any, profile: ModelProfile, placement: Placement, detail: str
) -> MemoryPlan:
    """Plan the context and the image size for the free memory of the device.

    Chooses the highest resolution that `detail` allows and that leaves enough context for a conversation.

    Args:
        name: The model's name, for notices and errors.
        config: Transformers' configuration.
        processor: Transformers' processor.
        profile: The model's profile.
        placement: Device and precision.
        detail: One of `image_detail.LEVELS`.

    Raises:
        ModelError: Not even the lowest resolution fits.
    """
    image_processor = getattr(processor, "image_processor", None)
    model_context = config.get_text_config().max_position_embeddings
    free = free_bytes(placement.device)
    *higher, lowest = image_detail.pixel_budgets(detail, placement.device_type)
    resizable = bool(image_detail.processor_options(image_processor, lowest))
    for pixels in higher if resizable else ():
        with suppress(ModelError):
            context_tokens, notice = plan_context(
                name, with_pixels(profile, config, pixels), placement, model_context, free
            )
            if image_detail.fits_conversation(pixels, context_tokens):
                return MemoryPlan(context_tokens, pixels, tuple(filter(None, (placement.notice, notice))))
    if resizable:
        profile = with_pixels(profile, config, lowest)
    context_tokens, notice = plan_context(name, profile, placement, model_context, free)
    one_size = ""
    if not resizable and detail != "auto":
        one_size = f"{name} looks at every picture in the same size: --detail {detail} changes nothing."
    return MemoryPlan(context_tokens, lowest, tuple(filter(None, (placement.notice, notice, one_size))))


def plan_context(
    name: str, profile: ModelProfile, placement: Placement, context_tokens: int, free: int
) -> tuple[int, str]:
    """Return how many of `context_tokens` fit into `free` bytes, and a notice (or "") if the context is short.

    Raises:
        ModelError: That is too little for a conversation. The message says what would help.
    """
    precision = placement.precision
    fitting = min(context_tokens, max_context(profile, precision, free))
    if fitting < min(context_tokens, MIN_CONTEXT):
        needed = estimate(profile, precision, min(context_tokens, MIN_CONTEXT)).total
        choices = () if placement.is_quantized_already else QUANTIZATIONS[placement.device_type]
        smaller = [other for other in choices if _fits(profile, other, placement, free)]
        advice = f"choose --quantize {smaller[0]}, or" if smaller else "close other programs, or choose"
        raise ModelError(
            f"{name} takes about {format_bytes(needed)} in {placement.quantization} and {placement.device} has "
            f"{format_bytes(free)} free: {advice} a smaller model."
        )
    if fitting < min(context_tokens, _SHORT_CONTEXT):
        return fitting, f"There is memory for {fitting:,} of the {context_tokens:,} tokens of {name}'s context."
    return fitting, ""


def _find_cuda() -> tuple[bool, str]:
    """Return whether CUDA can be used, and torch's reason if not, for example that the driver is too old."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        available = torch.cuda.is_available()
    message = str(caught[0].message).rpartition("CUDA initialization: ")[2] if caught else ""
    return available, message.partition(". ")[0].strip(" .")


def _fits(profile: ModelProfile, quantization: str, placement: Placement, free: int) -> bool:
    return max_context(profile, precision_for(quantization, placement.device_type), free) >= MIN_CONTEXT
