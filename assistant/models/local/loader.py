"""Load a model: check its folder, plan its memory, read its weights, and build the decoder that runs it."""

import copy
from dataclasses import dataclass, replace
from typing import Any

import torch

from assistant.errors import ModelError
from assistant.models.local.building import (
    build_decoder,
    build_kept_decoder,
    compile_decoder,
    is_around_plain_llama,
    without_layers,
)
from assistant.models.local.checkpoint import (
    IMAGE_ADAPTER_FILE,
    check_folder,
    check_weight_bytes,
    fetch_checkpoint,
    is_pocket,
    read_config,
    read_processor,
    read_weights,
)
from assistant.models.local.decoders.llava import LlavaDecoder
from assistant.models.local.decoders.protocol import ScoringDecoder
from assistant.models.local.generation_config import GenerationDefaults, read_generation_config
from assistant.models.local.image_encoder import ImageEncoder
from assistant.models.local.load_errors import silence_libraries, translate_errors
from assistant.models.local.load_progress import LoadProgress
from assistant.models.local.own_quantization import check_own_quantization, keep_own_quantization
from assistant.models.local.placement import Placement, choose_device, plan_memory, resolve_quantization
from assistant.models.memory import profile_of
from assistant.models.names import find_folder
from assistant.progress import Progress, no_progress

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
        reported = LoadProgress(progress, name, folder, config.get_text_config().num_hidden_layers)
        with torch.inference_mode():
            # Its layers are in graphs that are kept.
            keeps_graphs = (
                bundled
                and is_around_plain_llama(config)
                and placement.device_type == "cpu"
                and placement.quantization == "int8"
            )
            model = read_weights(folder, without_layers(config) if keeps_graphs else config, placement)
            generation, generation_notice = read_generation_config(folder, config, name)
            reported.weights_read()
            encoder = ImageEncoder(model, processor, plan.max_pixels)
            decoder = (
                build_kept_decoder(model, processor, placement, folder, encoder, config, reported.layer_built)
                if keeps_graphs
                else build_decoder(model, processor, placement, folder, encoder, reported.layer_built)
            )
            compile_notice = ""
            if placement.should_compile:
                compile_notice = compile_decoder(decoder, model, name, placement, plan.context_tokens, reported)
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


def _placement_with_adapter(placement: Placement) -> Placement:
    """Return the placement of a model with an adapter, which only `LlamaDecoder` runs: always on the CPU."""
    if placement.device_type == "cpu":
        return placement
    return choose_device("cpu", placement.quantization if placement.quantization in {"none", "int8"} else "auto")
