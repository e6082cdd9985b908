"""Batched decoding with a `LlamaDecoder`: one token of every sequence per step.

Each step reads every weight once, for one sequence or for eight, so that a batch shares the cost.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from assistant.models.local.llama import KVBuffer, LlamaDecoder

# Tokens for which there is room at first: a prompt with an image, and a caption.
_INITIAL_CAPACITY = 256


class BatchDecoder:
    """Decodes several sequences at once. The decoder prefills each one, then `add` copies its KV cache here."""

    def __init__(self, llama: LlamaDecoder, batch_size: int) -> None:
        """Create an empty batch for up to `batch_size` sequences; its KV buffer is freed with this object."""
        self._llama = llama
        self._lengths: list[int] = []
        self._buffer = KVBuffer(llama.sizes, batch_size, _INITIAL_CAPACITY)

    def __len__(self) -> int:
        return len(self._lengths)

    def add(self) -> None:
        """Append the sequence that is in the decoder's KV cache."""
        length = self._llama.length
        self._buffer.reserve(length + 1)
        self._buffer.data[:, :, len(self), :, :length] = self._llama.kv_buffer.data[:, :, 0, :, :length]
        self._lengths.append(length)

    def remove(self, index: int) -> None:
        """Remove the sequence at `index`; the last one moves there."""
        last = len(self) - 1
        length = self._lengths[last]
        if index != last:
            self._buffer.data[:, :, index, :, :length] = self._buffer.data[:, :, last, :, :length]
            self._lengths[index] = length
        del self._lengths[last]

    def step(self, ids: Sequence[int]) -> Tensor:
        """Append one token id to each sequence. Return logits (batch, vocab_size) after it."""
        total = max(self._lengths) + 1
        self._buffer.reserve(total)
        x = self._llama.embed(torch.tensor(ids))[:, None]
        # A shorter sequence is masked by its position.
        mask = np.zeros((1, total), np.float32)
        states = self._llama.run_layers(x, np.array(self._lengths)[:, None], mask, self._buffer)
        self._lengths = [length + 1 for length in self._lengths]
        return self._llama.logits(states[:, 0])
