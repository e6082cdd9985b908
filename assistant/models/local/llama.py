"""A Llama on the CPU, run by onnxruntime, with a KV cache that is updated in place.

torch launches each of the five hundred small operations of a token from Python, and copies all keys and values for it.
onnxruntime runs a graph of them in one call (`llama_graph`).
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from assistant.models.local.llama_graph import (
    LlamaSizes,
    cache_names,
    rotate,
    states_name,
)
from assistant.models.local.llama_sessions import ADAPTED, HEAD, LAYERS, Sessions, graph_builder, open_all
from assistant.models.local.lora import LoraAdapter

_INITIAL_CAPACITY = 512

Floats = NDArray[np.float32]


class KVBuffer:
    """Keys and values of several sequences, updated in place by a session.

    Attributes:
        data: Keys and values (num_layers, 2, max_batch, num_kv_heads, capacity, head_dim).
    """

    def __init__(self, sizes: LlamaSizes, max_batch: int, capacity: int) -> None:
        self._sizes = sizes
        self._bindings: dict[tuple[Any, int, int | None], Any] = {}
        self.data = self._allocate(max_batch, capacity)

    def reserve(self, tokens: int) -> None:
        """Double the capacity until it holds `tokens` tokens."""
        batch, capacity = self.data.shape[2], self.data.shape[4]
        if tokens <= capacity:
            return
        larger = capacity
        while larger < tokens:
            larger *= 2
        data = self._allocate(batch, larger)
        data[..., :capacity, :] = self.data
        self.data = data
        self._bindings.clear()

    def binding(self, session: Any, batch: int, num_layers: int | None = None) -> Any:
        """Return a binding of `session` to the keys and values of the first `batch` sequences.

        Args:
            session: A session of the layers.
            batch: Number of sequences.
            num_layers: Write the keys and values of so many layers; None for all.
        """
        from onnxruntime import OrtValue

        if (bound := self._bindings.get((session, batch, num_layers))) is None:
            bound = self._bindings[session, batch, num_layers] = session.io_binding()
            for layer, both in enumerate(self.data):
                for (past, present), values in zip(cache_names(layer), both, strict=True):
                    # The same memory as input and output: the new tokens are written behind the others.
                    shared = OrtValue.ortvalue_from_numpy(values[:batch])
                    bound.bind_ortvalue_input(past, shared)
                    if num_layers is None or layer < num_layers:
                        bound.bind_ortvalue_output(present, shared)
        return bound

    def _allocate(self, batch: int, capacity: int) -> Floats:
        sizes = self._sizes
        return np.zeros((sizes.num_layers, 2, batch, sizes.num_kv_heads, capacity, sizes.head_dim), np.float32)


class LlamaDecoder:
    """The decoder of a Llama, with the KV cache of one sequence."""

    length: int
    """Number of tokens in the KV cache. Lower it to crop the cache."""

    def __init__(
        self, sizes: LlamaSizes, embedding: Tensor, sessions: Sessions, *, has_adapter: bool, quantized: bool
    ) -> None:
        """Create a decoder with an empty KV cache.

        Args:
            sizes: Sizes of the model.
            embedding: Embeddings of all tokens (vocab_size, hidden_size).
            sessions: Sessions of its graphs.
            has_adapter: True if there is an adapter that `set_adapter` switches on and off.
            quantized: True if the graphs have int8 weights.
        """
        self.sizes = sizes
        self.embedding = embedding
        self._sessions = sessions
        self._has_adapter = has_adapter
        self._quantized = quantized
        self._head = sessions(HEAD)
        self._reset()

    @classmethod
    def of(
        cls,
        decoder: Any,
        head: Tensor,
        *,
        adapter: LoraAdapter | None = None,
        quantized: bool = False,
        on_layer: Callable[[], None] = lambda: None,
    ) -> "LlamaDecoder":
        """Take the weights from transformers' modules. Arguments and errors are those of `graph_builder`."""
        build = graph_builder(decoder, head, adapter, quantized=quantized, on_layer=on_layer)
        sessions = open_all(build, torch.get_num_threads(), has_adapter=adapter is not None)
        embedding = decoder.embed_tokens.weight.data.clone()
        sizes = LlamaSizes.of(decoder.config)
        return cls(sizes, embedding, sessions, has_adapter=adapter is not None, quantized=quantized)

    def _reset(self) -> None:
        """Allocate an empty KV cache and switch the adapter off."""
        self.length = 0
        self._adapted = False
        self.kv_buffer = KVBuffer(self.sizes, 1, min(_INITIAL_CAPACITY, self.sizes.context_tokens))

    def replica(self) -> "LlamaDecoder":
        """Return a decoder with the same weights and a KV cache of its own, for use on another thread."""
        replica = copy.copy(self)
        replica._reset()  # noqa: SLF001 - of the same class
        return replica

    def set_adapter(self, *, enabled: bool) -> None:
        """Switch the adapter on or off. A change empties the KV cache."""
        adapted = enabled and self._has_adapter
        if adapted is not self._adapted:
            self._adapted = adapted
            self.length = 0

    def embed(self, ids: Tensor) -> Tensor:
        """Return the embeddings (tokens, hidden_size) of token ids (tokens,)."""
        return F.embedding(ids, self.embedding).float()

    def forward(self, x: Tensor) -> Tensor:
        """Append tokens, given by their embeddings (tokens, hidden_size). Return logits (vocab_size,) of the last."""
        start, end = self.length, self.length + len(x)
        self.kv_buffer.reserve(end)
        states = self.run_layers(x[None], np.arange(start, end)[None], _causal_mask(len(x), end), self.kv_buffer)
        self.length = end
        return self.logits(states[0, -1:])[0]

    def score_continuations(self, x: Tensor, lengths: Sequence[int]) -> Tensor:
        """Process several continuations of the cached tokens in one pass, without changing the KV cache.

        Each continuation attends to the cached tokens and to itself only.

        Args:
            x: Embeddings of all continuations, one after the other (tokens, hidden_size).
            lengths: Number of tokens of each.

        Returns:
            Logits (tokens, vocab_size).
        """
        if not len(x):
            return torch.empty(0, 0)
        start = self.length
        self.kv_buffer.reserve(start + len(x))
        positions = np.concatenate([np.arange(start, start + length) for length in lengths])
        mask = _causal_mask(len(x), start + len(x))
        first = 0
        for length in lengths:
            mask[first : first + length, start : start + first] = -np.inf
            first += length
        # `length` is not raised, so the next tokens overwrite theirs.
        return self.logits(self.run_layers(x[None], positions[None], mask, self.kv_buffer)[0])

    def hidden_states(self, x: Tensor, layers: Sequence[int]) -> Tensor:
        """Compute the hidden states of a text by itself, without the adapter and without changing the KV cache.

        Layers after the last one of `layers` are not computed.

        Args:
            x: Embeddings (tokens, hidden_size).
            layers: Layer counts, such as (8, 16): after that many layers.

        Returns:
            Hidden states (len(layers), tokens, hidden_size).
        """
        # A binding does not keep the buffer's memory alive, so a variable does.
        buffer = KVBuffer(self.sizes, 1, len(x))
        positions, mask = np.arange(len(x))[None], _causal_mask(len(x), len(x))
        session = self._sessions(LAYERS)
        binding = buffer.binding(session, 1, max(layers))
        states = _run(session, binding, x[None], positions, mask, layers, is_partial=True)
        rotated = torch.cat(states)
        return rotate(rotated, self.sizes.hidden_size) if self._quantized else rotated

    def run_layers(self, x: Tensor, positions: NDArray[np.int64], mask: Floats, buffer: KVBuffer) -> Tensor:
        """Append tokens to the sequences in `buffer`, and return the last layer's output, of the shape of `x`.

        Args:
            x: Embeddings (batch, tokens, hidden_size).
            positions: Their RoPE positions (batch, tokens).
            mask: Added to the attention scores (tokens, length of the longest sequence).
            buffer: Keys and values of the sequences, with room for the tokens.
        """
        session = self._sessions(ADAPTED if self._adapted else LAYERS)
        binding = buffer.binding(session, len(x))
        (states,) = _run(session, binding, x, positions, mask, (self.sizes.num_layers,))
        return states

    def logits(self, states: Tensor) -> Tensor:
        """Return logits (tokens, vocab_size) for the output of the last layer (tokens, hidden_size)."""
        return torch.from_numpy(self._head.run(None, {"states": states.numpy()})[0])


