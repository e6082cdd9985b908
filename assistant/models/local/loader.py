"""From the name of a model to one that can be run, and a clear sentence wherever that ends early.

Everything that comes out of a folder or off the hub is data: weights from safetensors only, and never any code.
"""

import copy
import json
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from logging import ERROR, getLogger
from pathlib import Path
from typing import Any

import torch

from assistant.errors import ConfigError, MissingExtraError, ModelError
from assistant.models import catalog, hub
from assistant.models.local import image_detail
from assistant.models.local.decoders.llava import LlavaDecoder
from assistant.models.local.decoders.protocol import ScoringDecoder
from assistant.models.local.decoders.transformers import TransformersDecoder
from assistant.models.local.image_encoder import ImageEncoder
from assistant.models.local.int8 import Int8LinearFn, quantize_linears
from assistant.models.local.llama import LlamaDecoder, LoraAdapter, float_linear, is_plain_llama
from assistant.models.local.placement import Placement, plan_context, resolve_quantization
from assistant.models.local.prompt_lookup import NUM_DRAFT_TOKENS
from assistant.models.memory import ModelProfile, free_bytes, linear_layers_outside_decoder, profile_of, with_pixels
from assistant.progress import Progress, no_progress

IMAGE_ADAPTER_FILE = "picture_adapter.safetensors"
"""A change of the decoder's weights that applies while there is a picture in the conversation, beside a LLaVA model."""

