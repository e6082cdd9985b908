"""Translate sampling options into llama.cpp's names, with the model's own recommendation where they are None."""

from contextlib import suppress
from typing import Any

from assistant.errors import ConfigError
from assistant.models.base import GenerationOptions
from assistant.models.gguf.metadata import GgufMetadata
from assistant.settings import parse_value

# A GGUF file rarely holds the generation config of the model that it was made of. By the start of its name, or of its
# architecture: temperature, top_p, top_k, repetition penalty as published beside the weights.
_PUBLISHED = {
    "qwen2.5 coder": {"temperature": 0.7, "top_p": 0.8, "top_k": 20, "repetition_penalty": 1.1},
}
# Keys of llama.cpp's metadata, and the options that they set.
_METADATA_KEYS = {
    "temp": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "penalty_repeat": "repetition_penalty",
}
_OFF = {"temperature": 0.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0}
_LLAMA_NAMES = {"repetition_penalty": "repeat_penalty"}
# The order of transformers: llama.cpp's own filters first and divides by the temperature last.
_SAMPLERS = ["penalties", "temperature", "top_k", "top_p", "min_p"]
_SEEDS = 2**32 - 1
"""Number of seeds; the one above means a random one."""


def recommended(metadata: GgufMetadata) -> dict[str, float]:
    """Return the model's own sampling options; empty means that it decodes greedily."""
    written: dict[str, float] = {}
    for key, option in _METADATA_KEYS.items():
        if (value := metadata.sampling.get(key)) is not None:
            # What is no value of the setting is left out: a penalty of 0 would divide by zero.
            with suppress(ConfigError):
                # llama.cpp writes a top-k of all tokens as 0 or less.
                written[option] = parse_value(option, max(value, 0) if option == "top_k" else value, key)
    if written:
        return written
    name = metadata.name.lower().replace("-", " ")
    return next((dict(values) for start, values in _PUBLISHED.items() if name.startswith(start)), {})


def to_request(options: GenerationOptions, recommendation: dict[str, float]) -> dict[str, Any]:
    """Return the fields of a request to llama.cpp for `options`."""
    request: dict[str, Any] = {
        "max_tokens": options.max_tokens,
        "samplers": _SAMPLERS,
        "stop": list(options.stop),
    }
    if options.reasoning == "off":
        request["chat_template_kwargs"] = {"enable_thinking": False}
    if options.seed is not None:
        request["seed"] = options.seed % _SEEDS
    for name, off in _OFF.items():
        chosen = getattr(options, name)
        value = recommendation.get(name, off) if chosen is None else chosen
        request[_LLAMA_NAMES.get(name, name)] = int(value) if name == "top_k" else value
    return request
