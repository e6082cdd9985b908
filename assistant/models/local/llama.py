"""A lean Llama: fused linear layers, and keys and values in one block of memory, which moves only to grow.

transformers' Llama spends more time between its matrix products than in them when one token is decoded, and copies
all keys and values for each new token. This one takes its weights out of transformers' modules and does the same
arithmetic. With int8 layers it attends in float64: sums then differ between one call and another by less than anything
after them can see, and as everything else works row by row, a token's result does not depend on how a prompt was cut.
"""

import copy
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from assistant.errors import ModelError

Rows = Callable[[Tensor], Tensor]
"""A linear map of rows: (tokens, inputs) to (tokens, outputs)."""

MakeLinear = Callable[[Tensor, float], Rows]
"""What makes such a map of a weight (outputs, inputs), told the most an input can be in absolute value."""

Attend = Callable[[int, Tensor, Tensor], Tensor]
"""Attention in the layer with that number: from queries (tokens, heads, head size) and the keys and values of the same
tokens (tokens, 2, heads of them, head size), which it remembers, to what they attend to (tokens, heads, head size)."""

_FIRST_CAPACITY = 512
_LORA_SUFFIXES = ("lora_A", "lora_B")


@dataclass(frozen=True)
class LoraAdapter:
    """A low-rank change of some weights (LoRA, Hu et al. 2021): W + alpha/r · B A.

    `tensors` holds `layers.{i}.{self_attn.q_proj|…|mlp.down_proj}.lora_A` (r, inputs) and `.lora_B` (outputs, r).
    """

    tensors: Mapping[str, Tensor]
    alpha: float
    rank: int

    def merged(self, name: str, weight: Tensor) -> Tensor:
        """`weight` of the module `name` with the change added; itself where there is none."""
        down, up = (self.tensors.get(f"{name}.{suffix}") for suffix in _LORA_SUFFIXES)
        if down is None or up is None:
            return weight
        change = (up.float() @ down.float()) * (self.alpha / self.rank)
        return (weight.float() + change.to(weight.device)).to(weight.dtype)

    def check(self, module: nn.Module) -> None:
        """Raise `ModelError` unless every tensor belongs to a linear layer of `module` and has its shape."""
        layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, nn.Linear)}
        for key, tensor in self.tensors.items():
            name, _, suffix = key.rpartition(".")
            layer = layers.get(name)
            shapes = {} if layer is None else {
                "lora_A": (self.rank, layer.in_features), "lora_B": (layer.out_features, self.rank)
            }  # fmt: skip
            if shapes.get(suffix) != tuple(tensor.shape):
                raise ModelError(f"The picture adapter's {key} {tuple(tensor.shape)} fits no layer of this model.")


@dataclass(frozen=True)
class _Layer:
    attention_norm: Tensor
    query_key_value: Rows
    attention_out: Rows
    mlp_norm: Tensor
    gate_up: Rows
    down: Rows


Layers = list[_Layer]
"""The weights of all layers, with or without an adapter."""


def is_plain_llama(decoder: nn.Module) -> bool:
    """Whether `LlamaDecoder` does what transformers' `decoder` does."""
    from transformers import LlamaModel

    if type(decoder) is not LlamaModel:
        return False
    config = decoder.config
    rope = (config.rope_parameters or {}).get("rope_type")
    # Other kinds of rotary embeddings change their frequencies with the length of the prompt.
    constant = rope in {"default", "linear", "llama3"}
    return config.hidden_act == "silu" and not config.attention_bias and not config.mlp_bias and constant


def float_linear(weight: Tensor, bound: float) -> Rows:  # noqa: ARG001 - unquantized, any input is fine
    """The unquantized linear map by `weight` (outputs, inputs)."""
    return lambda rows: F.linear(rows, weight)


