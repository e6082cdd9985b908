"""Other model families, run by transformers' own code the way its `generate` runs it.

Three kinds of forward pass, by what the family allows:

    _forward_cached      families in `PREFIX_CACHEABLE`: images encoded apart, any prefix of the KV cache reusable
    _forward_uncached    all others: the processor's inputs in one piece, as in `generate`
    CompiledDecoder      single tokens and drafts, once `use_compiled` was called
"""

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from inspect import signature
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from assistant.attachments.images import decode
from assistant.messages import Image
from assistant.models.local import kv_cache
from assistant.models.local.decoders.prompts import image_features, image_token_keys, needs_bos, tokenize
from assistant.models.local.image_encoder import ImageEncoder, image_token_mismatch
from assistant.models.local.prompt_cache import Prompt

if TYPE_CHECKING:
    from assistant.models.local.compiled import CompiledDecoder

# Families whose images can be encoded apart from the prompt and whose KV cache can be cropped at any token. The others
# prefill every prompt completely, until a test shows that a warm cache changes none of their replies.
PREFIX_CACHEABLE = frozenset({"gemma3", "gemma4", "internvl", "llava", "qwen3_vl", "smolvlm"})


class TransformersDecoder:
    """Decoder of any image-text-to-text model."""

    def __init__(self, model: Any, processor: Any, image_encoder: ImageEncoder) -> None:
        self._model = model
        self._processor = processor
        self._image_encoder = image_encoder
        self._image_token: int | None = getattr(model.config, "image_token_id", None)
        self._prefix_cacheable = model.config.model_type in PREFIX_CACHEABLE and kv_cache.is_croppable(model.config)
        parameters = signature(model.forward).parameters
        # Gemma 3, and Gemma 4 above 4 B, attend to an image's tokens in both directions, so that no image can be
        # processed in parts. They are told which tokens are an image's under this name.
        self._image_mask_name = _image_mask_name(model.config, parameters)
        # The Qwen-VL families use M-RoPE: positions in time, height and width. Positions are computed here, because the
        # model itself stores the offset of the last prompt and is wrong once another prompt came in between.
        self._get_rope_index: Callable[..., tuple[Tensor, Tensor]] | None = getattr(
            model.base_model, "get_rope_index", None
        )
        self._kv_cache: Any = None
        self._compiled: CompiledDecoder | None = None
        # The logits of a long prompt are larger than its keys and values, and only the last row is used.
        self._last_logits_only = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}

    def use_compiled(self, compiled: "CompiledDecoder") -> None:
        """Use the KV cache of `compiled` from now on, and its compiled steps for single tokens and drafts."""
        self._compiled = compiled
        self._kv_cache = compiled.cache

    @property
    def uses_mrope(self) -> bool:
        """True if the family's positions have three axes: time, height and width."""
        return self._get_rope_index is not None

    def build_prompt(self, text: str, images: Sequence[Image]) -> Prompt:
        if not self._prefix_cacheable:
            return self._build_atomic_prompt(text, images)
        text, encoded = self._image_encoder.expand_placeholders(text, images)
        ids = tokenize(self._processor, text)
        keys, spans = image_token_keys(ids, self._image_token, encoded)
        grids = [image.grid_thw for image in encoded if image.grid_thw is not None]
        positions, rope_delta = self._mrope_positions(ids, torch.cat(grids) if grids else None)
        atomic_spans = spans if self._image_mask_name else []
        return Prompt(ids, keys, atomic_spans, images=encoded, positions=positions, rope_delta=rope_delta)

    def crop(self, prompt: Prompt, length: int) -> int:  # noqa: ARG002 - one set of weights serves every prompt
        if length and self._prefix_cacheable and self._crop_cache(length):
            return length
        if self._compiled is None:
            self._kv_cache = None
        else:
            # Cleared, not dropped: compiled code and CUDA graphs hold pointers into its blocks.
            self._compiled.cache.clear()
        return 0

    def forward(self, prompt: Prompt, start: int, end: int) -> Tensor:
        if self._compiled is not None and end - start == 1 and _is_text_token(prompt, start):
            return self._compiled.step(prompt.ids[start:end], self._rope_position(prompt, start))[0]
        if self._prefix_cacheable:
            logits = self._forward_cached(prompt, prompt.ids[start:end], start, self._last_logits_only)
            kv_cache.trim(self._kv_cache)
        else:
            logits = self._forward_uncached(prompt, start, end)
        return logits[-1]

    def verify(self, prompt: Prompt, draft_tokens: Sequence[int]) -> Tensor | None:
        """See `SpeculativeDecoder`. Possible only with a static KV cache, which every family can roll back."""
        if self._compiled is None:
            return None
        return self._compiled.step([prompt.ids[-1], *draft_tokens], self._rope_position(prompt, len(prompt) - 1))

    def rollback(self, count: int) -> None:
        """See `SpeculativeDecoder`."""
        if self._compiled is not None:
            self._crop_cache(self._compiled.cache.length - count)

    def score_continuations(self, prompt: Prompt, continuations: Sequence[Sequence[int]]) -> list[Tensor]:
        # One at a time: the layout of a batch differs between families.
        return [self._score_continuation(prompt, continuation) for continuation in continuations]

    def _score_continuation(self, prompt: Prompt, continuation: Sequence[int]) -> Tensor:
        start, end = len(prompt), len(prompt) + len(continuation)
        if not continuation:
            return torch.empty(0, 0, device=self._model.device)
        if self._prefix_cacheable:
            logits = self._forward_cached(prompt, continuation, start, {})
            self._crop_cache(start)
            return logits
        before = copy.deepcopy(self._kv_cache) if self._compiled is None else None
        extended = Prompt([*prompt.ids, *continuation], [], positions=prompt.positions, rope_delta=prompt.rope_delta)
        try:
            return self._forward_uncached(extended, start, end, last_logits_only=False)
        finally:
            if self._compiled is None:
                self._kv_cache = before
            else:
                self._crop_cache(start)

    def _crop_cache(self, length: int) -> bool:
        """Shorten the KV cache to `length` tokens. Return False, with nothing done, if it cannot be cut there."""
        if self._compiled is not None:
            self._compiled.cache.crop(length)
            return True
        return self._kv_cache is not None and kv_cache.crop(self._kv_cache, length)

    def _forward_cached(self, prompt: Prompt, ids: Sequence[int], start: int, options: Mapping[str, Any]) -> Tensor:
        """Process `ids` at `start`, with images encoded apart. Return logits (len(ids) or fewer, vocab_size)."""
        device = self._model.device
        end = start + len(ids)
        if self._kv_cache is None:
            self._kv_cache = kv_cache.new_cache(self._model.config)
        output = self._model(
            input_ids=torch.tensor([list(ids)], device=device),
            attention_mask=torch.ones(1, end, dtype=torch.long, device=device),
            past_key_values=self._kv_cache,
            use_cache=True,
            **self._image_arguments(prompt, start, end),
            **self._position_arguments(prompt, start, end),
            **options,
        )
        logits: Tensor = output.logits[0]
        return logits

    def _image_arguments(self, prompt: Prompt, start: int, end: int) -> dict[str, Any]:
        """Build the model's arguments for the images among tokens `start` to `end`."""
        features = image_features(self._image_encoder, prompt, self._image_token, start, end)
        if not features:
            return {}
        arguments: dict[str, Any] = {"mm_encoder_outputs": {"image": self._image_encoder.as_encoder_output(features)}}
        if self._image_mask_name:
            # The model tells images apart by counting from the first token of the prompt.
            arguments[self._image_mask_name] = self._image_token_mask(prompt.ids[:end])
        return arguments

    def _build_atomic_prompt(self, text: str, images: Sequence[Image]) -> Prompt:
        """Build a prompt that is a single atomic span: reused as a whole or not at all."""
        arguments: dict[str, Any] = {"images": [[decode(image) for image in images]]} if images else {}
        if images and self._image_encoder.processor_options:
            arguments["images_kwargs"] = self._image_encoder.processor_options
        bos = needs_bos(self._processor.tokenizer, text)
        inputs = dict(self._processor(text=[text], return_tensors="pt", add_special_tokens=bos, **arguments))
        inputs.pop("attention_mask", None)
        ids = inputs.pop("input_ids")[0].tolist()
        inputs = {name: self._to_model(value) for name, value in inputs.items()}
        image_tokens = ids.count(self._image_token)
        if bool(images) != bool(image_tokens):
            raise image_token_mismatch(len(images), image_tokens)
        positions, rope_delta = self._mrope_positions(ids, inputs.get("image_grid_thw"))
        return Prompt(ids, list(ids), [(0, len(ids))], inputs=inputs, positions=positions, rope_delta=rope_delta)

    def _forward_uncached(self, prompt: Prompt, start: int, end: int, *, last_logits_only: bool = True) -> Tensor:
        """Process tokens `start` to `end` as `generate` does. Return logits (end - start or 1, vocab_size)."""
        device = self._model.device
        inputs = self._model.prepare_inputs_for_generation(
            torch.tensor([prompt.ids[start:end]], device=device),
            past_key_values=self._kv_cache,
            attention_mask=torch.ones(1, end, dtype=torch.long, device=device),
            # Otherwise the images are dropped.
            is_first_iteration=start == 0,
            use_cache=True,
            **(prompt.inputs if start == 0 else {}),
            **self._position_arguments(prompt, start, end),
            **(self._last_logits_only if last_logits_only else {}),
        )
        output = self._model(**inputs)
        self._kv_cache = output.past_key_values
        logits: Tensor = output.logits[0]
        return logits

    def _to_model(self, value: Tensor) -> Tensor:
        return value.to(self._model.device, self._model.dtype if value.is_floating_point() else value.dtype)

    def _image_token_mask(self, ids: Sequence[int]) -> Tensor:
        """Return 1 for each image token and 0 for every other, as (1, len(ids)) int64."""
        return torch.tensor([[int(token == self._image_token) for token in ids]], device=self._model.device)

    def _mrope_positions(self, ids: Sequence[int], grids: Tensor | None) -> tuple[Tensor | None, int]:
        """Compute M-RoPE positions (3, 1, len(ids)) and the offset of what follows; (None, 0) for other families.

        Args:
            ids: Token ids.
            grids: Patches of each image in time, height and width (images, 3); None without images.
        """
        if self._get_rope_index is None:
            return None, 0
        input_ids = torch.tensor([ids], device=self._model.device)
        if grids is None:
            return torch.arange(len(ids), device=input_ids.device).expand(3, 1, -1), 0
        positions, rope_delta = self._get_rope_index(
            input_ids, mm_token_type_ids=self._image_token_mask(ids), image_grid_thw=grids
        )
        return positions, int(rope_delta)

    def _rope_position(self, prompt: Prompt, index: int) -> int:
        """Return the position of the text token at `index`, the same on all axes; it may be one of the reply."""
        if prompt.positions is None or index >= prompt.positions.shape[-1]:
            return index + prompt.rope_delta
        return int(prompt.positions[0, 0, index])

    def _position_arguments(self, prompt: Prompt, start: int, end: int) -> dict[str, Tensor]:
        """Build `position_ids` (3, 1, end - start) for M-RoPE; tokens beyond the prompt are those of the reply."""
        if prompt.positions is None:
            return {}
        in_prompt = prompt.positions[..., start:end]
        first = max(start, prompt.positions.shape[-1]) + prompt.rope_delta
        in_reply = torch.arange(first, max(first, end + prompt.rope_delta), device=in_prompt.device).expand(3, 1, -1)
        return {"position_ids": torch.cat((in_prompt, in_reply), dim=-1)}


def _image_mask_name(config: Any, parameters: Collection[str]) -> str:
    """Return the argument that marks image tokens for bidirectional attention; empty for families without that."""
    if "token_type_ids" in parameters:
        return "token_type_ids"
    bidirectional = getattr(config.get_text_config(), "use_bidirectional_attention", None) == "vision"
    return "mm_token_type_ids" if bidirectional else ""


def _is_text_token(prompt: Prompt, index: int) -> bool:
    """Return True if the token at `index` is no image token and lies in no atomic span."""
    in_span = any(first <= index < end for first, end in prompt.atomic_spans)
    return isinstance(prompt.keys[index], int) and not in_span
