"""Find the prefix of a prompt that is in the KV cache, and cut the rest into chunks.

Each cached token has a key: its id, or for an image token the key of its image (digest and resolution), since all
images share one token id. A new prompt reuses the KV cache as far as its keys agree with the cached ones. An error here
can cost time but never change a reply: cached keys and values were computed from exactly the tokens and images that
their keys name.

A reply with a warm cache equals one with a cold cache up to rounding, because sums may be taken in another order: a
near tie between two tokens can be decided differently.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from assistant.models.local.image_encoder import EncodedImage

Key = int | str
"""Cache key of a token: its id, or the key of the image to which it belongs."""


@dataclass
class Prompt:
    """A tokenized prompt. The tokens of the reply are appended while it is generated.

    Attributes:
        ids: Token ids.
        keys: Cache key of each token.
        atomic_spans: Ranges (start, end) that must be processed in one chunk, such as an image with bidirectional
            attention.
        images: Its images in order.
        inputs: Inputs of the vision tower, for families that encode images together with the whole prompt.
        positions: M-RoPE positions (3, 1, tokens) in time, height and width, for families that use them.
        rope_delta: Offset of the reply's positions from its token indices, for the same families.
    """

    ids: list[int]
    keys: list[Key]
    atomic_spans: list[tuple[int, int]] = field(default_factory=list)
    images: "list[EncodedImage]" = field(default_factory=list)
    inputs: "dict[str, Tensor]" = field(default_factory=dict)
    positions: "Tensor | None" = None
    rope_delta: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    def append(self, token: int) -> None:
        """Add a token of the reply."""
        self.ids.append(token)
        self.keys.append(token)


@dataclass
class PromptCache:
    """The keys of all tokens in the KV cache, in order."""

    keys: list[Key] = field(default_factory=list)

    def match_prefix(self, prompt: Prompt) -> int:
        """Return how many leading tokens of `prompt` are cached.

        Never ends inside an atomic span, and always leaves one token to process: its logits give the reply's first
        token.
        """
        length = common_prefix_length(self.keys, prompt.keys[:-1])
        return next((start for start, end in prompt.atomic_spans if start < length < end), length)

    def crop(self, length: int) -> None:
        """Remove all but the first `length` keys."""
        del self.keys[length:]

    def extend(self, keys: Sequence[Key]) -> None:
        """Append the keys of tokens that have been processed."""
        self.keys.extend(keys)


def common_prefix_length(left: Sequence[Key], right: Sequence[Key]) -> int:
    """Return the length of the longest common prefix."""
    for length, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return length
    return min(len(left), len(right))


def chunks(prompt: Prompt, start: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield ranges (start, end) of about `size` tokens from `start` to the end of `prompt`; no span is split."""
    stop = len(prompt)
    while start < stop:
        end = min(start + size, stop)
        split = next((span for span in prompt.atomic_spans if span[0] < end < span[1]), None)
        if split is not None:
            end = split[0] if split[0] > start else split[1]
        yield start, end
        start = end
