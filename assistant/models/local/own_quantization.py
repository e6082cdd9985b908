"""Checkpoints that their makers have quantized: which of them this machine runs, and how much memory that takes.

    method                device                 package                         note
    bitsandbytes          any; int8 not on MPS   bitsandbytes
    AWQ                   CPU, CUDA, XPU         gptqmodel
    GPTQ                  CPU, CUDA, XPU         gptqmodel, optimum
    compressed-tensors    any                    compressed-tensors
    torchao               CPU, CUDA, XPU         torchao
    FP8                   any                    (kernels on CUDA and XPU)       bfloat16 where there are no such units
    MXFP4                 any                    (kernels on CUDA and XPU)       bfloat16 without them

As the quantizers of transformers 5.23 ask for, which are asked themselves about methods that are not in the table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from assistant.errors import MissingExtraError, ModelError, first_line
from assistant.models.local.placement import Placement
from assistant.models.memory import ModelProfile
from assistant.text_cleaning import clean_line

_ANY = ("cpu", "cuda", "xpu", "mps")
_NOT_MPS = ("cpu", "cuda", "xpu")
# Units for FP8 came with this generation of NVIDIA's: RTX 40, L40, H100.
_FP8_CAPABILITY = (8, 9)
_BFLOAT16_BYTES = 2.0


@dataclass(frozen=True)
class _Method:
    """What a method of quantization needs: device types, and packages by the names under which they are imported."""

    name: str
    devices: tuple[str, ...]
    packages: Mapping[str, str]


_METHODS = {
    "bitsandbytes_4bit": _Method("bitsandbytes (4 bits)", _ANY, {"bitsandbytes": "bitsandbytes"}),
    "bitsandbytes_8bit": _Method("bitsandbytes (8 bits)", _NOT_MPS, {"bitsandbytes": "bitsandbytes"}),
    "awq": _Method("AWQ", _NOT_MPS, {"gptqmodel": "gptqmodel"}),
    "gptq": _Method("GPTQ", _NOT_MPS, {"gptqmodel": "gptqmodel", "optimum": "optimum"}),
    "compressed-tensors": _Method("compressed-tensors", _ANY, {"compressed_tensors": "compressed-tensors"}),
    "torchao": _Method("torchao", _NOT_MPS, {"torchao": "torchao"}),
    "fp8": _Method("FP8", _ANY, {}),
    "mxfp4": _Method("MXFP4", _ANY, {}),
}


def own_method(config: Any, source: str) -> str:
    """Return the method by which the model of transformers' `config` is quantized; empty for one that is not.

    Raises:
        ModelError: transformers does not know it.
    """
    from transformers.quantizers.auto import AUTO_QUANTIZER_MAPPING

    described = getattr(config, "quantization_config", None)
    if not described:
        return ""
    values = described.to_dict() if hasattr(described, "to_dict") else described
    method = getattr(values.get("quant_method"), "value", values.get("quant_method"))
    if method in (None, "bitsandbytes"):
        method = "bitsandbytes_4bit" if values.get("load_in_4bit") else "bitsandbytes_8bit"
    if not isinstance(method, str) or method not in AUTO_QUANTIZER_MAPPING:
        raise ModelError(
            f"{source} is quantized by the method {clean_line(str(method), 40)}, which this version of transformers "
            "does not know: choose another quantization of it, or the model itself."
        )
    return method


def check_own_quantization(config: Any, source: str, device: str) -> None:
    """Refuse a quantized checkpoint that cannot run on `device`.

    Raises:
        ModelError: The device or transformers does not support its method.
        MissingExtraError: Its method needs a package that is not installed.
    """
    key = own_method(config, source)
    if key not in _METHODS:
        _ask_quantizer(config, key, source)
        return
    method, kind = _METHODS[key], device.partition(":")[0]
    if kind not in method.devices:
        raise ModelError(
            f"{source} is quantized by {method.name}, which does not run on {kind}: choose --device cpu, the model "
            "without quantization, or a GGUF file of it."
        )
    missing = [package for module, package in method.packages.items() if find_spec(module) is None]
    if missing:
        raise MissingExtraError(
            f"{source} is quantized by {method.name}, which needs {' and '.join(missing)} "
            f"(`pip install {' '.join(missing)}`): install that, or choose the model without quantization."
        )


def keep_own_quantization(
    placement: Placement, config: Any, source: str, folder: Path, profile: ModelProfile
) -> Placement:
    """Return `placement` for the model in `folder`, with the quantization that it brings, if any.

    Raises as `check_own_quantization`.
    """
    key = own_method(config, source)
    if not key:
        return placement
    check_own_quantization(config, source, placement.device)
    if key in {"fp8", "mxfp4"} and not _has_units(placement.device, key):
        # transformers unpacks them while it loads.
        bytes_per_weight = _BFLOAT16_BYTES
    else:
        # Formats pack their weights in too many ways to compute this: what is on disk is what is loaded.
        stored = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
        others = _BFLOAT16_BYTES * profile.other_params
        bytes_per_weight = max(0.25, (stored - others) / max(1, profile.decoder_linear_params))
    name = key.partition("_")[0]
    return replace(placement, quantization=name, dtype=torch.bfloat16, own_weight_bytes=bytes_per_weight)


def _ask_quantizer(config: Any, key: str, source: str) -> None:
    """Have transformers check what the method `key` needs; an empty one needs nothing."""
    from transformers.quantizers.auto import AutoHfQuantizer

    if not key:
        return
    try:
        AutoHfQuantizer.from_config(config.quantization_config, pre_quantized=True).validate_environment()
    except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
        kind = MissingExtraError if isinstance(error, ImportError) else ModelError
        raise kind(
            f"{source} is quantized by {key}, which cannot run here ({first_line(error)}): choose another quantization "
            "of it, or the model itself."
        ) from error


def _has_units(device: str, key: str) -> bool:
    kind = device.partition(":")[0]
    if kind == "cuda" and key == "fp8":
        return torch.cuda.get_device_capability(torch.device(device)) >= _FP8_CAPABILITY
    return kind in {"cuda", "xpu"} and find_spec("kernels") is not None