POCKET_VISION_TYPE = "parley_pocket_eyes"

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
# Above this, keys and values of a full context are kept in float32, and sums may differ in their last bits.
_MOST_EXACT_MEMORY = 2**30
_CPU_ROWS, _CPU_COLUMNS = 32, 64
_NEEDS = {
    "torchvision": "torchvision (`pip install 'parley-assistant[gpu]'`)",
    "num2words": "num2words (`pip install 'parley-assistant[gpu]'`)",
    "PIL": "Pillow",
    "sentencepiece": "sentencepiece (`pip install sentencepiece`)",
}


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to run, its processor (transformers'), what it is called, and whether it is the bundled one.

    `context_tokens` is the longest prompt and reply together for which there is memory; `notices` are for people.
    """

    name: str
    bundled: bool
    decoder: ScoringDecoder
    image_encoder: ImageEncoder
    processor: Any
    config: Any
    eos_token_ids: Any
    placement: Placement
    context_tokens: int
    notices: tuple[str, ...] = ()

    def replicas(self, count: int) -> "list[LoadedModel]":
        """So many on the same weights, each to be used on a thread of its own, none beside this one.

        Empty for a model that cannot be shared so.
        """
        if not isinstance(self.decoder, LlavaDecoder):
            return []
        # A tokenizer cannot be told by one thread how to cut what it reads while it reads for another.
        processors = [self.processor, *(copy.deepcopy(self.processor) for _ in range(count - 1))]
        return [_twin(self, self.decoder, processor, count) for processor in processors]


def _twin(loaded: LoadedModel, decoder: LlavaDecoder, processor: Any, count: int) -> LoadedModel:
    pictures = loaded.image_encoder.replica(processor, count)
    return replace(loaded, decoder=decoder.replica(processor, pictures), image_encoder=pictures, processor=processor)


def load(source: str, placement: Placement, progress: Progress | None = None, detail: str = "auto") -> LoadedModel:
    """Load the model in the folder `source`, or with that name in the catalogue or id on the hub.

    `level` is one of `detail.LEVELS`. Raises `ModelError` and `MissingExtraError`.

    Blocks for as long as reading and quantizing takes; `progress` hears how many of the folder's bytes are done. One
    for which there is not enough memory is refused before its weights are read.
    """
    named = _folder(source)
    folder = fetch_model(source, progress) if named is None else named
    _check_folder(folder)
    with _quiet(), _named_failures(source):
        config = _config(folder, source)
        bundled = _is_pocket(config)
        name = "pocket" if bundled else source if named is None else folder.resolve().name
        processor = _processor(folder, source)
        shape = profile_of(config)
        placement = resolve_quantization(placement, shape)
        room = _room(name, config, processor, shape, placement, detail)
        report = _Report(progress, name, folder, config.get_text_config().num_hidden_layers)
        with torch.inference_mode():
            model = read_weights(folder, config, placement)
            report.read()
            pictures = ImageEncoder(model, processor, room.pixels)
            decoder = _decoder(model, processor, placement, folder, pictures, report.layer)
            slow = _speed_up(decoder, model, name, placement, room.context_tokens, report) if placement.should_compile else ""
    report.finish()
    end_tokens = getattr(model.generation_config, "eos_token_id", None)
    notices = (*room.notices, *filter(None, (slow,)))
    return LoadedModel(
        name, bundled, decoder, pictures, processor, config, end_tokens, placement, room.context_tokens, notices
    )


@dataclass(frozen=True)
class _Room:
    """What there is memory for: the context in tokens, and the pixels of a picture; and what is to be said of it."""

    context_tokens: int
    pixels: int
    notices: tuple[str, ...]


def _room(name: str, config: Any, processor: Any, shape: ModelProfile, placement: Placement, level: str) -> _Room:
    """The highest detail of `level` whose memory leaves a context to talk in. `ModelError` if not even the lowest."""
    image_processor = getattr(processor, "image_processor", None)
    longest = config.get_text_config().max_position_embeddings
    free = free_bytes(placement.device)
    *higher, lowest = image_detail.pixel_budgets(level, placement.device_type)
    flexible = bool(image_detail.processor_options(image_processor, lowest))
    for pixels in higher if flexible else ():
        with suppress(ModelError):
            context_tokens, notice = plan_context(name, with_pixels(shape, config, pixels), placement, longest, free)
            if image_detail.fits_conversation(pixels, context_tokens):
                return _Room(context_tokens, pixels, tuple(filter(None, (placement.notice, notice))))
    if flexible:
        shape = with_pixels(shape, config, lowest)
    context_tokens, notice = plan_context(name, shape, placement, longest, free)
    one_size = f"{name} looks at every picture in the same size: --detail {level} changes nothing."
    notices = (placement.notice, notice, "" if flexible or level == "auto" else one_size)
    return _Room(context_tokens, lowest, tuple(filter(None, notices)))


def fetch(source: str, progress: Progress | None = None) -> None:
    """Have the model that `source` names on this machine, and find out all that can be known before it is loaded.

    Raises `ModelError` and `MissingExtraError`.
    """
    folder = _folder(source) or fetch_model(source, progress)
    if progress is not None:
        progress(f"looking into {Path(source).name}", 0, 0)
    _check_folder(folder)
    with _quiet(), _named_failures(source):
        _config(folder, source)
        _processor(folder, source)


def fetch_model(source: str, progress: Progress | None = None) -> Path:
    """The folder of the model with that name in the catalogue or id on the hub, fetched first where it is not there.

    What can be known to speak against it from its small files is found out before gigabytes are fetched. Raises
    `ModelError` and `MissingExtraError`.
    """

    def check(folder: Path) -> None:
        with _quiet(), _named_failures(source):
            _config(folder, source)
            _processor(folder, source)

    entry = catalog.find(source)
    repository, revision = (entry.repository, entry.revision) if entry else (source, "main")
    return hub.fetch(repository, revision, progress or no_progress, check)


def _folder(source: str) -> Path | None:
    """The folder that `source` names, None if it is in the catalogue or an id on the hub."""
    try:
        folder = Path(source).expanduser()
    except RuntimeError:  # There is no such home; the sentence below says so.
        folder = Path(source)
    if source and folder.is_dir():
        return folder
    if source and folder.exists():
        raise ModelError(f"{source} is a file: name the folder of a model, with its config.json in it.")
    if catalog.find(source) or (_HUB_ID.fullmatch(source) and not source.startswith(".")):
        return None
    raise ModelError(
        f"There is no model folder {source}: give a folder that exists, a name that "
        "`parley models` lists, or an id on the hub, like owner/name."
    )


def _check_folder(folder: Path) -> None:
    config = folder / "config.json"
    try:
        described = json.loads(config.read_text("utf-8"))
    except OSError as error:
        raise ModelError(f"{folder} is no model folder: its config.json cannot be read.") from error
    except ValueError as error:
        raise ModelError(f"{config} is damaged: get a fresh copy of the model.") from error
    if not any(folder.glob("*.safetensors")):
        if any(file.suffix in {".bin", ".pt", ".pth"} for file in folder.iterdir()):
            raise ModelError(f"{folder} has its weights as pickles, which can run code: convert them to safetensors.")
        raise ModelError(f"{folder} holds no weights: a *.safetensors file is missing.")
    if not isinstance(described, dict) or "model_type" not in described:
        raise ModelError(f"{config} does not say what kind of model it is: get a fresh copy of the model.")


def _config(folder: Path, source: str) -> Any:
    import transformers
    from huggingface_hub.errors import StrictDataclassError

    import assistant.models.pocket  # noqa: F401 - makes transformers know the eyes of the bundled model

    try:
        config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except StrictDataclassError as error:
        raise ModelError(
            f"The config.json of {source} contradicts itself: {_first_line(error.__cause__ or error)}"
        ) from error
    except ValueError as error:
        if "trust_remote_code" in str(error) or "custom code" in str(error):
            raise ModelError(
                f"{source} brings its own code, which Parley never runs: choose a model that needs none."
            ) from error
        raise ModelError(
            f"{source} is of a kind this version of transformers does not know: choose another model."
        ) from error
    if type(config) not in transformers.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        raise ModelError(
            f"{source} is a {config.model_type} model, which cannot look at pictures: choose a vision-language model."
        )
    return config


def _processor(folder: Path, source: str) -> Any:
    from transformers import AutoProcessor

    try:
        return AutoProcessor.from_pretrained(folder, trust_remote_code=False)
    except ImportError as error:
        missing = next((hint for package, hint in _NEEDS.items() if package.lower() in str(error).lower()), None)
        if missing is None:
            raise
        raise MissingExtraError(f"The processor of {source} needs {missing}.") from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(f"The processor of {source} cannot be read: {_first_line(error)}") from error


def read_weights(folder: Path, config: Any, placement: Placement) -> Any:
    """Transformers' model with the weights in `folder`, where and how `placement` says. Raises `ModelError`."""
    from transformers import AutoModelForImageTextToText

    options: dict[str, Any] = {"dtype": placement.dtype}
    if placement.uses_bitsandbytes:
        options |= {"quantization_config": _bitsandbytes(config, placement), "device_map": {"": placement.device}}
    elif placement.quantization == "int8":
        # What will be quantized is kept as it lies on the disk until then, which halves the peak for 16-bit weights.
        options["dtype"] = "auto"
    loaded: Any = AutoModelForImageTextToText.from_pretrained(
        folder, use_safetensors=True, trust_remote_code=False, output_loading_info=True, **options
    )
    model, found = loaded
    lacking = sorted(found["missing_keys"])
    if lacking:
        raise ModelError(
            f"{folder} lacks {len(lacking)} of the model's weights, {lacking[0]} for one: get a fresh copy of it."
        )
    if placement.device_type == "cpu" and placement.quantization == "nf4":
        _check_packable(model, folder)
    moved = placement.device == "cpu" or placement.uses_bitsandbytes
    return model.eval() if moved else model.eval().to(placement.device)


def _check_packable(model: Any, folder: Path) -> None:
    # The kernel for the CPU asserts this at the first token.
    for name, layer in model.get_decoder().named_modules():
        if hasattr(getattr(layer, "weight", None), "quant_state") and (
            layer.out_features % _CPU_ROWS or layer.in_features % _CPU_COLUMNS
        ):
            raise ModelError(
                f"{folder} cannot be held in nf4 on the CPU: its layer {name} is {layer.out_features} by "
                f"{layer.in_features}, no multiples of {_CPU_ROWS} and {_CPU_COLUMNS}. Choose --quantize int8."
            )


def _bitsandbytes(config: Any, placement: Placement) -> Any:
    """How bitsandbytes is to hold the decoder of the model that `config` describes."""
    from transformers import BitsAndBytesConfig

    kept = linear_layers_outside_decoder(config)
    if placement.quantize_tower:
        kept = [name for name in kept if "vision" not in name and "visual" not in name]
    return BitsAndBytesConfig(
        load_in_4bit=placement.quantization == "nf4",
        load_in_8bit=placement.quantization == "int8",
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        # Left to itself it computes in the type of its inputs, float32 among them.
        bnb_4bit_compute_dtype=placement.dtype,
        llm_int8_skip_modules=kept,
    )


def _decoder(
    model: Any, processor: Any, placement: Placement, folder: Path, pictures: ImageEncoder, done: Callable[[], None]
) -> ScoringDecoder:
    adapter_file = folder / IMAGE_ADAPTER_FILE
    adapter = read_adapter(adapter_file) if adapter_file.is_file() else None
    int8 = placement.quantization == "int8" and not placement.uses_bitsandbytes
    plain = model.config.model_type == "llava" and is_plain_llama(model.model.language_model)
    if plain and not placement.uses_bitsandbytes:
        decoder, head = model.model.language_model, model.lm_head.weight.data
        # Their memory goes with the last layer that is taken over.
        model.model.language_model = model.lm_head = torch.nn.Identity()
        model.to(placement.dtype)
        llama = LlamaDecoder(
            decoder,
            head,
            make_linear=Int8LinearFn if int8 else float_linear,
            adapter=adapter,
            dtype=placement.dtype,
            attention_dtype=torch.float64 if int8 and _full_memory(decoder.config) <= _MOST_EXACT_MEMORY else None,
            progress=done,
        )
        return LlavaDecoder(model, processor, llama, pictures)
    if adapter is not None and plain:
        raise ConfigError(
            f"{folder} has a picture adapter, which cannot be used in {placement.quantization}: choose --quantize auto."
        )
    if adapter is not None:
        raise ModelError(f"{folder} has a picture adapter, which only a LLaVA model around a plain Llama can use.")
    if int8:
        quantize_linears(model.get_decoder())
        model.to(placement.dtype)
    return TransformersDecoder(model, processor, pictures)


def _speed_up(
    decoder: ScoringDecoder, model: Any, name: str, placement: Placement, context_tokens: int, report: "_Report"
) -> str:
    """Have `decoder` write its replies by compiled code. Returns why not, in a sentence, or an empty one.

    One that cannot is told only to whom asked for it; one that should and fails, always.
    """
    from assistant.models.local.compiled import CompiledDecoder, StaticKVCache, is_supported

    asked = placement.compile == "on"
    if not isinstance(decoder, TransformersDecoder):
        return f"{name} decodes by code of its own, which is not compiled." if asked else ""
    if not is_supported(model):
        return f"{name} is of a family that cannot be compiled: it decodes as transformers does." if asked else ""
    report.compiling()
    # What it compiles with, before what it compiles without: a GPU's graphs need no compiler.
    backends = ("inductor", None) if placement.device_type == "cuda" else ("inductor",)
    reason = ""
    for backend in backends:
        cache = StaticKVCache.for_model(model, context_tokens)
        steps = CompiledDecoder(model, cache, uses_mrope=decoder.uses_mrope, backend=backend)
        try:
            steps.warmup((1, 1 + NUM_DRAFT_TOKENS))
        except (RuntimeError, OSError, ImportError) as error:
            reason = reason or _first_line(error)
            steps.undo()
            # Before the blocks of the next try are taken.
            del steps, cache
            continue
        decoder.use_compiled(steps)
        break
    return f"{name} could not be compiled and answers more slowly: {reason}" if reason else ""


def read_adapter(file: Path) -> LoraAdapter:
    """The adapter in a safetensors `file`, whose metadata gives `alpha` and `r`. Raises `ModelError`."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
        return LoraAdapter(tensors, float(metadata["alpha"]), int(metadata["r"]))
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise ModelError(f"{file} is damaged: get a fresh copy of the model.") from error


def _full_memory(config: Any) -> int:
    """Bytes that keys and values of a full context take in float64."""
    heads = config.num_key_value_heads * (
        getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    )
    size: int = 2 * 8 * heads * config.num_hidden_layers * config.max_position_embeddings
    return size


def _is_pocket(config: Any) -> bool:
    return getattr(getattr(config, "vision_config", None), "model_type", None) == POCKET_VISION_TYPE


class _Report:
    """Tells `progress` about a load: half of the folder's bytes for reading them, half for taking the layers over."""

    def __init__(self, progress: Progress | None, name: str, folder: Path, layers: int) -> None:
        self._progress = progress
        self._what = f"loading {name}"
        self._total = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
        self._layers = layers
        self._done = 0
        self._tell(0)

    def read(self) -> None:
        self._tell(self._total // 2)

    def layer(self) -> None:
        self._done += 1
        self._tell((self._total * (self._layers + self._done)) // (2 * self._layers))

    def compiling(self) -> None:
        self._tell(self._total)
        self._what = self._what.replace("loading", "compiling", 1)
        self._tell(0)

    def finish(self) -> None:
        self._tell(self._total)

    def _tell(self, done: int) -> None:
        if self._progress is not None:
            self._progress(self._what, done, self._total)


@contextmanager
def _named_failures(source: str) -> Iterator[None]:
    """What transformers, safetensors, the hub or the allocator raise, as one sentence."""
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as error:
        raise ModelError(f"The weights of {source} are damaged: get a fresh copy of it.") from error
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise ModelError(
                f"There is not enough memory for {source}: close other programs or choose a smaller model."
            ) from error
        raise ModelError(f"{source} cannot be loaded: {_first_line(error)}") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # What a configuration with impossible values leads to, anywhere in transformers.
        raise ModelError(f"{source} has a configuration that cannot be used: {_first_line(error)}") from error
    except ImportError as error:
        raise MissingExtraError(f"{source} needs a package that is not installed: {_first_line(error)}") from error
    except OSError as error:
        raise ModelError(f"{source} cannot be read: {_first_line(error)}") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that memory ran out; on the CPU torch has no type of its own for that."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error)


def _first_line(error: BaseException) -> str:
    # The hub's sentences go on to guess what might be wrong with a web address.
    return (str(error).strip() or type(error).__name__).splitlines()[0].partition(". If you were trying")[0]


_quieting = threading.Lock()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep bars and remarks of transformers and the hub off the screen, which may be drawn by the terminal app."""
    from transformers.utils import logging

    with _quieting, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        # It says on the CPU which of its kernels are not there.
        getLogger("bitsandbytes").setLevel(ERROR)
        logging.disable_progress_bar()
        try:
            yield
        finally:
            logging.set_verbosity(verbosity)
            if bars:
                logging.enable_progress_bar()
