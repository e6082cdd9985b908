"""What of a prompt the decoder knows already, and where a prompt may be cut.

A decoder remembers keys and values of the tokens it has read. Each remembered token is named by a key: its id, or for
the placeholder of a picture the picture's digest (with how closely it was looked at), since all pictures share one
placeholder id. A new prompt is known as far as its keys begin like those remembered; from there on it is read. Being
wrong here may only ever cost time: what is remembered was computed from exactly the tokens and pictures that its keys
name.

So a warm reply equals a cold one, token for token, where a token's arithmetic does not depend on which others are read
with it: with a plain Llama in int8 on a CPU that computes int8 products exactly. Elsewhere (`quantize` "none", CUDA,
mps, other CPUs and families) they are equal up to rounding, since sums may then be taken in another order: a near tie
between two tokens can fall the other way.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from assistant.models.local.image_encoder import EncodedImage

Key = int | str
"""What stands at one place of a prompt: a token id, or the key of the picture of which it is a part."""


@dataclass
class Prompt:
    """A prompt as a decoder reads it; the reply is appended while it is written.

    `keys` name what stands at each place, `spans` are the places (first, one past the last) which must be read in one
    go, such as those of a picture that reads itself in both directions. `pictures` are those it shows, in order; for a
    family whose pictures are read with the whole prompt, `inputs` hold them. `positions` (3, 1, tokens) is where the
    tokens are in time, height and width, for a family that counts so; its reply goes on `shift` from where it stands.
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
    """The keys of all that the decoder remembers, in order."""

    keys: list[Key] = field(default_factory=list)

    def match_prefix(self, prompt: Prompt) -> int:
        """How many tokens of `prompt` are remembered, not counting a part of a span, and always leaving one to read,
        since the first token of a reply follows from reading the last of its prompt.
        """
        count = common_prefix_length(self.keys, prompt.keys[:-1])
        return _outside(count, prompt.atomic_spans)

    def crop(self, count: int) -> None:
        """Only the first `count` tokens are remembered from here on."""
        del self.keys[count:]

    def extend(self, keys: Sequence[Key]) -> None:
        """These were read after the others."""
        self.keys.extend(keys)


def common_prefix_length(one: Sequence[Key], other: Sequence[Key]) -> int:
    """How many keys both begin with."""
    for count, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return count
    return min(len(one), len(other))


def chunks(prompt: Prompt, start: int, size: int) -> Iterator[tuple[int, int]]:
    """Cut the rest of `prompt` from `start` on into pieces of about `size` tokens, none of which ends inside a span."""
    stop = len(prompt)
    while start < stop:
        end = min(start + size, stop)
        inside = next((span for span in prompt.atomic_spans if span[0] < end < span[1]), None)
        if inside is not None:
            end = inside[0] if inside[0] > start else inside[1]
        yield start, end
        start = end


def _outside(count: int, spans: Sequence[tuple[int, int]]) -> int:
    return next((first for first, end in spans if first < count < end), count)
