"""A minimal Llama: fused linear layers, and one KV buffer for all layers that is reallocated only to grow.

When one token is decoded, transformers' Llama spends more time between its matrix products than in them, and copies all
keys and values for each new token. This one takes the weights from transformers' modules and does the same arithmetic.

With int8 layers it computes attention in float64. Sums taken in another order then differ by about 1e-16, which
rounding to float32 removes for all but about one value in 10^9. Everything else works row by row. Up to that exception,
a token's logits do not depend on how a prompt was cut into chunks: 600 tokens cut in five ways gave the same logits bit
for bit, on one thread and two, with torch's kernels for AVX-512, AVX2 and neither (with oneDNN's kernels for AVX2, 60
tokens were tried).
"""

import copy
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from assistant.models.local.lora import LoraAdapter

LinearFn = Callable[[Tensor], Tensor]
"""A linear map: (tokens, in_features) to (tokens, out_features)."""

MakeLinear = Callable[[Tensor, float], LinearFn]
"""Build a `LinearFn` from a weight (out_features, in_features) and a bound on the absolute value of its inputs."""

AttentionFn = Callable[[int, Tensor, Tensor], Tensor]
"""Attention of one layer, given by its index.

Takes the queries (tokens, num_heads, head_dim) and the keys and values (tokens, 2, num_kv_heads, head_dim) of the same
tokens, which it may store, and returns the attention output (tokens, num_heads, head_dim).
"""

_INITIAL_CAPACITY = 512


@dataclass(frozen=True)
class _Layer:
    attention_norm: Tensor
    qkv: LinearFn
    attention_out: LinearFn
    mlp_norm: Tensor
    gate_up: LinearFn
    down: LinearFn


Layers = list[_Layer]
"""The weights of all layers, with or without an adapter."""


def is_plain_llama(decoder: nn.Module) -> bool:
    """Return True if `LlamaDecoder` computes the same as transformers' `decoder`."""
    from transformers import LlamaModel

    if type(decoder) is not LlamaModel:
        return False
    config = decoder.config
    rope = (config.rope_parameters or {}).get("rope_type")
    # Other RoPE types change their frequencies with the length of the prompt.
    constant = rope in {"default", "linear", "llama3"}
    return config.hidden_act == "silu" and not config.attention_bias and not config.mlp_bias and constant


def float_linear(weight: Tensor, bound: float) -> LinearFn:  # noqa: ARG001 - unquantized, any input is fine
    """Build the unquantized linear map of `weight` (out_features, in_features)."""
    return lambda x: F.linear(x, weight)


