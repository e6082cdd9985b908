"""Prompt lookup decoding: draft tokens are taken from earlier text and verified in one forward pass.

    ... the bridge over the river ...     ... over the -> draft: river will cost
                                                          verified in one pass; accepted as far as the model agrees

A few tokens take little longer than one, since most of the time goes into reading the weights: on a CPU in int8, four
tokens take 1.3 times as long as one. Drafts are accepted as far as they are the greedy choice, so the reply is the same
with and without them, up to what `prompt_cache` says about rounding. Counting forward passes, replies that repeat their
prompt come up to 1.7 times as fast, others as fast as before.
"""

from collections.abc import Sequence
from itertools import takewhile
from typing import Protocol, runtime_checkable

from torch import Tensor

from assistant.models.local.decoders.protocol import Decoder
from assistant.models.local.prompt_cache import Prompt

NUM_DRAFT_TOKENS = 3
"""Tokens per draft. bitsandbytes multiplies up to four rows by 4-bit weights as fast as one."""

# Sizes of the n-grams to look up, the longer first.
_NGRAM_SIZES = (3, 2)
# Drafts rejected in a row after which no more are made: this reply does not repeat itself.
_MAX_REJECTED_IN_A_ROW = 8


@runtime_checkable
class SpeculativeDecoder(Protocol):
    """A decoder that can verify draft tokens and roll back the rejected ones."""

    def verify(self, prompt: Prompt, draft_tokens: Sequence[int]) -> Tensor | None:
        """Process the last token of `prompt` and `draft_tokens` after it.

        Returns:
            Logits (1 + len(draft_tokens), vocab_size) after each; None, with nothing processed, if that is impossible.
        """
        ...

    def rollback(self, count: int) -> None:
        """Remove the last `count` tokens from the KV cache."""
        ...


class PromptLookupDecoder:
    """Computes the logits of a greedy reply, several at a time where a draft is accepted."""

    def __init__(self, decoder: Decoder, max_tokens: int, *, enabled: bool) -> None:
        """Create a decoder for one reply.

        Args:
            decoder: Decoder that holds the prompt. Without `verify` and `rollback` it is used token by token.
            max_tokens: Longest prompt and reply together.
            enabled: False for sampled replies: a draft is only verified against the greedy choice.
        """
        self._decoder = decoder
        self._speculative = decoder if enabled and isinstance(decoder, SpeculativeDecoder) else None
        self._max_tokens = max_tokens
        self._accepted: list[Tensor] = []
        self._rejected_in_a_row = 0
        # The position after the latest occurrence of each n-gram.
        self._ngrams: dict[tuple[int, ...], int] = {}
        self._indexed = 0

    def next_logits(self, prompt: Prompt) -> Tensor:
        """Return logits (vocab_size,) after the last token of `prompt`; all tokens before it are in the KV cache."""
        if self._accepted:
            return self._accepted.pop(0)
        if (verified := self._verify_draft(prompt)) is None:
            return self._decoder.forward(prompt, len(prompt) - 1, len(prompt))
        self._accepted = verified
        return self._accepted.pop(0)

    def _verify_draft(self, prompt: Prompt) -> list[Tensor] | None:
        """Return the logits after the last token and after each accepted draft token; None if there is no draft."""
        if self._speculative is None or len(prompt) + NUM_DRAFT_TOKENS > self._max_tokens:
            return None
        draft = self._draft(prompt.ids)
        logits = self._speculative.verify(prompt, draft) if draft else None
        if logits is None:
            return None
        greedy = logits[:-1].argmax(1).tolist()
        accepted = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(draft, greedy, strict=True)))
        self._speculative.rollback(len(draft) - accepted)
        self._rejected_in_a_row = 0 if accepted else self._rejected_in_a_row + 1
        return list(logits[: accepted + 1].unbind())

    def _draft(self, ids: Sequence[int]) -> list[int]:
        """Return the `NUM_DRAFT_TOKENS` tokens that followed the last n-gram of `ids` before; none if it is new."""
        if self._rejected_in_a_row >= _MAX_REJECTED_IN_A_ROW:
            return []
        # Up to the last token but one: the n-gram at the end must not find itself.
        for end in range(max(self._indexed, 1), len(ids)):
            for size in _NGRAM_SIZES:
                if size <= end:
                    self._ngrams[tuple(ids[end - size : end])] = end
        self._indexed = len(ids)
        for size in _NGRAM_SIZES:
            start = self._ngrams.get(tuple(ids[-size:]))
            if start is not None and start + NUM_DRAFT_TOKENS <= len(ids):
                return list(ids[start : start + NUM_DRAFT_TOKENS])
        return []
