"""Load a model: check its folder, plan its memory, read its weights, and build the decoder that runs it."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from assistant.errors import ConfigError, ModelError
from assistant.models.local.checkpoint import (
    IMAGE_ADAPTER_FILE,
    check_folder,
    check_weight_bytes,
    fetch_checkpoint,
    is_pocket,
    read_adapter,
    read_config,
    read_processor,
    read_weights,
)
from assistant.models.local.decoders.llava import LlavaDecoder
from assistant.models.local.decoders.protocol import ScoringDecoder
from assistant.models.local.decoders.transformers import TransformersDecoder
from assistant.models.local.generation_config import GenerationDefaults, read_generation_config
from assistant.models.local.image_encoder import ImageEncoder
from assistant.models.local.int8 import quantize_linears
from assistant.models.local.llama import LlamaDecoder
from assistant.models.local.llama_graph import LlamaSizes, is_plain_llama
from assistant.models.local.llama_sessions import ADAPTED, LAYERS, GraphBuilder, KeptSessions, graph_builder
from assistant.models.local.load_errors import reason, silence_libraries, translate_errors
from assistant.models.local.own_quantization import check_own_quantization, keep_own_quantization
from assistant.models.local.placement import Placement, choose_device, plan_memory, resolve_quantization
from assistant.models.local.prompt_lookup import NUM_DRAFT_TOKENS
from assistant.models.memory import profile_of
from assistant.models.names import find_folder
from assistant.progress import Progress, no_progress

# Bytes. A graph with its weights is one protobuf message, and those are limited to 2 GiB.
_MAX_GRAPH_BYTES = 2**31 - 2**24
# Tokens. Fewer leave no room for a question and an answer.
_MIN_CONTEXT_TOKENS = 16


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to run.

    Attributes:
        name: The name that people use for it.
        bundled: True for the model that Parley brings along.
        decoder: Runs the language model.
        image_encoder: Runs the vision tower.
        processor: Transformers' processor, with the tokenizer.
        config: Transformers' configuration.
        generation: Its generation config.
        placement: Device and precision.
        context_tokens: Longest prompt and reply together that fit into memory.
        notices: Sentences for people about how it was loaded.
    """

    name: str
    bundled: bool
    decoder: ScoringDecoder
    image_encoder: ImageEncoder
    processor: Any
    config: Any
    generation: GenerationDefaults
    placement: Placement
    context_tokens: int
    notices: tuple[str, ...] = ()

    def replicas(self, count: int) -> "list[LoadedModel]":
        """Return `count` models with the same weights, each for a thread of its own, in place of this one.

        Empty for a model whose decoder cannot be shared.
        """
        if not isinstance(self.decoder, LlavaDecoder):
            return []
        # A tokenizer keeps its truncation settings as state, so threads cannot share one.
        processors = [self.processor, *(copy.deepcopy(self.processor) for _ in range(count - 1))]
        return [_replica(self, self.decoder, processor, count) for processor in processors]


def _replica(loaded: LoadedModel, decoder: LlavaDecoder, processor: Any, count: int) -> LoadedModel:
    encoder = loaded.image_encoder.replica(processor, count)
    return replace(loaded, decoder=decoder.replica(processor, encoder), image_encoder=encoder, processor=processor)


