"""Build the decoder that runs a model: choose it, convert the weights for it, and compile its step."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from assistant.errors import ConfigError, ModelError
from assistant.models.local.checkpoint import IMAGE_ADAPTER_FILE, read_adapter, read_weights
from assistant.models.local.decoders.llava import LlavaDecoder
from assistant.models.local.decoders.protocol import ScoringDecoder
from assistant.models.local.decoders.transformers import TransformersDecoder
from assistant.models.local.image_encoder import ImageEncoder
from assistant.models.local.int8 import quantize_linears
from assistant.models.local.llama import LlamaDecoder
from assistant.models.local.llama_graph import LlamaSizes, is_plain_llama
from assistant.models.local.llama_sessions import ADAPTED, LAYERS, GraphBuilder, KeptSessions, graph_builder
from assistant.models.local.load_errors import reason
from assistant.models.local.load_progress import LoadProgress
from assistant.models.local.placement import Placement
from assistant.models.local.prompt_lookup import NUM_DRAFT_TOKENS

# Bytes. A graph with its weights is one protobuf message, and those are limited to 2 GiB.
_MAX_GRAPH_BYTES = 2**31 - 2**24


def build_decoder(
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
    plain_llama = is_around_plain_llama(model.config)
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


def build_kept_decoder(
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


def is_around_plain_llama(config: Any) -> bool:
    """Return True for a LLaVA whose language model is a plain Llama."""
    return config.model_type == "llava" and is_plain_llama(config.get_text_config())


def without_layers(config: Any) -> Any:
    """Return the configuration of the same model without the layers of its language model."""
    config = copy.deepcopy(config)
    config.get_text_config().num_hidden_layers = 0
    return config


def _fits_graph(language_model: torch.nn.Module, placement: Placement) -> bool:
    """Return True if onnxruntime can run the language model as a graph of its own."""
    bytes_per_weight = {"int8": 1, "none": 4}.get(placement.quantization)
    if placement.device_type != "cpu" or bytes_per_weight is None:
        return False
    weights = sum(weight.numel() for weight in language_model.parameters())
    return weights * bytes_per_weight <= _MAX_GRAPH_BYTES


def compile_decoder(
    decoder: ScoringDecoder,
    model: Any,
    name: str,
    placement: Placement,
    context_tokens: int,
    reported: LoadProgress,
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
