"""The decoder protocols: the interface between `LocalModel` and a model family.

A decoder is stateful: it holds the keys and values of the tokens it has processed. `prompt_cache` decides how many of
them a new prompt can reuse.
"""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from assistant.messages import Image
from assistant.models.local.prompt_cache import Prompt


class Decoder(Protocol):
    """A language model with a KV cache."""

    def build_prompt(self, text: str, images: Sequence[Image]) -> Prompt:
        """Tokenize `text`, which has a placeholder for each of `images`.

        Raises:
            ModelError: The number of placeholders and of images differ.
            AttachmentError: An image cannot be decoded or preprocessed.
        """
        ...

    def crop(self, prompt: Prompt, length: int) -> int:
        """Shorten the KV cache to the first `length` tokens, which are those of `prompt`.

        Returns:
            The number of tokens kept: `length`, or fewer (often 0) if the cache cannot be cut there.
        """
        ...

    def forward(self, prompt: Prompt, start: int, end: int) -> Tensor:
        """Process tokens `start` to `end` of `prompt`; the KV cache must hold exactly the tokens before `start`.

        Returns:
            Logits (vocab_size,) after the last of these tokens.
        """
        ...


class ScoringDecoder(Decoder, Protocol):
    """A decoder that can also score several continuations of the same prompt."""

    def score_continuations(self, prompt: Prompt, continuations: Sequence[Sequence[int]]) -> list[Tensor]:
        """Process each continuation (token ids) after `prompt`, which the KV cache must hold. The cache stays as it is.

        Returns:
            Logits (len(continuation), vocab_size) after every token, for each continuation.
        """
        ...