def _run(
    session: Any,
    binding: Any,
    x: Tensor,
    positions: NDArray[np.int64],
    mask: Floats,
    layers: Sequence[int],
    *,
    is_partial: bool = False,
) -> list[Tensor]:
    """Run a session and return the hidden states, each of the shape of `x`, after so many layers.

    If it `is_partial`, only what the outputs of `binding` and these states depend on is computed.
    """
    from onnxruntime import OrtValue, RunOptions

    total = mask.shape[-1]
    # The last position of each sequence in the buffer, which with several continuations is not that of RoPE.
    last = positions[:, -1] if len(x) > 1 else np.array([total - 1])
    states = [torch.empty_like(x) for _ in layers]
    inputs = {
        "embeddings": x.contiguous().numpy(),
        "last_positions": last.astype(np.int32),
        "total": np.array(total, np.int32),
        "positions": np.ascontiguousarray(positions, np.int64),
        "mask": np.ascontiguousarray(mask[None, None], np.float32),
    }
    for name, value in inputs.items():
        binding.bind_cpu_input(name, value)
    for layer, state in zip(layers, states, strict=True):
        binding.bind_ortvalue_output(states_name(layer), OrtValue.ortvalue_from_numpy(state.numpy()))
    options = RunOptions()
    options.only_execute_path_to_fetches = is_partial
    session.run_with_iobinding(binding, options)
    return states


def _causal_mask(tokens: int, total: int) -> Floats:
    """Return 0 (tokens, total) where the last `tokens` of `total` tokens may attend, and minus infinity elsewhere."""
    return np.triu(np.full((tokens, total), -np.inf, np.float32), total - tokens + 1)
