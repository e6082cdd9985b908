"""LLaVA models around a plain Llama."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from assistant.messages import Image
from assistant.models.local.batch_decoder import BatchDecoder
from assistant.models.local.decoders.prompts import image_features, image_token_keys, tokenize
from assistant.models.local.image_encoder import Pictures
from assistant.models.local.llama import LlamaDecoder
from assistant.models.local.prompt_cache import Prompt

# Tokens of continuations scored in one forward pass: their logits are as wide as the vocabulary, 25 MB in all.
SCORE_BATCH_TOKENS = 128


class LlavaDecoder:
    """A LLaVA model with the lean Llama in the place of its own decoder; `model` keeps the vision tower."""

    def __init__(self, model: Any, processor: Any, llama: LlamaDecoder, pictures: Pictures) -> None:
        self._model = model
        self._llama = llama
        self._processor = processor
        self._pictures = pictures
        self._image_token: int = model.config.image_token_id

    def replica(self, processor: Any, pictures: Pictures) -> "LlavaDecoder":
        """A decoder on the same weights, which may be used on another thread at the same time."""
        return LlavaDecoder(self._model, processor, self._llama.replica(), pictures)

    def build_prompt(self, text: str, images: Sequence[Image]) -> Prompt:
        text, pictures = self._pictures.place(text, images)
        ids = tokenize(self._processor, text)
        keys, _ = image_token_keys(ids, self._image_token, pictures)
        return Prompt(ids, keys, pictures=pictures)

    def crop(self, prompt: Prompt, count: int) -> int:
        self._llama.length = min(count, self._llama.length)
        self._llama.set_adapter(enabled=bool(prompt.pictures))
        return self._llama.length

    def forward(self, prompt: Prompt, start: int, end: int) -> Tensor:
        ids = torch.tensor(prompt.ids[start:end], device=self._llama.embedding.device)
        x = self._llama.embed(ids)
        if rows := image_features(self._pictures, prompt, self._image_token, start, end):
            x[ids == self._image_token] = rows[0].to(x.dtype)
        return self._llama.forward(x)

    def verify(self, prompt: Prompt, guesses: Sequence[int]) -> Tensor:
        ids = torch.tensor([prompt.ids[-1], *guesses], device=self._llama.embedding.device)
        return self._llama.forward_all(self._llama.embed(ids))

    def rollback(self, count: int) -> None:
        self._llama.length -= count

    def score_continuations(self, prompt: Prompt, options: Sequence[Sequence[int]]) -> list[Tensor]:  # noqa: ARG002 - remembered
        logits: list[Tensor] = []
        for group in _group_by_tokens(options):
            ids = torch.tensor([token for option in group for token in option], device=self._llama.embedding.device)
            lengths = [len(option) for option in group]
            logits += self._llama.score_continuations(self._llama.embed(ids.long()), lengths).split(lengths)
        return logits

    def batch_decoder(self, room: int) -> BatchDecoder:
        """Place for so many conversations to be gone on with at once, each after it has been read."""
        return BatchDecoder(self._llama, room)

    def hidden_states(self, ids: Sequence[int], depths: Sequence[int]) -> Tensor:
        """Hidden states (depths, tokens, width) of a text alone: see `LlamaDecoder.states`."""
        return self._llama.hidden_states(
            self._llama.embed(torch.tensor(ids, device=self._llama.embedding.device)), depths
        )


def _group_by_tokens(options: Sequence[Sequence[int]]) -> list[list[Sequence[int]]]:
    """`options` in groups of at most `SCORE_BATCH_TOKENS` tokens, in order; a longer one is a group of its own."""
    groups: list[list[Sequence[int]]] = []
    room = 0
    for option in options:
        if not groups or len(option) > room:
            groups.append([])
            room = SCORE_BATCH_TOKENS
        groups[-1].append(option)
        room -= len(option)
    return groups
