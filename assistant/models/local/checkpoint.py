"""Find, fetch, validate and read the files of a model.

Checkpoints are data: weights come from safetensors only, and code in a model's folder never runs.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from assistant.errors import MissingExtraError, ModelError
from assistant.formatting import format_bytes
from assistant.models import catalog, hub
from assistant.models.local.load_errors import reason, silence_libraries, translate_errors
from assistant.models.local.lora import LoraAdapter
from assistant.models.local.placement import Placement
from assistant.models.memory import linear_layers_outside_decoder
from assistant.models.names import find_folder
from assistant.progress import Progress, no_progress

IMAGE_ADAPTER_FILE = "picture_adapter.safetensors"
"""Name of the LoRA adapter beside a LLaVA model. It applies while there is an image in the conversation."""

_POCKET_VISION_TYPE = "parley_pocket_eyes"
# Suffixes of files that are read whole, and the size of the largest: tokenizers take up to 40 MB.
_READ_WHOLE = frozenset({".json", ".jinja", ".txt", ".model"})
_MAX_SMALL_FILE = 256 * 2**20
_LAYER_COUNT = re.compile(r"(?:layers?|depths?|experts)$")
_MAX_LAYERS = 2000
_MAX_UNCHECKED_PARAMETERS = 100_000_000
# Pixels.
_MAX_IMAGE_SIDE = 10_000
# Tokens of an image. Vocabularies, whose numbers are looked at as well, have up to 300,000.
_MAX_COUNT = 10**6
# Block sizes of bitsandbytes' nf4 kernel for the CPU.
_CPU_NF4_ROWS, _CPU_NF4_COLUMNS = 32, 64
_PACKAGE_HINTS = {
    "torchvision": "torchvision (`pip install 'parley-assistant[gpu]'`)",
    "num2words": "num2words (`pip install 'parley-assistant[gpu]'`)",
    "PIL": "Pillow",
    "sentencepiece": "sentencepiece (`pip install sentencepiece`)",
}


def fetch_and_validate(source: str, progress: Progress = no_progress) -> None:
    """Fetch a model if necessary, and check everything that can be checked before it is loaded.

    Args:
        source: A folder, a name in the catalog, or a hub id.
        progress: Reports the bytes fetched.

    Raises:
        ConfigError: There can be no model of this name.
        ModelError: The model does not exist, cannot be fetched or cannot be used.
        MissingExtraError: It needs a package that is not installed.
    """
    folder = find_folder(source) or fetch_checkpoint(source, progress)
    progress(f"looking into {Path(source).name}", 0, 0)
    check_folder(folder)
    _check_small_files(folder, source)


def fetch_checkpoint(source: str, progress: Progress = no_progress, check: Callable[[Any], object] = bool) -> Path:
    """Return the cached folder of a model from the catalog or the hub, and fetch it first if necessary.

    Configuration and processor are checked before gigabytes of weights are fetched.

    Args:
        source: A name in the catalog, or a hub id.
        progress: Reports the bytes fetched.
        check: Called with transformers' configuration before the weights are fetched; raises to refuse the model.

    Raises as `fetch_and_validate`, and what `check` raises.
    """
    entry = catalog.find(source)
    repository, revision = (entry.repository, entry.revision) if entry else (source, "main")
    return hub.fetch(repository, revision, progress, lambda folder: _check_small_files(folder, source, check))


def check_folder(folder: Path) -> None:
    """Check that `folder` has a readable config.json and safetensors weights. Raises `ModelError`."""
    config = folder / "config.json"
    _check_files(folder)
    try:
        described = json.loads(config.read_text("utf-8"))
    except OSError as error:
        raise ModelError(f"{folder} is not a model folder: its config.json cannot be read.") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{config} is damaged: get a fresh copy of the model.") from error
    if not any(folder.glob("*.safetensors")):
        if any(file.suffix in {".bin", ".pt", ".pth"} for file in folder.iterdir()):
            raise ModelError(f"{folder} has its weights as pickles, which can run code: convert them to safetensors.")
        raise ModelError(f"{folder} has no weights: a *.safetensors file is missing.")
    if not isinstance(described, dict) or "model_type" not in described:
        raise ModelError(f"{config} has no model type: get a fresh copy of the model.")
    _check_counts(config, described)


def _check_files(folder: Path) -> None:
    """Refuse pipes, devices and huge files in place of those that are read. Raises `ModelError`."""
    for file in folder.iterdir():
        if file.suffix not in _READ_WHOLE and file.suffix != ".safetensors":
            continue
        # A link may lead anywhere: the hub's cache consists of links.
        if file.exists() and not file.is_file():
            raise ModelError(f"{file} is no file: get a fresh copy of the model.")
        if file.suffix in _READ_WHOLE and file.exists() and file.stat().st_size > _MAX_SMALL_FILE:
            raise ModelError(f"{file} is larger than {format_bytes(_MAX_SMALL_FILE)}: get a fresh copy of the model.")


def _check_counts(config: Path, described: Any) -> None:
    """Refuse a configuration with absurd numbers of layers: each costs time and memory before any weight is read."""
    pending = [described]
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending += value[:_MAX_LAYERS]
        if not isinstance(value, dict):
            continue
        pending += value.values()
        for name, count in value.items():
            if _LAYER_COUNT.search(name) and isinstance(count, int | float) and count > _MAX_LAYERS:
                raise ModelError(f"{config} describes a model with {count:g} layers or experts ({name}): check it.")


def read_config(folder: Path, source: str) -> Any:
    """Read the configuration of a vision-language model. Raises `ModelError` for any other kind of model."""
    import transformers
    from huggingface_hub.errors import StrictDataclassError

    import assistant.models.pocket.vision_encoder  # noqa: F401 - registers the bundled model's vision encoder with transformers

    try:
        config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except StrictDataclassError as error:
        raise ModelError(
            f"The config.json of {source} contradicts itself: {reason(error.__cause__ or error)}."
        ) from error
    except ValueError as error:
        if "trust_remote_code" in str(error) or "custom code" in str(error):
            raise ModelError(
                f"{source} brings its own code, which Parley never runs: choose a model that needs none."
            ) from error
        raise ModelError(
            f"{source} is of a type that this version of transformers does not know: choose another model."
        ) from error
    if type(config) not in transformers.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        raise ModelError(
            f"{source} is a {config.model_type} model, which cannot look at pictures: choose a vision-language model."
        )
    return config


def check_weight_bytes(folder: Path, source: str, config: Any, num_parameters: int) -> None:
    """Refuse weights that are far fewer than `config` describes, before memory is taken for all of them.

    A configuration without sizes describes a model of 7 billion parameters. Raises `ModelError`.
    """
    # A parameter that is not quantized takes two bytes or more, one that is takes two bits or more.
    stored = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    possible = stored if getattr(config, "quantization_config", None) is None else 4 * stored
    # What is small is read, which says more exactly what is wrong.
    if num_parameters > max(possible, _MAX_UNCHECKED_PARAMETERS):
        raise ModelError(
            f"The config.json of {source} describes {num_parameters:,} parameters, and its weights take only "
            f"{format_bytes(stored)}: get a fresh copy of it."
        )


def read_processor(folder: Path, source: str) -> Any:
    """Read transformers' processor (tokenizer, image processor, chat template) of a model.

    Raises:
        ModelError: It is damaged.
        MissingExtraError: It needs a package that is not installed.
    """
    from transformers import AutoProcessor

    try:
        processor = AutoProcessor.from_pretrained(folder, trust_remote_code=False)
    except ImportError as error:
        hints = (hint for package, hint in _PACKAGE_HINTS.items() if package.lower() in str(error).lower())
        if (hint := next(hints, None)) is None:
            raise
        raise MissingExtraError(f"The processor of {source} needs {hint}.") from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(f"The processor of {source} cannot be read: {reason(error)}.") from error
    _check_image_sizes(getattr(processor, "image_processor", None), source)
    _check_token_counts(processor, source)
    return processor


def _check_token_counts(processor: Any, source: str) -> None:
    """Refuse a processor that would write gigabytes of image tokens into a prompt. Raises `ModelError`."""
    # Numbers of tokens and their ids are all that is set on the processor itself.
    for name, value in vars(processor).items():
        if isinstance(value, int | float) and value > _MAX_COUNT:
            raise ModelError(f"The processor of {source} has {value:g} as its {name}, which is too much: check it.")


def _check_image_sizes(image_processor: Any, source: str) -> None:
    """Refuse a processor that would enlarge every picture to gigabytes. Raises `ModelError`."""
    # Processors that merge patches give the areas of pictures under the names of sides.
    has_areas = hasattr(image_processor, "merge_size")
    for name in ("size", "crop_size", "pad_size", "max_image_size"):
        size = getattr(image_processor, name, None)
        sides = size if isinstance(size, dict) else getattr(size, "__dict__", {})
        for side, pixels in sides.items():
            is_area = has_areas and side.endswith("_edge")
            if isinstance(pixels, int | float) and pixels > _MAX_IMAGE_SIDE and not is_area:
                raise ModelError(
                    f"The processor of {source} makes pictures {pixels:g} pixels large ({name}): check it."
                )


def read_weights(folder: Path, config: Any, placement: Placement) -> Any:
    """Load transformers' model with the weights in `folder`, on the device and in the dtype of `placement`.

    Weights for Parley's own int8 stay as they are on disk and are quantized later. Raises `ModelError`.
    """
    from transformers import AutoModelForImageTextToText, GenerationConfig

    # `generation_config` reads that file: transformers refuses a model for values that nothing here uses.
    options: dict[str, Any] = {"dtype": placement.dtype, "generation_config": GenerationConfig()}
    if placement.uses_bitsandbytes:
        options |= {"quantization_config": _bitsandbytes_config(config, placement)}
    if placement.uses_bitsandbytes or placement.is_quantized_already:
        options |= {"device_map": {"": placement.device}}
    elif placement.quantization == "int8":
        # Keeping the dtype on disk until then halves the peak for 16-bit weights.
        options["dtype"] = "auto"
    loaded: Any = AutoModelForImageTextToText.from_pretrained(
        folder, use_safetensors=True, trust_remote_code=False, output_loading_info=True, **options
    )
    model, loading_info = loaded
    if placement.is_quantized_already and all(weight.dtype.itemsize > 1 for weight in model.parameters()):
        # It was unpacked, and what had never been packed is still in the dtype on disk.
        model.to(placement.dtype)
    missing = sorted(loading_info["missing_keys"])
    if missing:
        raise ModelError(
            f"{folder} lacks {len(missing)} of the model's weights, {missing[0]} for one: get a fresh copy of it."
        )
    if placement.device_type == "cpu" and (placement.quantization == "nf4" or placement.is_quantized_already):
        advice = "Choose the model without quantization" if placement.is_quantized_already else "Choose --quantize int8"
        _check_cpu_nf4(model, folder, advice)
    on_device = placement.device == "cpu" or placement.uses_bitsandbytes or placement.is_quantized_already
    return model.eval() if on_device else model.eval().to(placement.device)


def read_adapter(file: Path) -> LoraAdapter:
    """Read a LoRA adapter from safetensors whose metadata gives `alpha` and `r`. Raises `ModelError`."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
        return LoraAdapter(tensors, float(metadata["alpha"]), int(metadata["r"]))
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise ModelError(f"{file} is damaged: get a fresh copy of the model.") from error


