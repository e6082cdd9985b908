"""The decoder protocols: what `LocalModel` needs of a model family."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from assistant.messages import Image
from assistant.models.local.prompt_cache import Prompt


class Decoder(Protocol):
    """A model that remembers the tokens it has read."""

    def build_prompt(self, text: str, images: Sequence[Image]) -> Prompt:
        """The tokens of `text`, in which `images` have their placeholders. Raises `ModelError`, `AttachmentError`."""
        ...

    def crop(self, prompt: Prompt, count: int) -> int:
        """Forget all but the first `count` tokens, which are those of `prompt`; fewer where that cannot be done.

        Returns how many are remembered.
        """
        ...

    def forward(self, prompt: Prompt, start: int, end: int) -> Tensor:
        """Read these tokens of `prompt`, those before `start` being remembered; logits (vocabulary,) after the last."""
        ...


class ScoringDecoder(Decoder, Protocol):
    """A decoder that can also look into several futures of what it has read."""

    def score_continuations(self, prompt: Prompt, options: Sequence[Sequence[int]]) -> list[Tensor]:
        """Read each of `options` (ids of tokens) as what follows `prompt`, which is remembered; remember none of them.

        Returns for each the logits (its tokens, vocabulary) after every one of its tokens.
        """
        ...
