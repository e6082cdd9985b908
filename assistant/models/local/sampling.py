"""From logits to words: which token comes next, and when its bytes are whole characters."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from assistant.errors import ModelError

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# Some tokenizers show every byte as a replacement that is decoded together with an unfinished character, those of the
# finished one before it included: seven at most. What ends in more was never going to be text.
_LONGEST_TAIL = 7


class Sampler:
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
        """The id of the token to write next, given its logits (vocabulary,). `ModelError` if they are no numbers."""
        likeliest, token = logits.max(0)
        if not likeliest.isfinite():
            raise ModelError(
                "The model computed what is no number: its weights are damaged or too large for this device."
            )
        if self._temperature <= 0:
            return int(token)
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
        self._shown = 0

    def push(self, token: int) -> str:
        """What can be shown now that `token` has come; often nothing."""
        self._pending.append(token)
        text = self._decode(self._context + self._pending)
        whole = len(text.rstrip(_REPLACEMENT))
        first = self._shown
        if 0 < len(text) - whole <= _LONGEST_TAIL:
            # A token can end one character and begin the next.
            self._shown = max(first, whole)
            return text[first:whole]
        self._context, self._pending = self._pending, []
        self._shown = len(self._decode(self._context))
        return text[first:]
