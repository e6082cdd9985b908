"""From logits to words: which token comes next, and when its bytes are whole characters."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# A character takes at most four bytes, so tokens that are still no character after this many never will be.
_LONGEST_CHARACTER = 4


class Chooser:
    """Chooses tokens: the likeliest at temperature 0, otherwise one drawn from softmax(logits / temperature).

    The same seed draws the same tokens; without one every reply differs.
    """

    def __init__(self, temperature: float, seed: int | None) -> None:
        self._temperature = temperature
        self._generator = torch.Generator()
        if seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(seed)

    def __call__(self, logits: Tensor) -> int:
        """The id of the token to write next, given its logits (vocabulary,)."""
        if self._temperature <= 0:
            return int(logits.argmax())
        # float64, because a temperature near 0 must not turn two large logits into infinities.
        chances = torch.softmax(logits.double().cpu() / self._temperature, 0)
        return int(torch.multinomial(chances, 1, generator=self._generator))


class Detokenizer:
    """Turns tokens into text as they come, holding back bytes that are not yet a whole character.

    `decode` turns token ids into text, without special tokens. Some tokenizers write a token differently at the start
    of a text, so each is decoded together with the ones before it, back to the last place where text was handed out.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._context: list[int] = []
        self._pending: list[int] = []

    def push(self, token: int) -> str:
        """What can be shown now that `token` has come; often nothing."""
        self._pending.append(token)
        before = self._decode(self._context)
        after = self._decode(self._context + self._pending)
        if after.endswith(_REPLACEMENT) and len(self._pending) < _LONGEST_CHARACTER:
            return ""
        self._context, self._pending = self._pending, []
        return after[len(before) :]
