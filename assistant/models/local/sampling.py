"""Sample tokens from logits, and decode them to text as they come."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from transformers import (
    LogitsProcessor,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TopPLogitsWarper,
)

from assistant.errors import ModelError
from assistant.models.base import GenerationOptions
from assistant.settings import SAMPLING

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# Some tokenizers decode a run of bytes that ends in an incomplete character to one replacement character per byte: up
# to three for that character, and four for the complete one before it. A longer tail is not text.
_MAX_INCOMPLETE = 7
# Below, float32 would divide by zero.
_MIN_TEMPERATURE = 1e-30
# Tokens among which top-p and min-p are looked for first.
_NUCLEUS = 1024


class Sampler:
    """Chooses the tokens of one reply: greedily at temperature 0, else by sampling, as transformers does.

    penalties ─▶ temperature ─▶ top-k ─▶ top-p ─▶ min-p ─▶ draw

    The same seed samples the same tokens; without a seed every reply differs.
    """

    def __init__(self, options: GenerationOptions, prompt_ids: Sequence[int] = ()) -> None:
        """Create a sampler for one reply.

        Args:
            options: Options as `resolve` returns them: None is off.
            prompt_ids: Token ids of the prompt, for the repetition penalty.
        """
        self._temperature = options.temperature or 0.0
        self._top_k, self._top_p, self._min_p = options.top_k or 0, options.top_p or 1.0, options.min_p or 0.0
        self._penalties = _Penalties(options, prompt_ids)
        self._generator = torch.Generator()
        if options.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(options.seed)

    @property
    def takes_likeliest(self) -> bool:
        """True if every token is simply the likeliest one, so that drafts can be verified."""
        return self._temperature <= 0 and not self._penalties.active

    def __call__(self, logits: Tensor) -> int:
        """Return the next token id, given its logits (vocab_size,). Raises `ModelError` if they are not finite."""
        if not logits.max().isfinite():
            raise ModelError(
                "The model produced NaN or infinite logits: its weights are damaged or too large for this device."
            )
        logits = self._penalties.apply(logits)
        token = int(logits.argmax()) if self._temperature <= 0 else self._draw(logits)
        self._penalties.add(token)
        return token

    def _draw(self, logits: Tensor) -> int:
        # Relative to the highest: near temperature 0, two large logits would become infinities.
        logits = (logits.float() - logits.max()) / max(self._temperature, _MIN_TEMPERATURE)
        scores, ids, top_p = self._candidates(logits)
        scores = scores.cpu().double()[None]
        no_ids: Any = torch.empty((1, 0), dtype=torch.long)
        if top_p < 1:
            scores = TopPLogitsWarper(top_p)(no_ids, scores)
        if self._min_p > 0:
            scores = MinPLogitsWarper(self._min_p)(no_ids, scores)
        cumulative = scores[0].softmax(0).cumsum(0)
        # One number and a search: `torch.multinomial` draws one for each token of the vocabulary.
        drawn = torch.rand(1, generator=self._generator, dtype=torch.double) * cumulative[-1]
        index = int(torch.searchsorted(cumulative, drawn, right=True).clamp(max=len(cumulative) - 1))
        return index if ids is None else int(ids[index])

    def _candidates(self, logits: Tensor) -> tuple[Tensor, Tensor | None, float]:
        """Return the logits of the tokens that can be drawn, their ids, None for all, and top-p among them.

        Top-p sorts, which takes 10 ms for a vocabulary of 49,000 and 40 ms for one of 152,000; the `_NUCLEUS` likeliest
        tokens are found in one or two, and nearly always hold all that top-p and min-p leave.
        """
        if 0 < self._top_k < len(logits):
            return *logits.topk(self._top_k), self._top_p
        if len(logits) <= _NUCLEUS or (self._top_p == 1 and not self._min_p):
            return logits, None, self._top_p
        scores, ids = logits.topk(_NUCLEUS)
        mass = float((scores.logsumexp(0) - logits.logsumexp(0)).exp())
        if self._top_p < mass:
            return scores, ids, self._top_p / mass
        if self._top_p == 1 and scores[-1].exp() < self._min_p:
            return scores, ids, 1.0
        return logits, None, self._top_p


class _Penalties:
    """Repetition and presence penalty of one reply."""

    def __init__(self, options: GenerationOptions, prompt_ids: Sequence[int]) -> None:
        repetition, presence = options.repetition_penalty or 1.0, options.presence_penalty or 0.0
        # Each with the ids it is about, every id once: a long conversation repeats most of its tokens.
        self._processors: list[tuple[LogitsProcessor, _UniqueIds]] = []
        if repetition != 1:
            self._processors.append((RepetitionPenaltyLogitsProcessor(float(repetition)), _UniqueIds(prompt_ids)))
        if presence:
            self._processors.append((PresencePenaltyLogitsProcessor(presence), _UniqueIds()))

    @property
    def active(self) -> bool:
        """True if anything is penalized."""
        return bool(self._processors)

    def apply(self, logits: Tensor) -> Tensor:
        """Return `logits` (vocab_size,) with the penalties."""
        for processor, ids in self._processors:
            logits = processor(ids.tensor(logits.device)[None], logits[None])[0]
        return logits

    def add(self, token: int) -> None:
        """Note that the reply holds `token`."""
        for _, ids in self._processors:
            ids.add(token)


class PresencePenaltyLogitsProcessor(LogitsProcessor):
    """Subtracts a penalty from the logit of each token that has occurred, as OpenAI's API defines it."""

    def __init__(self, penalty: float) -> None:
        self._penalty = penalty

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return `scores` (1, vocab_size) with the penalty; each of `input_ids` (1, count) occurs once."""
        return scores.scatter_add(1, input_ids, scores.new_full((1, input_ids.shape[1]), -self._penalty))


class _UniqueIds:
    """Token ids without repetition, also as a tensor."""

    def __init__(self, ids: Sequence[int] = ()) -> None:
        self._ids = dict.fromkeys(ids)
        self._tensor: Tensor | None = None

    def add(self, token: int) -> None:
        """Add an id."""
        if token not in self._ids:
            self._ids[token] = None
            if self._tensor is not None:
                self._tensor = torch.cat((self._tensor, self._tensor.new_tensor([token])))

    def tensor(self, device: torch.device) -> Tensor:
        """Return the ids as a tensor (count,) on `device`."""
        if self._tensor is None:
            self._tensor = torch.tensor(list(self._ids), dtype=torch.long, device=device)
        return self._tensor


def resolve(options: GenerationOptions, defaults: GenerationOptions) -> GenerationOptions:
    """Return `options` with those of `defaults` where they are None."""
    unset = [name for name in SAMPLING if getattr(options, name) is None]
    return replace(options, **{name: getattr(defaults, name) for name in unset})


class Detokenizer:
    """Decodes tokens incrementally and holds back bytes that are not yet a complete character."""

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        """Create an empty detokenizer; `decode` turns token ids into text, without special tokens."""
        self._decode = decode
        # Some tokenizers decode a token differently at the start of a text, so each is decoded together with those
        # before it, back to the last position where all text had been returned.
        self._context: list[int] = []
        self._pending: list[int] = []
        self._returned = 0

    def push(self, token: int) -> str:
        """Add a token and return the text that is complete now, often none."""
        self._pending.append(token)
        text = self._decode(self._context + self._pending)
        complete = len(text.rstrip(_REPLACEMENT))
        start = self._returned
        if 0 < len(text) - complete <= _MAX_INCOMPLETE:
            # A token can end one character and begin the next.
            self._returned = max(start, complete)
            return text[start:complete]
        self._context, self._pending = self._pending, []
        self._returned = len(self._decode(self._context))
        return text[start:]