def load(source: str, placement: Placement, progress: Progress = no_progress, detail: str = "auto") -> LoadedModel:
    """Load a model; blocks while weights are fetched, read and quantized.

    Args:
        source: A folder, a name in the catalog, or a hub id.
        placement: Device and precision, from `choose_device`.
        progress: Reports how many of the folder's bytes are done.
        detail: One of `image_detail.LEVELS`.

    Raises:
        ConfigError: There can be no model of this name.
        ModelError: The model cannot be used, or does not fit into memory. Checked before weights are read.
        MissingExtraError: It needs a package that is not installed.
    """
    # 1. Files: a local folder, or one in the cache.
    local_folder = find_folder(source)
    folder = local_folder or fetch_checkpoint(
        source, progress, lambda config: check_own_quantization(config, source, placement.device)
    )
    check_folder(folder)
    with silence_libraries(), translate_errors(source):
        config = read_config(folder, source)
        bundled = is_pocket(config)
        name = "pocket-small" if bundled else source if local_folder is None else folder.resolve().name
        processor = read_processor(folder, source)

        # 2. Memory: quantization, length of the context, image size.
        profile = profile_of(config)
        if (folder / IMAGE_ADAPTER_FILE).is_file():
            placement = _placement_with_adapter(placement)
        check_weight_bytes(folder, source, config, profile.num_parameters)
        placement = keep_own_quantization(placement, config, source, folder, profile)
        placement = resolve_quantization(placement, profile)
        plan = plan_memory(name, config, processor, profile, placement, detail)

        if plan.context_tokens < _MIN_CONTEXT_TOKENS:
            raise ModelError(
                f"{name} has a context of {plan.context_tokens} tokens, too short for a question: choose another model."
            )

        # 3. Weights, decoder, compilation.
        reported = _LoadProgress(progress, name, folder, config.get_text_config().num_hidden_layers)
        with torch.inference_mode():
            # Its layers are in graphs that are kept.
            keeps_graphs = (
                bundled
                and _is_around_plain_llama(config)
                and placement.device_type == "cpu"
                and placement.quantization == "int8"
            )
            model = read_weights(folder, _without_layers(config) if keeps_graphs else config, placement)
            generation, generation_notice = read_generation_config(folder, config, name)
            reported.weights_read()
            encoder = ImageEncoder(model, processor, plan.max_pixels)
            decoder = (
                _kept_decoder(model, processor, placement, folder, encoder, config, reported.layer_built)
                if keeps_graphs
                else _build_decoder(model, processor, placement, folder, encoder, reported.layer_built)
            )
            compile_notice = ""
            if placement.should_compile:
                compile_notice = _compile(decoder, model, name, placement, plan.context_tokens, reported)
    reported.finish()
    return LoadedModel(
        name=name,
        bundled=bundled,
        decoder=decoder,
        image_encoder=encoder,
        processor=processor,
        config=config,
        generation=generation,
        placement=placement,
        context_tokens=plan.context_tokens,
        notices=(*plan.notices, *filter(None, (generation_notice, compile_notice))),
    )


def _build_decoder(
    model: Any,
    processor: Any,
    placement: Placement,
    folder: Path,
    encoder: ImageEncoder,
    on_layer: Callable[[], None],
) -> ScoringDecoder:
    """Choose the decoder: `LlamaDecoder` for a LLaVA around a plain Llama on a CPU, else transformers' own code."""
    adapter_file = folder / IMAGE_ADAPTER_FILE
    adapter = read_adapter(adapter_file) if adapter_file.is_file() else None
    plain_llama = _is_around_plain_llama(model.config)
    if plain_llama and _fits_graph(model.model.language_model, placement):
        language_model, head = model.model.language_model, model.lm_head.weight.data
        # Without references from the model, the memory is freed once the layers have been converted.
        model.model.language_model = model.lm_head = torch.nn.Identity()
        model.to(placement.dtype)
        quantized = placement.quantization == "int8"
        llama = LlamaDecoder.of(language_model, head, adapter=adapter, quantized=quantized, on_layer=on_layer)
        # The file of the weights stays mapped, with every page that was read, while any tensor in it is in use.
        for parameter in model.parameters():
            parameter.data = parameter.data.clone()
        return LlavaDecoder(model, processor, llama, encoder)
    if adapter is not None and plain_llama:
        raise ConfigError(
            f"{folder} has a picture adapter, which cannot be used in {placement.quantization}: choose --quantize auto."
        )
    if adapter is not None:
        raise ModelError(f"{folder} has a picture adapter, which only a LLaVA model around a plain Llama can use.")
    if placement.quantization == "int8" and not placement.uses_bitsandbytes:
        quantize_linears(model.get_decoder())
        model.to(placement.dtype)
    return TransformersDecoder(model, processor, encoder)


