"""Reading ahead in a reply: what followed the same words before is guessed to follow them again (prompt lookup).

    … the bridge over the river …        … over the ─▶ guess: river will cost
                                                        read in one go; what the model would have said itself is kept

A few tokens are read in little more time than one, since reading the weights is what takes it: on a CPU in int8, four
in 1.3 times that of one. A guess is kept as far as it is what the greedy choice takes anyway, so a reply is the same
with and without, up to what `prompt_cache` says about rounding. Counting reads, replies that repeat their prompt come
up to 1.7 times as fast, and others as fast as ever.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor

from assistant.models.local.decoders.protocol import Decoder
from assistant.models.local.prompt_cache import Prompt

NUM_DRAFT_TOKENS = 3
"""How many tokens are guessed at once. bitsandbytes multiplies up to four rows by 4-bit weights as fast as one."""

# Words of this many tokens are looked for, the longer first.
_SEEN_TOGETHER = (3, 2)
# Guesses in a row of which nothing was right, after which none are made any more: this reply says new things.
_FRUITLESS = 8


@runtime_checkable
class SpeculativeDecoder(Protocol):
    """A decoder that can read guesses as well, and take back what was wrong."""

    def verify(self, prompt: Prompt, guesses: Sequence[int]) -> Tensor | None:
        """Read the last token of `prompt` and `guesses` after it; logits (tokens, vocabulary) after each.

        None, with nothing read, where that cannot be done now.
        """
        ...

    def rollback(self, count: int) -> None:
        """Forget the last `count` of the tokens that were read."""
        ...


class PromptLookupDecoder:
    """Reads a greedy reply through `decoder`, up to `limit` tokens with its prompt. Without `enabled`, token by token."""

    def __init__(self, decoder: Decoder, limit: int, *, enabled: bool) -> None:
        self._decoder = decoder
        self._foresighted = decoder if enabled and isinstance(decoder, SpeculativeDecoder) else None
        self._limit = limit
        self._ahead: list[Tensor] = []
        self._fruitless = 0
        self._following: dict[tuple[int, ...], int] = {}
        self._indexed = 0

    def next_logits(self, prompt: Prompt) -> Tensor:
        """Logits (vocabulary,) after the last token of `prompt`, all before it being read."""
        if self._ahead:
            return self._ahead.pop(0)
        guesses = self._guess(prompt.ids) if self._foresighted and len(prompt) + NUM_DRAFT_TOKENS <= self._limit else []
        rows = self._foresighted.verify(prompt, guesses) if self._foresighted and guesses else None
        if rows is None or self._foresighted is None:
            return self._decoder.forward(prompt, len(prompt) - 1, len(prompt))
        likeliest = rows[:-1].argmax(1).tolist()
        right = next((at for at, pair in enumerate(zip(guesses, likeliest, strict=True)) if pair[0] != pair[1]), None)
        right = len(guesses) if right is None else right
        self._foresighted.rollback(len(guesses) - right)
        self._fruitless = 0 if right else self._fruitless + 1
        self._ahead = list(rows[: right + 1].unbind())
        return self._ahead.pop(0)

    def _guess(self, ids: Sequence[int]) -> list[int]:
        """`NUM_DRAFT_TOKENS` tokens that followed the end of `ids` where it stood before; none if it never did."""
        if self._fruitless >= _FRUITLESS:
            return []
        # Up to the last token but one: the end itself is not found where it stands.
        for end in range(max(self._indexed, 1), len(ids)):
            for size in _SEEN_TOGETHER:
                if size <= end:
                    self._following[tuple(ids[end - size : end])] = end
        self._indexed = len(ids)
        for size in _SEEN_TOGETHER:
            place = self._following.get(tuple(ids[-size:]))
            if place is not None and place + NUM_DRAFT_TOKENS <= len(ids):
                return list(ids[place : place + NUM_DRAFT_TOKENS])
        return []
