"""Formats of weights, and which of them each type of device supports. Needs no torch."""

from assistant.errors import ConfigError

QUANTIZATIONS = {
    "cpu": ("none", "int8", "nf4", "bf16"),
    "cuda": ("none", "nf4", "int8", "bf16", "fp16"),
    "xpu": ("none", "nf4", "int8", "bf16", "fp16"),
    "mps": ("none", "nf4", "bf16", "fp16"),
}
"""Choices of `--quantize` on each type of device, besides "auto"."""


def choose_quantization(device_type: str, quantize: str) -> str:
    """Return `quantize`, with "auto" resolved where it does not depend on the model.

    Raises:
        ConfigError: There is no such format, or the device does not support it.
    """
    if quantize not in {"auto", *(name for names in QUANTIZATIONS.values() for name in names)}:
        raise ConfigError(f"There is no quantization {quantize}: choose auto, none, int8, nf4, bf16 or fp16.")
    choices = QUANTIZATIONS[device_type]
    if quantize not in ("auto", *choices):
        raise ConfigError(
            f"{quantize} is not available on {device_type}: choose --quantize auto, {', '.join(choices[:-1])} "
            f"or {choices[-1]}."
        )
    if quantize == "auto":
        return {"cpu": "int8", "mps": "none"}.get(device_type, "auto")
    return quantize