def _kept_decoder(
    model: Any,
    processor: Any,
    placement: Placement,
    folder: Path,
    encoder: ImageEncoder,
    config: Any,
    on_layer: Callable[[], None],
) -> LlavaDecoder:
    """Return the decoder of a model whose graphs are kept; `model` has none of the layers that `config` describes."""
    adapter_file = folder / IMAGE_ADAPTER_FILE
    has_adapter = adapter_file.is_file()

    def read_layers() -> GraphBuilder:
        whole = read_weights(folder, config, placement)
        adapter = read_adapter(adapter_file) if has_adapter else None
        head = whole.lm_head.weight.data
        return graph_builder(whole.model.language_model, head, adapter, quantized=True, on_layer=on_layer)

    # Embeddings stay in the mapped file: of 113 MB, the rows of the tokens in use are in memory.
    embedding = model.model.language_model.embed_tokens.weight.data
    model.model.language_model = model.lm_head = torch.nn.Identity()
    model.to(placement.dtype)
    sessions = KeptSessions(folder, read_layers, torch.get_num_threads(), has_adapter=has_adapter)
    # The one that the first question about an image needs.
    sessions(ADAPTED if has_adapter else LAYERS)
    sizes = LlamaSizes.of(config.get_text_config())
    llama = LlamaDecoder(sizes, embedding, sessions, has_adapter=has_adapter, quantized=True)
    return LlavaDecoder(model, processor, llama, encoder)


def _is_around_plain_llama(config: Any) -> bool:
    return config.model_type == "llava" and is_plain_llama(config.get_text_config())


def _without_layers(config: Any) -> Any:
    """Return the configuration of the same model without the layers of its language model."""
    config = copy.deepcopy(config)
    config.get_text_config().num_hidden_layers = 0
    return config


def _placement_with_adapter(placement: Placement) -> Placement:
    """Return the placement of a model with an adapter, which only `LlamaDecoder` runs: always on the CPU."""
    if placement.device_type == "cpu":
        return placement
    return choose_device("cpu", placement.quantization if placement.quantization in {"none", "int8"} else "auto")


def _fits_graph(language_model: torch.nn.Module, placement: Placement) -> bool:
    """Return True if onnxruntime can run the language model as a graph of its own."""
    bytes_per_weight = {"int8": 1, "none": 4}.get(placement.quantization)
    if placement.device_type != "cpu" or bytes_per_weight is None:
        return False
    weights = sum(weight.numel() for weight in language_model.parameters())
    return weights * bytes_per_weight <= _MAX_GRAPH_BYTES


def _compile(
    decoder: ScoringDecoder,
    model: Any,
    name: str,
    placement: Placement,
    context_tokens: int,
    reported: "_LoadProgress",
) -> str:
    """Compile the decode step of `decoder`.

    Returns:
        The reason why it is not compiled, as a sentence, or an empty string. A decoder that cannot be compiled is
        reported only if compilation was asked for; a compilation that fails is always reported.
    """
    from assistant.models.local.compiled import CompiledDecoder, StaticKVCache, is_supported

    requested = placement.compile == "on"
    if not isinstance(decoder, TransformersDecoder):
        return f"{name} decodes by code of its own, which is not compiled." if requested else ""
    if not is_supported(model):
        return f"{name} is of a family that cannot be compiled: it decodes as transformers does." if requested else ""
    reported.compiling()
    # CUDA graphs need no compiler, so they work where inductor fails.
    backends = ("inductor", None) if placement.device_type == "cuda" else ("inductor",)
    failure = ""
    for backend in backends:
        cache = StaticKVCache.for_model(model, context_tokens)
        compiled = CompiledDecoder(model, cache, uses_mrope=decoder.uses_mrope, backend=backend)
        try:
            compiled.warmup((1, 1 + NUM_DRAFT_TOKENS))
        except (RuntimeError, OSError, ImportError) as error:
            failure = failure or reason(error)
            compiled.restore_attention()
            # Frees the blocks before the next attempt allocates its own.
            del compiled, cache
            continue
        decoder.use_compiled(compiled)
        break
    return f"{name} could not be compiled and answers more slowly: {failure}." if failure else ""


class _LoadProgress:
    """Report a load as bytes of the folder: the first half for reading them, the second for converting the layers."""

    def __init__(self, progress: Progress, name: str, folder: Path, num_layers: int) -> None:
        self._progress = progress
        self._label = f"loading {name}"
        self._total = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
        self._num_layers = num_layers
        self._layers_built = 0
        self._report(0)

    def weights_read(self) -> None:
        self._report(self._total // 2)

    def layer_built(self) -> None:
        self._layers_built += 1
        self._report((self._total * (self._num_layers + self._layers_built)) // (2 * self._num_layers))

    def compiling(self) -> None:
        self._report(self._total)
        self._label = self._label.replace("loading", "compiling", 1)
        self._report(0)

    def finish(self) -> None:
        self._report(self._total)

    def _report(self, done: int) -> None:
        self._progress(self._label, done, self._total)
