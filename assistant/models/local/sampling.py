"""Sample tokens from logits, and decode them to text as they come."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from assistant.errors import ModelError

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# Some tokenizers decode a run of bytes that ends in an incomplete character to one replacement character per byte: up
# to three for that character, and four for the complete one before it. A longer tail is not text.
_MAX_INCOMPLETE = 7


class Sampler:
    """Chooses the next token: greedily at temperature 0, else by sampling from softmax(logits / temperature).

    The same seed samples the same tokens; without a seed every reply differs.
    """

    def __init__(self, temperature: float, seed: int | None) -> None:
        self._temperature = temperature
        self._generator = torch.Generator()
        if seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(seed)

    def __call__(self, logits: Tensor) -> int:
        """Return the next token id, given its logits (vocab_size,). Raises `ModelError` if they are not finite."""
        highest, token = logits.max(0)
        if not highest.isfinite():
            raise ModelError(
                "The model produced NaN or infinite logits: its weights are damaged or too large for this device."
            )
        if self._temperature <= 0:
            return int(token)
        # float64: at a temperature near 0, float32 would turn two large logits into infinities.
        probs = torch.softmax(logits.double().cpu() / self._temperature, 0)
        return int(torch.multinomial(probs, 1, generator=self._generator))


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