class LlamaDecoder:
    """The decoder of a Llama and the keys and values of the tokens it has read, `length` of them.

    Takes the weights away from `decoder` (a transformers `LlamaModel`), which is of no use afterwards. `make_linear`
    makes each linear map out of a weight; `dtype` is that of everything between them, `attention_dtype` another for
    keys, values and attention. Raises `ModelError` if `adapter` does not fit.
    """

    length: int

    def __init__(
        self,
        decoder: Any,
        head: Tensor,
        *,
        make_linear: MakeLinear = float_linear,
        adapter: LoraAdapter | None = None,
        dtype: torch.dtype = torch.float32,
        attention_dtype: torch.dtype | None = None,
        progress: Callable[[], None] = lambda: None,
    ) -> None:
        config = decoder.config
        self.context_tokens: int = config.max_position_embeddings
        self.embedding: Tensor = decoder.embed_tokens.weight.data
        self._width: tuple[int] = (config.hidden_size,)
        self._heads: int = config.num_attention_heads
        self._kv_heads: int = config.num_key_value_heads
        self._head_dim: int = decoder.layers[0].self_attn.head_dim
        self._inner: int = config.intermediate_size
        self._eps: float = config.rms_norm_eps
        self._norm: Tensor = decoder.norm.weight.data.to(dtype)
        self._head = make_linear(head, rms_norm_bound(self._norm))
        self._attention_dtype = attention_dtype or dtype
        self._rotary_emb = decoder.rotary_emb
        if adapter is not None:
            adapter.check(decoder)
        self._plain: Layers = []
        self._adapted: Layers = self._plain if adapter is None else []
        for index in range(len(decoder.layers)):
            layer = decoder.layers[index]
            prefix = f"layers.{index}."
            self._plain.append(_fused(layer, prefix, None, make_linear, dtype))
            if adapter is not None:
                self._adapted.append(_fused(layer, prefix, adapter, make_linear, dtype))
            # Freed at once: both forms of all layers together are the peak of memory otherwise.
            decoder.layers[index] = nn.Identity()
            progress()
        self.start()

    def start(self) -> None:
        """Have memory of its own, with nothing in it."""
        self.length = 0
        self._layers = self._plain
        self._rope_table = self._new_rotation(_FIRST_CAPACITY)
        self._kv_buffer = self._new_memory(_FIRST_CAPACITY)
        """Keys and values, (layers, 2, heads of them, tokens, head size)."""

    def replica(self) -> "LlamaDecoder":
        """A decoder on the same weights, which may be used on another thread at the same time."""
        replica = copy.copy(self)
        replica.start()
        return replica

    @property
    def kv_cache(self) -> Tensor:
        """Keys and values of the tokens it has read, (layers, 2, heads of them, tokens, head size)."""
        return self._kv_buffer[:, :, :, : self.length]

    @property
    def adapted(self) -> bool:
        """Whether the adapter is in use."""
        return self._layers is not self._plain

    def set_adapter(self, *, enabled: bool) -> None:
        """Decode with or without the adapter from here on; changing that forgets every token."""
        layers = self._adapted if enabled else self._plain
        if layers is not self._layers:
            self._layers = layers
            self.length = 0

    def embed(self, ids: Tensor) -> Tensor:
        """Token ids (tokens,) to their embeddings (tokens, width)."""
        return F.embedding(ids, self.embedding).to(self._norm.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Append tokens by their embeddings (tokens, width); logits (vocabulary,) of the one after the last."""
        return self.logits(self._append(x)[-1:])[0]

    def forward_all(self, x: Tensor) -> Tensor:
        """Like `read`; logits (tokens, vocabulary) of what follows each."""
        return self.logits(self._append(x))

    def _append(self, x: Tensor) -> Tensor:
        count, start = x.shape[0], self.length
        end = start + count
        self.reserve(end)
        # One new token may look at everything; of several each only at those before it.
        mask = None if count == 1 else torch.ones(count, end, dtype=torch.bool, device=x.device).tril_(start)
        x = self.forward_layers(x, slice(start, end), partial(self._attend, mask))
        self.length = end
        return x

    def score_continuations(self, x: Tensor, lengths: Sequence[int]) -> Tensor:
        """Read several continuations of what is remembered, side by side, and remember none of them.

        `x` (tokens, width) holds their embeddings one after the other, `lengths` how many tokens each has. Returns the
        logits (tokens, vocabulary) after every token; each sees what is remembered and its own continuation alone.
        """
        count, start = x.shape[0], self.length
        if not count:
            return torch.empty(0, 0, device=x.device)
        self.reserve(start + count)
        own = [torch.ones(length, length, dtype=torch.bool, device=x.device).tril_() for length in lengths]
        mask = torch.cat((torch.ones(count, start, dtype=torch.bool, device=x.device), torch.block_diag(*own)), 1)
        places = torch.cat([torch.arange(start, start + length, device=x.device) for length in lengths])
        return self.logits(self.forward_layers(x, places, partial(self._attend, mask)))

    def hidden_states(self, x: Tensor, depths: Sequence[int]) -> Tensor:
        """Hidden states (depths, tokens, width) of a text after so many layers, by its embeddings (tokens, width).

        It is read alone and without the adapter; what is remembered stays as it is. `depths` ascend; layers beyond the
        last are not computed.
        """
        count = x.shape[0]
        self.reserve(count)
        attend = partial(_attend_alone, torch.ones(count, count, dtype=torch.bool, device=x.device).tril_())
        found: list[Tensor] = []
        for start, end in itertools.pairwise((0, *depths)):
            x = self.forward_layers(x, slice(0, count), attend, self._plain[start:end])
            found.append(x)
        return torch.stack(found)

    def forward_layers(self, x: Tensor, places: slice | Tensor, attend: Attend, layers: Layers | None = None) -> Tensor:
        """Take tokens (tokens, width) at these `places` of their prompts through all layers, or through those given."""
        count = x.shape[0]
        cos, sin = self._rotary(places)
        for index, layer in enumerate(self._layers if layers is None else layers):
            normed = F.rms_norm(x, self._width, layer.attention_norm, self._eps)
            heads = layer.query_key_value(normed).view(count, -1, self._head_dim)
            # The halves of a head change places for the rotation. Values are turned too, by nothing: one write for all.
            swapped = heads.view(count, -1, 2, self._head_dim // 2).flip(2).view_as(heads)
            # Two products and a sum, not one fused call: at the end of a vector some processors round that differently.
            heads = heads * cos + swapped * sin
            new = heads[:, self._heads :].view(count, 2, -1, self._head_dim)
            attended = attend(index, heads[:, : self._heads], new)
            x = x + layer.attention_out(attended.reshape(count, -1).to(x.dtype))
            normed = F.rms_norm(x, self._width, layer.mlp_norm, self._eps)
            gate, up = layer.gate_up(normed).split(self._inner, -1)
            x = x + layer.down(F.silu(gate).mul_(up))
        return x

    def _attend(self, mask: Tensor | None, layer: int, query: Tensor, new: Tensor) -> Tensor:
        """See `Attend`. The tokens follow each other, and `mask` says which of them each may look at.

        Their keys and values are put into the memory after those remembered.
        """
        end = self.length + query.shape[0]
        memory = self._kv_buffer[layer]
        memory[:, :, self.length : end] = new.permute(1, 2, 0, 3)
        keys, values = memory[:, None, :, :end]
        query = query.transpose(0, 1)[None]
        attended = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask, enable_gqa=True)
        return attended[0].transpose(0, 1)

    def logits(self, x: Tensor) -> Tensor:
        """Logits (tokens, vocabulary) from what has come through all layers (tokens, width)."""
        return self._head(F.rms_norm(x, self._width, self._norm, self._eps))

    def reserve(self, tokens: int) -> None:
        """Have room for so many tokens, and places for them."""
        capacity = self._kv_buffer.shape[3]
        if tokens <= capacity:
            return
        while capacity < tokens:
            capacity *= 2
        memory = self._new_memory(capacity)
        memory[:, :, :, : self.length] = self._kv_buffer[:, :, :, : self.length]
        self._kv_buffer = memory
        self._rope_table = self._new_rotation(capacity)

    def _new_memory(self, capacity: int) -> Tensor:
        shape = (len(self._layers), 2, self._kv_heads, capacity, self._head_dim)
        return torch.empty(shape, dtype=self._attention_dtype, device=self.embedding.device)

    def _new_rotation(self, positions: int) -> Tensor:
        """Cosines and sines (2, positions, 1, head size), computed by transformers, so with any scaling it knows.

        The first half of the sines has its sign turned, so that swapped halves can be multiplied as they are.
        """
        places = torch.arange(positions, device=self.embedding.device)[None]
        cos, sin = (table[0].to(self._attention_dtype) for table in self._rotary_emb(self._norm, places))
        sin[:, : self._head_dim // 2].neg_()
        return torch.stack((cos, sin))[:, :, None]

    def _rotary(self, places: slice | Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines for every head of the tokens at these `places`, (tokens, heads, head size) each."""
        cos, sin = self._rope_table[:, places].expand(-1, -1, self._heads + 2 * self._kv_heads, -1).clone()
        values = self._heads + self._kv_heads
        cos[:, values:] = 1
        sin[:, values:] = 0
        return cos, sin


def _attend_alone(mask: Tensor, layer: int, query: Tensor, new: Tensor) -> Tensor:  # noqa: ARG001 - the same in each
    """See `Attend`. The tokens are all that there is, and nothing is remembered of them."""
    keys, values = new.permute(1, 2, 0, 3)[:, None]
    query = query.transpose(0, 1)[None]
    return F.scaled_dot_product_attention(query, keys, values, attn_mask=mask, enable_gqa=True)[0].transpose(0, 1)


def _fused(layer: Any, prefix: str, adapter: LoraAdapter | None, make_linear: MakeLinear, dtype: torch.dtype) -> _Layer:
    def weight(*names: str) -> Tensor:
        weights = [layer.get_submodule(name).weight.data for name in names]
        if adapter is not None:
            weights = [adapter.merged(prefix + name, weight) for name, weight in zip(names, weights, strict=True)]
        return weights[0] if len(weights) == 1 else torch.cat(weights)

    attention_norm, mlp_norm = layer.input_layernorm.weight.data, layer.post_attention_layernorm.weight.data
    query_key_value = weight("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
    value = query_key_value[-layer.self_attn.v_proj.out_features :]
    return _Layer(
        attention_norm.to(dtype),
        make_linear(query_key_value, rms_norm_bound(attention_norm)),
        make_linear(weight("self_attn.o_proj"), _attended_bound(attention_norm, value)),
        mlp_norm.to(dtype),
        make_linear(weight("mlp.gate_proj", "mlp.up_proj"), rms_norm_bound(mlp_norm)),
        make_linear(weight("mlp.down_proj"), math.inf),
    )


def rms_norm_bound(norm: Tensor) -> float:
    """The most that any element of a root-mean-square norm with weights `norm` can be, in absolute value."""
    return math.sqrt(len(norm)) * float(norm.abs().max())


def _attended_bound(norm: Tensor, value: Tensor) -> float:
    """The most that attention can return: a mean of values, each the product of a row of `value` and a normed vector.

    By Cauchy and Schwarz, and a quarter more for what rounding the weights to few bits may add.
    """
    return 1.25 * math.sqrt(len(norm)) * float((value.float() * norm.float()).norm(dim=1).max())