def is_pocket(config: Any) -> bool:
    """Return True if `config` is that of the bundled model."""
    return getattr(getattr(config, "vision_config", None), "model_type", None) == _POCKET_VISION_TYPE


def _check_small_files(folder: Path, source: str, check: Callable[[Any], object] = bool) -> None:
    """Check all that is read beside the weights; `check` is called with the configuration."""
    with silence_libraries(), translate_errors(source):
        check(read_config(folder, source))
        read_processor(folder, source)


def _check_cpu_nf4(model: Any, folder: Path, advice: str) -> None:
    # The kernel would fail an assertion at the first token.
    for name, layer in model.named_modules():
        if hasattr(getattr(layer, "weight", None), "quant_state") and (
            layer.out_features % _CPU_NF4_ROWS or layer.in_features % _CPU_NF4_COLUMNS
        ):
            raise ModelError(
                f"{folder} cannot be quantized to nf4 on the CPU: its layer {name} is {layer.out_features} by "
                f"{layer.in_features}, no multiples of {_CPU_NF4_ROWS} and {_CPU_NF4_COLUMNS}. {advice}."
            )


def _bitsandbytes_config(config: Any, placement: Placement) -> Any:
    """Return the quantization config that quantizes the decoder's linear layers, and the tower's if asked for."""
    from transformers import BitsAndBytesConfig

    skipped = linear_layers_outside_decoder(config)
    if placement.quantize_tower:
        skipped = [name for name in skipped if "vision" not in name and "visual" not in name]
    return BitsAndBytesConfig(
        load_in_4bit=placement.quantization == "nf4",
        load_in_8bit=placement.quantization == "int8",
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        # By default it computes in the dtype of its inputs, float32 among them.
        bnb_4bit_compute_dtype=placement.dtype,
        llm_int8_skip_modules=skipped,
    )
