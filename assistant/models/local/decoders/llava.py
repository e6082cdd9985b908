"""LLaVA models around a plain Llama: transformers' vision tower, and `LlamaDecoder` for the text."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from assistant.messages import Image
from assistant.models.local.batch_decoder import BatchDecoder
from assistant.models.local.decoders.prompts import image_features, image_token_keys, tokenize
from assistant.models.local.image_encoder import ImageEncoder
from assistant.models.local.llama import LlamaDecoder
from assistant.models.local.llama_graph import EXTRA_POSITIONS
from assistant.models.local.prompt_cache import Prompt

# Tokens scored in one forward pass: their logits, each as wide as the vocabulary, take 25 MB.
SCORE_BATCH_TOKENS = EXTRA_POSITIONS


class LlavaDecoder:
    """Decoder of a LLaVA model. Prefixes of any length can be reused."""

    def __init__(self, model: Any, processor: Any, llama: LlamaDecoder, image_encoder: ImageEncoder) -> None:
        self._model = model
        self._llama = llama
        self._processor = processor
        self._image_encoder = image_encoder
        self._image_token: int = model.config.image_token_id

    def replica(self, processor: Any, image_encoder: ImageEncoder) -> "LlavaDecoder":
        """Return a decoder with the same weights and a KV cache of its own, for use on another thread."""
        return LlavaDecoder(self._model, processor, self._llama.replica(), image_encoder)

    def build_prompt(self, text: str, images: Sequence[Image]) -> Prompt:
        text, encoded = self._image_encoder.expand_placeholders(text, images)
        ids = tokenize(self._processor, text)
        keys, _ = image_token_keys(ids, self._image_token, encoded)
        return Prompt(ids, keys, images=encoded)

    def crop(self, prompt: Prompt, length: int) -> int:
        self._llama.length = min(length, self._llama.length)
        self._llama.set_adapter(enabled=bool(prompt.images))
        return self._llama.length

    def forward(self, prompt: Prompt, start: int, end: int) -> Tensor:
        ids = _tensor(prompt.ids[start:end])
        x = self._llama.embed(ids)
        if features := image_features(self._image_encoder, prompt, self._image_token, start, end):
            x[ids == self._image_token] = features[0].to(x)
        return self._llama.forward(x)

    def score_continuations(self, prompt: Prompt, continuations: Sequence[Sequence[int]]) -> list[Tensor]:  # noqa: ARG002 - the KV cache holds it
        logits: list[Tensor] = []
        for group in _group_by_tokens(continuations):
            ids = _tensor([token for continuation in group for token in continuation])
            lengths = [len(continuation) for continuation in group]
            logits += self._llama.score_continuations(self._llama.embed(ids), lengths).split(lengths)
        return logits

    def batch_decoder(self, batch_size: int) -> BatchDecoder:
        """Return a batch decoder for up to `batch_size` sequences prefilled by this decoder."""
        return BatchDecoder(self._llama, batch_size)

    def hidden_states(self, ids: Sequence[int], layers: Sequence[int]) -> Tensor:
        """Return the hidden states (len(layers), len(ids), hidden_size): see `LlamaDecoder.hidden_states`."""
        return self._llama.hidden_states(self._llama.embed(_tensor(ids)), layers)


def _tensor(ids: Sequence[int]) -> Tensor:
    return torch.tensor(ids, dtype=torch.long)


def _group_by_tokens(continuations: Sequence[Sequence[int]]) -> list[list[Sequence[int]]]:
    """Group `continuations`, in order, into at most `SCORE_BATCH_TOKENS` tokens each; a longer one stands alone."""
    groups: list[list[Sequence[int]]] = []
    capacity = 0
    for continuation in continuations:
        if not groups or len(continuation) > capacity:
            groups.append([])
            capacity = SCORE_BATCH_TOKENS
        groups[-1].append(continuation)
        capacity -= len(continuation)
    return groups