class LlamaDecoder:
    """The decoder of a Llama, with the KV cache of one sequence.

    More than ten attributes (sizes, weights, cache): all of them are read for every token. The seventh parameter of the
    constructor only reports progress.
    """

    length: int
    """Number of tokens in the KV cache. Lower it to crop the cache."""

    def __init__(
        self,
        decoder: Any,
        head: Tensor,
        *,
        make_linear: MakeLinear = float_linear,
        adapter: LoraAdapter | None = None,
        dtype: torch.dtype = torch.float32,
        attention_dtype: torch.dtype | None = None,
        on_layer: Callable[[], None] | None = None,
    ) -> None:
        """Take the weights from transformers' modules.

        Args:
            decoder: A `LlamaModel`. Its layers are replaced one by one as they are taken over; it is unusable after.
            head: Weight of the output layer (vocab_size, hidden_size).
            make_linear: Builds each linear map from its weight.
            adapter: A LoRA adapter that `set_adapter` switches on and off.
            dtype: Type of the activations.
            attention_dtype: Type of keys, values and attention; None for `dtype`.
            on_layer: Called after each layer.

        Raises:
            ModelError: `adapter` does not fit the model.
        """
        config = decoder.config
        self.context_tokens: int = config.max_position_embeddings
        self.embedding: Tensor = decoder.embed_tokens.weight.data
        self._hidden_shape: tuple[int] = (config.hidden_size,)
        self._num_heads: int = config.num_attention_heads
        self._num_kv_heads: int = config.num_key_value_heads
        self._head_dim: int = decoder.layers[0].self_attn.head_dim
        self._intermediate_size: int = config.intermediate_size
        self._eps: float = config.rms_norm_eps
        self._norm: Tensor = decoder.norm.weight.data.to(dtype)
        self._head = make_linear(head, rms_norm_bound(self._norm))
        self._attention_dtype = attention_dtype or dtype
        self._rotary_emb = decoder.rotary_emb
        if adapter is not None:
            adapter.validate(decoder)
        self._base_layers: Layers = []
        self._adapted_layers: Layers = self._base_layers if adapter is None else []
        for index in range(len(decoder.layers)):
            layer = decoder.layers[index]
            prefix = f"layers.{index}."
            self._base_layers.append(_fuse_layer(layer, prefix, None, make_linear, dtype))
            if adapter is not None:
                self._adapted_layers.append(_fuse_layer(layer, prefix, adapter, make_linear, dtype))
            # Freed at once: otherwise peak memory holds both forms of every layer.
            decoder.layers[index] = nn.Identity()
            if on_layer is not None:
                on_layer()
        self._reset()

    def _reset(self) -> None:
        """Allocate an empty KV buffer (num_layers, 2, num_kv_heads, capacity, head_dim) and switch the adapter off."""
        self.length = 0
        self._layers = self._base_layers
        self._rope_table = self._build_rope_table(_INITIAL_CAPACITY)
        self._kv_buffer = self._allocate(_INITIAL_CAPACITY)

    def replica(self) -> "LlamaDecoder":
        """Return a decoder with the same weights and a KV cache of its own, for use on another thread."""
        replica = copy.copy(self)
        replica._reset()  # noqa: SLF001 - of the same class
        return replica

    @property
    def kv_cache(self) -> Tensor:
        """Keys and values of the processed tokens (num_layers, 2, num_kv_heads, length, head_dim)."""
        return self._kv_buffer[:, :, :, : self.length]

    def set_adapter(self, *, enabled: bool) -> None:
        """Switch the adapter on or off. A change empties the KV cache."""
        layers = self._adapted_layers if enabled else self._base_layers
        if layers is not self._layers:
            self._layers = layers
            self.length = 0

    def embed(self, ids: Tensor) -> Tensor:
        """Return the embeddings (tokens, hidden_size) of token ids (tokens,)."""
        return F.embedding(ids, self.embedding).to(self._norm.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Append tokens, given by their embeddings (tokens, hidden_size). Return logits (vocab_size,) of the last."""
        return self.logits(self._append(x)[-1:])[0]

    def forward_all(self, x: Tensor) -> Tensor:
        """Append tokens, given by their embeddings (tokens, hidden_size). Return logits (tokens, vocab_size)."""
        return self.logits(self._append(x))

    def _append(self, x: Tensor) -> Tensor:
        q_len, start = x.shape[0], self.length
        kv_len = start + q_len
        self.reserve(kv_len)
        # A single new token attends to everything; of several, each only to those before it.
        mask = None if q_len == 1 else torch.ones(q_len, kv_len, dtype=torch.bool, device=x.device).tril_(start)
        x = self.forward_layers(x, slice(start, kv_len), partial(self._attend, mask))
        self.length = kv_len
        return x

    def score_continuations(self, x: Tensor, lengths: Sequence[int]) -> Tensor:
        """Process several continuations of the cached tokens in one pass, without changing the KV cache.

        Each continuation attends to the cached tokens and to itself only.

        Args:
            x: Embeddings of all continuations, one after the other (tokens, hidden_size).
            lengths: Number of tokens of each.

        Returns:
            Logits (tokens, vocab_size).
        """
        q_len, start = x.shape[0], self.length
        if not q_len:
            return torch.empty(0, 0, device=x.device)
        self.reserve(start + q_len)
        own = [torch.ones(length, length, dtype=torch.bool, device=x.device).tril_() for length in lengths]
        mask = torch.cat((torch.ones(q_len, start, dtype=torch.bool, device=x.device), torch.block_diag(*own)), 1)
        positions = torch.cat([torch.arange(start, start + length, device=x.device) for length in lengths])
        # `length` is not raised, so the next tokens overwrite theirs.
        return self.logits(self.forward_layers(x, positions, partial(self._attend, mask)))

    def hidden_states(self, x: Tensor, layers: Sequence[int]) -> Tensor:
        """Compute the hidden states of a text by itself, without the adapter and without changing the KV cache.

        Args:
            x: Embeddings (tokens, hidden_size).
            layers: Layer counts in ascending order, such as (8, 16): after that many layers. Later ones are skipped.

        Returns:
            Hidden states (len(layers), tokens, hidden_size).
        """
        q_len = x.shape[0]
        self.reserve(q_len)
        attend = partial(_attend_uncached, torch.ones(q_len, q_len, dtype=torch.bool, device=x.device).tril_())
        states: list[Tensor] = []
        for start, end in itertools.pairwise((0, *layers)):
            x = self.forward_layers(x, slice(0, q_len), attend, self._base_layers[start:end])
            states.append(x)
        return torch.stack(states)

    def forward_layers(
        self, x: Tensor, positions: slice | Tensor, attend: AttentionFn, layers: Layers | None = None
    ) -> Tensor:
        """Run tokens (tokens, hidden_size) at these RoPE positions through `layers`, by default all of them."""
        q_len = x.shape[0]
        cos, sin = self._rotary(positions)
        for index, layer in enumerate(self._layers if layers is None else layers):
            normed = F.rms_norm(x, self._hidden_shape, layer.attention_norm, self._eps)
            heads = layer.qkv(normed).view(q_len, -1, self._head_dim)
            # RoPE on queries, keys and values at once: values get cos 1 and sin 0, which saves splitting them off.
            swapped = heads.view(q_len, -1, 2, self._head_dim // 2).flip(2).view_as(heads)
            # Two products and a sum, not one fused call: some processors round that differently at a vector's end.
            heads = heads * cos + swapped * sin
            new_kv = heads[:, self._num_heads :].view(q_len, 2, -1, self._head_dim)
            attended = attend(index, heads[:, : self._num_heads], new_kv)
            x = x + layer.attention_out(attended.reshape(q_len, -1).to(x.dtype))
            normed = F.rms_norm(x, self._hidden_shape, layer.mlp_norm, self._eps)
            gate, up = layer.gate_up(normed).split(self._intermediate_size, -1)
            x = x + layer.down(F.silu(gate).mul_(up))
        return x

    def _attend(self, mask: Tensor | None, layer: int, query: Tensor, new_kv: Tensor) -> Tensor:
        """Store the new keys and values behind the cached ones and attend to all (an `AttentionFn`).

        `mask` (q_len, kv_len) is True where a token may attend; None for everywhere.
        """
        kv_len = self.length + query.shape[0]
        buffer = self._kv_buffer[layer]
        buffer[:, :, self.length : kv_len] = new_kv.permute(1, 2, 0, 3)
        keys, values = buffer[:, None, :, :kv_len]
        query = query.transpose(0, 1)[None]
        attended = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask, enable_gqa=True)
        return attended[0].transpose(0, 1)

    def logits(self, x: Tensor) -> Tensor:
        """Return logits (tokens, vocab_size) for the output of the last layer (tokens, hidden_size)."""
        return self._head(F.rms_norm(x, self._hidden_shape, self._norm, self._eps))

    def reserve(self, tokens: int) -> None:
        """Grow the KV buffer and the RoPE table to hold at least `tokens` tokens."""
        capacity = self._kv_buffer.shape[3]
        if tokens <= capacity:
            return
        while capacity < tokens:
            capacity *= 2
        buffer = self._allocate(capacity)
        buffer[:, :, :, : self.length] = self._kv_buffer[:, :, :, : self.length]
        self._kv_buffer = buffer
        self._rope_table = self._build_rope_table(capacity)

    def _allocate(self, capacity: int) -> Tensor:
        shape = (len(self._layers), 2, self._num_kv_heads, capacity, self._head_dim)
        return torch.empty(shape, dtype=self._attention_dtype, device=self.embedding.device)

    def _build_rope_table(self, positions: int) -> Tensor:
        """Compute cosines and sines (2, positions, 1, head_dim) by transformers, with whatever scaling it applies.

        The first half of the sines is negated, so that they multiply heads with swapped halves directly.
        """
        indices = torch.arange(positions, device=self.embedding.device)[None]
        cos, sin = (table[0].to(self._attention_dtype) for table in self._rotary_emb(self._norm, indices))
        sin[:, : self._head_dim // 2].neg_()
        return torch.stack((cos, sin))[:, :, None]

    def _rotary(self, positions: slice | Tensor) -> tuple[Tensor, Tensor]:
        """Look up cosines and sines for all query, key and value heads, (tokens, heads, head_dim) each."""
        cos, sin = self._rope_table[:, positions].expand(-1, -1, self._num_heads + 2 * self._num_kv_heads, -1).clone()
        first_value = self._num_heads + self._num_kv_heads
        cos[:, first_value:] = 1
        sin[:, first_value:] = 0
        return cos, sin


def _attend_uncached(mask: Tensor, layer: int, query: Tensor, new_kv: Tensor) -> Tensor:  # noqa: ARG001 - the same in each
    """Attend to the new tokens only and store nothing (an `AttentionFn`)."""
    keys, values = new_kv.permute(1, 2, 0, 3)[:, None]
    query = query.transpose(0, 1)[None]
    return F.scaled_dot_product_attention(query, keys, values, attn_mask=mask, enable_gqa=True)[0].transpose(0, 1)


def _fuse_layer(
    layer: Any, prefix: str, adapter: LoraAdapter | None, make_linear: MakeLinear, dtype: torch.dtype
) -> _Layer:
    def weight(*names: str) -> Tensor:
        weights = [layer.get_submodule(name).weight.data for name in names]
        if adapter is not None:
            weights = [adapter.merge(prefix + name, weight) for name, weight in zip(names, weights, strict=True)]
        return weights[0] if len(weights) == 1 else torch.cat(weights)

    attention_norm, mlp_norm = layer.input_layernorm.weight.data, layer.post_attention_layernorm.weight.data
    qkv = weight("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
    value = qkv[-layer.self_attn.v_proj.out_features :]
    return _Layer(
        attention_norm.to(dtype),
        make_linear(qkv, rms_norm_bound(attention_norm)),
        make_linear(weight("self_attn.o_proj"), _attention_bound(attention_norm, value)),
        mlp_norm.to(dtype),
        make_linear(weight("mlp.gate_proj", "mlp.up_proj"), rms_norm_bound(mlp_norm)),
        make_linear(weight("mlp.down_proj"), math.inf),
    )


def rms_norm_bound(norm: Tensor) -> float:
    """Bound the absolute value of any output element of an RMS norm with weight `norm` (hidden_size,)."""
    return math.sqrt(len(norm)) * float(norm.abs().max())


def _attention_bound(norm: Tensor, value: Tensor) -> float:
    """Bound the absolute value of any attention output.

    It is a mean of values, each the product of a row of `value` and a normed vector (Cauchy-Schwarz); a quarter more
    covers what rounding the weights to few bits may add.
    """
    return 1.25 * math.sqrt(len(norm)) * float((value.float() * norm.float()).norm(dim=1).max())
