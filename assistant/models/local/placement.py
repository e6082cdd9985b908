"""Where a model runs and how its weights are held, and whether there is room for it.

               on the CPU                 on CUDA                          on mps
    auto       int8, where it is exact    nf4, or none for small models    none
    none       float32                    bfloat16                         bfloat16
    int8       this program's own         bitsandbytes                     -
    nf4        bitsandbytes (slow)        bitsandbytes                     -
    bf16       yes (slow)                 yes                              yes
    fp16       -                          yes                              yes

In nf4 and int8 only the decoder's linear layers are quantized. The vision tower is faster and sees better without, and
the output layer decides between words that are close.
"""

import warnings
from dataclasses import dataclass, replace

import torch

from assistant.errors import ConfigError, ModelError
from assistant.formatting import format_bytes
from assistant.models.local.int8 import max_exact_weight
from assistant.models.memory import (
    MIN_CONTEXT,
    ModelProfile,
    auto_quantization,
    estimate,
    max_context,
    precision_for,
)

QUANTIZATIONS = {
    "cpu": ("none", "int8", "nf4", "bf16"),
    "cuda": ("none", "nf4", "int8", "bf16", "fp16"),
    "mps": ("none", "bf16", "fp16"),
}
"""What can be asked for on each kind of device."""

# A shorter context than this is worth telling: a few pictures and questions fill it.
_SHORT_CONTEXT = 8192


@dataclass(frozen=True)
class Placement:
    """Where a model runs and in what: `dtype` of all that is not quantized, `quantization` as people choose it.

    That is "auto" until `settle` knows the model. `compile` is "on", "off" or "auto", which is on for CUDA. With
    `quantize_tower` what bitsandbytes quantizes includes the vision tower: slower, and there to be measured. `notice`
    says why a GPU that is there cannot be used.
    """

    device: str
    dtype: torch.dtype
    quantization: str
    compile: str = "auto"
    quantize_tower: bool = False
    notice: str = ""

    @property
    def device_type(self) -> str:
        """The kind of device: "cpu", "cuda" or "mps"."""
        return self.device.partition(":")[0]

    @property
    def should_compile(self) -> bool:
        """Whether replies are decoded by compiled code, where the model lets itself be compiled."""
        return self.compile == "on" or (self.compile == "auto" and self.device_type == "cuda")

    @property
    def uses_bitsandbytes(self) -> bool:
        """Whether bitsandbytes holds the quantized weights."""
        return self.quantization == "nf4" or (self.quantization == "int8" and self.device_type == "cuda")


def choose_device(device: str = "auto", quantize: str = "auto", compile: str = "auto") -> Placement:
    """Choose the device, and check that `quantize` can be had there.

    Raises `ConfigError` for what does not exist, or not together.
    """
    has_cuda, why = _look_for_cuda()
    try:
        chosen = torch.device(("cuda" if has_cuda else "cpu") if device == "auto" else device)
    except RuntimeError as error:
        raise ConfigError(f"There is no device {device}: choose auto, cpu, mps or cuda.") from error
    if chosen.type == "cuda" and not has_cuda:
        raise ConfigError(f"No CUDA device can be used here{f' ({why})' if why else ''}: choose --device auto or cpu.")
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("No mps device can be used here: choose --device auto or cpu.")
    if quantize not in {"auto", *(name for names in QUANTIZATIONS.values() for name in names)}:
        raise ConfigError(f"There is no quantization {quantize}: choose auto, none, int8, nf4, bf16 or fp16.")
    choices = QUANTIZATIONS[chosen.type]
    if quantize not in ("auto", *choices):
        raise ConfigError(
            f"{quantize} cannot be had on {chosen.type}: choose --quantize auto, {', '.join(choices[:-1])} "
            f"or {choices[-1]}."
        )
    if chosen.type == "cpu":
        exact = max_exact_weight()
        if quantize == "int8" and not exact:
            raise ConfigError("This processor or build of torch has no exact int8 products: choose --quantize none.")
        if quantize == "auto":
            quantize = "int8" if exact else "none"
    elif chosen.type == "mps" and quantize == "auto":
        quantize = "none"
    halves = {"fp16": torch.float16, "bf16": torch.bfloat16, "nf4": torch.bfloat16}
    plain = torch.float32 if chosen.type == "cpu" else torch.bfloat16
    # That there is no driver at all says nothing to those without such a card.
    unused = device == "auto" and not has_cuda and why and "no NVIDIA driver" not in why
    notice = f"The GPU is not used: {why}." if unused else ""
    return Placement(str(chosen), halves.get(quantize, plain), quantize, compile, notice=notice)


def _look_for_cuda() -> tuple[bool, str]:
    """Whether CUDA can be used, and what torch says of why not, such as that the driver is too old."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        available = torch.cuda.is_available()
    reason = str(said[0].message).rpartition("CUDA initialization: ")[2] if said else ""
    return available, reason.partition(". ")[0].strip(" .")


def resolve_quantization(placement: Placement, profile: ModelProfile) -> Placement:
    """`placement` with "auto" decided for a model with this `shape`."""
    if placement.quantization != "auto":
        return placement
    return replace(placement, quantization=auto_quantization(profile))


def plan_context(name: str, profile: ModelProfile, placement: Placement, context_tokens: int, free: int) -> tuple[int, str]:
    """How much of its context a model can have in `free` bytes, and a sentence if that is short, else an empty one.

    Raises `ModelError`, saying what would help, if that is not enough for a conversation.
    """
    held = precision_for(placement.quantization, placement.device_type)
    room = min(context_tokens, max_context(profile, held, free))
    if room < min(context_tokens, MIN_CONTEXT):
        need = estimate(profile, held, min(context_tokens, MIN_CONTEXT)).total
        smaller = [other for other in QUANTIZATIONS[placement.device_type] if _fits(profile, other, placement, free)]
        advice = f"choose --quantize {smaller[0]}, or" if smaller else "close other programs, or choose"
        raise ModelError(
            f"{name} takes about {format_bytes(need)} in {placement.quantization} and {placement.device} has "
            f"{format_bytes(free)} free: {advice} a smaller model."
        )
    if room < min(context_tokens, _SHORT_CONTEXT):
        return room, f"There is memory for {room:,} of the {context_tokens:,} tokens that {name} could keep in mind."
    return room, ""


def _fits(shape: ModelProfile, quantization: str, placement: Placement, free: int) -> bool:
    return max_context(shape, precision_for(quantization, placement.device_type), free) >= MIN_CONTEXT
