"""Several conversations that a lean Llama goes on with at once, a token of each at a time."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from assistant.models.local.llama import LlamaDecoder

# More tokens for which memory is taken than are needed at once: a caption's worth.
_GROWTH = 64


class BatchDecoder:
    """Several conversations that one decoder goes on with at once, a token of each at a time.

    Decoding reads every weight for each step, whether of one conversation or of eight: side by side they share that.
    Each is begun by the decoder alone (`join`), and none sees another.
    """

    def __init__(self, llama: LlamaDecoder, room: int) -> None:
        """`room` is for how many; their memory is taken at once, for as long as this object lives."""
        self._llama = llama
        self._lengths: list[int] = []
        self._memory = llama.kv_cache[:, :, None, :, :0].expand(-1, -1, room, -1, -1, -1)

    def __len__(self) -> int:
        return len(self._lengths)

    def add(self) -> None:
        """What the decoder remembers now is one more conversation, the last of them."""
        length = self._llama.length
        self._reserve(length + 1)
        self._memory[:, :, len(self), :, :length] = self._llama.kv_cache
        self._lengths.append(length)

    def remove(self, index: int) -> None:
        """The conversation in this place is over; the last one takes its place."""
        last = len(self) - 1
        length = self._lengths[last]
        if index != last:
            self._memory[:, :, index, :, :length] = self._memory[:, :, last, :, :length]
            self._lengths[index] = length
        del self._lengths[last]

    def step(self, ids: Sequence[int]) -> Tensor:
        """Append a token to each conversation; logits (conversations, vocabulary) of the ones after them."""
        self._reserve(max(self._lengths) + 1)
        places = torch.tensor(self._lengths, device=self._memory.device)
        # What lies behind a shorter conversation is not its own.
        mask = torch.arange(max(self._lengths) + 1, device=places.device) <= places[:, None]
        x = self._llama.embed(torch.tensor(ids, device=places.device))
        x = self._llama.forward_layers(x, places, partial(self._attend, places, mask[:, None, None]))
        self._lengths = [length + 1 for length in self._lengths]
        return self._llama.logits(x)

    def _attend(self, places: Tensor, mask: Tensor, layer: int, query: Tensor, new: Tensor) -> Tensor:
        """See `Attend`. Each token belongs to a conversation of its own."""
        memory = self._memory[layer, :, : len(self)]
        memory[:, torch.arange(len(self)), :, places] = new
        keys, values = memory[..., : mask.shape[-1], :]
        return F.scaled_dot_product_attention(query[:, :, None], keys, values, attn_mask=mask, enable_gqa=True)[:, :, 0]

    def _reserve(self, tokens: int) -> None:
        capacity = self._memory.shape[4]
        if tokens <= capacity:
            return
        shape = list(self._memory.shape)
        shape[4] = tokens + _GROWTH
        self._llama.reserve(shape[4])
        # Of zeros, because what is masked is multiplied by none, and none of what is no number is no number.
        memory = self._memory.new_zeros(shape)
        memory[..., :capacity, :] = self._memory
        self._memory = memory
