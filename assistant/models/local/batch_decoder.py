"""Batched decoding with a `LlamaDecoder`: one token of every sequence per step.

Each step reads every weight once, for one sequence or for eight, so that a batch shares the cost.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from assistant.models.local.llama import LlamaDecoder

# Tokens allocated beyond those needed now: about one caption.
_GROWTH = 64


class BatchDecoder:
    """Decodes several sequences at once. The decoder prefills each one, then `add` copies its KV cache here."""

    def __init__(self, llama: LlamaDecoder, batch_size: int) -> None:
        """Create an empty batch for up to `batch_size` sequences; its KV buffer is freed with this object."""
        self._llama = llama
        self._lengths: list[int] = []
        # (num_layers, 2, batch_size, num_kv_heads, capacity, head_dim); capacity 0 for now.
        self._kv_buffer = llama.kv_cache[:, :, None, :, :0].expand(-1, -1, batch_size, -1, -1, -1)

    def __len__(self) -> int:
        return len(self._lengths)

    def add(self) -> None:
        """Append the sequence that is in the decoder's KV cache."""
        length = self._llama.length
        self._reserve(length + 1)
        self._kv_buffer[:, :, len(self), :, :length] = self._llama.kv_cache
        self._lengths.append(length)

    def remove(self, index: int) -> None:
        """Remove the sequence at `index`; the last one moves there."""
        last = len(self) - 1
        length = self._lengths[last]
        if index != last:
            self._kv_buffer[:, :, index, :, :length] = self._kv_buffer[:, :, last, :, :length]
            self._lengths[index] = length
        del self._lengths[last]

    def step(self, ids: Sequence[int]) -> Tensor:
        """Append one token id to each sequence. Return logits (batch, vocab_size) after it."""
        kv_len = max(self._lengths) + 1
        self._reserve(kv_len)
        positions = torch.tensor(self._lengths, device=self._kv_buffer.device)
        # Behind a shorter sequence lies padding.
        mask = torch.arange(kv_len, device=positions.device) <= positions[:, None]
        x = self._llama.embed(torch.tensor(ids, device=positions.device))
        x = self._llama.forward_layers(x, positions, partial(self._attend, positions, mask[:, None, None]))
        self._lengths = [length + 1 for length in self._lengths]
        return self._llama.logits(x)

    def _attend(self, positions: Tensor, mask: Tensor, layer: int, query: Tensor, new_kv: Tensor) -> Tensor:
        """Store and attend (an `AttentionFn`), where each token belongs to a sequence of its own."""
        buffer = self._kv_buffer[layer, :, : len(self)]
        buffer[:, torch.arange(len(self)), :, positions] = new_kv
        keys, values = buffer[..., : mask.shape[-1], :]
        return F.scaled_dot_product_attention(query[:, :, None], keys, values, attn_mask=mask, enable_gqa=True)[:, :, 0]

    def _reserve(self, tokens: int) -> None:
        capacity = self._kv_buffer.shape[4]
        if tokens <= capacity:
            return
        shape = list(self._kv_buffer.shape)
        shape[4] = tokens + _GROWTH
        self._llama.reserve(shape[4])
        # Zero-filled: masked positions get weight 0, and 0 x NaN is NaN.
        buffer = self._kv_buffer.new_zeros(shape)
        buffer[..., :capacity, :] = self._kv_buffer
        self._kv_buffer = buffer
