"""The computation graph of a Llama for onnxruntime: int8 or float32 weights, keys and values updated in place.

Linear layers in int8, each row of activations with a scale of its own:

    x -> largest |x| of the row -> x in 8 bits -> 8 x 8 bit products in 32-bit sums -> scaled back

A few channels of a Llama are a hundred times as large as the others, which would be rounded to almost nothing. So the
quantized graph works in another basis: each block of 64 channels is rotated by a Hadamard matrix, which spreads large
values over the block (the idea of QuaRot, Ashkboos et al. 2024). Nearly all rotations are part of the weights; only the
inner activations of an MLP are rotated as they come. On a prompt of 70 tokens, the mean KL divergence of the bundled
model's next token from that in float32 was 0.064 with rounded activations, 0.006 with rotated ones, and 0.005 with
rounded weights alone.

Milliseconds of one core for the matrix products of the layers of the bundled model, one token / a hundred:

    this                                        10 / 66
    blocks of 64 weights, 8 bits (MatMulNBits)   8 / 143
    the same in 4 bits                           6 / 170
    unsigned weights, which never saturate      11 / 143
    float32                                     26 / 210
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from assistant.models.local.lora import LoraAdapter
from assistant.models.local.onnx_graph import MICROSOFT, Graph

_MAX_ACTIVATION = 127
_ZERO_POINT = 128
"""The byte that stands for zero in activations, which are unsigned."""
_ROTATED_BLOCK = 64
"""Channels that are rotated together. 512 gave a KL divergence that was a tenth smaller."""
EXTRA_POSITIONS = 128
"""Tokens that fit behind a full context: continuations that are scored together."""
_TINY = 1e-20
"""Smallest scale of a row: image tokens without a name are rows of zeros."""


@dataclass(frozen=True)
class LlamaSizes:
    """Sizes of a Llama.

    Attributes:
        num_layers: Number of layers.
        hidden_size: Width of a token.
        num_heads: Query heads.
        num_kv_heads: Key and value heads.
        head_dim: Width of a head.
        intermediate_size: Inner width of an MLP.
        context_tokens: Longest prompt and reply together.
    """

    num_layers: int
    hidden_size: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    intermediate_size: int
    context_tokens: int

    @classmethod
    def of(cls, config: Any) -> "LlamaSizes":
        """Return the sizes in transformers' `LlamaConfig`."""
        return cls(
            num_layers=config.num_hidden_layers,
            hidden_size=config.hidden_size,
            num_heads=config.num_attention_heads,
            num_kv_heads=config.num_key_value_heads,
            head_dim=_head_dim(config),
            intermediate_size=config.intermediate_size,
            context_tokens=config.max_position_embeddings,
        )


def is_plain_llama(config: Any) -> bool:
    """Return True if the graph computes the same as transformers' model of this configuration."""
    from transformers import LlamaConfig

    if type(config) is not LlamaConfig:
        return False
    rope = (config.rope_parameters or {}).get("rope_type")
    # Other RoPE types change their frequencies with the length of the prompt.
    constant = rope in {"default", "linear", "llama3"}
    # What onnxruntime's attention takes.
    if _head_dim(config) % 16:
        return False
    return config.hidden_act == "silu" and not config.attention_bias and not config.mlp_bias and constant


def _head_dim(config: Any) -> int:
    head_dim: int | None = getattr(config, "head_dim", None)
    return head_dim or config.hidden_size // config.num_attention_heads


def states_name(layers: int) -> str:
    """Return the name of the output with the hidden states after so many layers."""
    return f"states.{layers}"


def cache_names(layer: int) -> tuple[tuple[str, str], tuple[str, str]]:
    """Return the names of a layer's keys and values, each as an input and as an output."""
    return (f"past_keys.{layer}", f"keys.{layer}"), (f"past_values.{layer}", f"values.{layer}")


def layers_graph(
    decoder: Any, adapter: LoraAdapter | None, *, quantized: bool, on_layer: Callable[[], None] = lambda: None
) -> bytes:
    """Build the graph of all layers.

    Inputs: `embeddings` (batch, tokens, hidden_size), `last_positions` (batch,) the index of each sequence's last
    token, `total` the length of the longest sequence, `positions` (batch, tokens), `mask` (1, 1, tokens, total) added
    to attention scores, and the KV cache. Outputs: hidden states after each layer, and the KV cache.

    Args:
        decoder: Transformers' `LlamaModel`.
        adapter: An adapter to merge into the weights.
        quantized: True for int8.
        on_layer: Called after each layer.
    """
    sizes = LlamaSizes.of(decoder.config)
    builder = _Builder(decoder.config.rms_norm_eps, sizes.hidden_size, quantized=quantized)
    graph = builder.graph
    graph.add_input("embeddings", "float32", ("batch", "tokens", sizes.hidden_size))
    graph.add_input("last_positions", "int32", ("batch",))
    graph.add_input("total", "int32", ())
    graph.add_input("positions", "int64", ("batch", "tokens"))
    graph.add_input("mask", "float32", (1, 1, "tokens", "total"))
    rotary = [
        graph.add_constant(name, table) for name, table in zip(("cos", "sin"), _rope_tables(decoder), strict=True)
    ]
    x = builder.rotate("embeddings", sizes.hidden_size)
    for index, layer in enumerate(decoder.layers):
        weights = _LayerWeights(layer, f"layers.{index}.", adapter)
        (past_keys, keys), (past_values, values) = cache_names(index)
        for past, present in ((past_keys, keys), (past_values, values)):
            graph.add_input(past, "float32", ("batch", sizes.num_kv_heads, "capacity", sizes.head_dim))
            graph.add_output(present, "float32", ("batch", sizes.num_kv_heads, "capacity", sizes.head_dim))
        normed = builder.rms_norm(x)
        attention_norm, mlp_norm = layer.input_layernorm.weight.data, layer.post_attention_layernorm.weight.data
        value = builder.rotate_outputs(weights.get("self_attn.v_proj"), sizes.head_dim)
        qkv = torch.cat((weights.get("self_attn.q_proj", "self_attn.k_proj"), value)) * attention_norm
        attended = graph.add_node(
            "GroupQueryAttention",
            [
                builder.linear(normed, builder.rotate_inputs(qkv, sizes.hidden_size)),
                *("", "", past_keys, past_values, "last_positions", "total", *rotary, "positions", "mask"),
            ],
            *(builder.new_name(), keys, values),
            domain=MICROSOFT,
            num_heads=sizes.num_heads,
            kv_num_heads=sizes.num_kv_heads,
            do_rotary=1,
        )
        weight = builder.rotate_inputs(weights.get("self_attn.o_proj"), sizes.head_dim)
        x = builder.add(x, builder.linear(attended, builder.rotate_outputs(weight, sizes.hidden_size)))
        weight = weights.get("mlp.gate_proj", "mlp.up_proj") * mlp_norm
        inner = builder.gated(builder.linear(builder.rms_norm(x), builder.rotate_inputs(weight, sizes.hidden_size)))
        weight = builder.rotate_inputs(weights.get("mlp.down_proj"), sizes.intermediate_size)
        inner = builder.rotate(inner, sizes.intermediate_size)
        down = builder.linear(inner, builder.rotate_outputs(weight, sizes.hidden_size))
        x = builder.add(x, down, states_name(index + 1))
        graph.add_output(x, "float32", ("batch", "tokens", sizes.hidden_size))
        on_layer()
    return graph.to_bytes()


def head_graph(decoder: Any, head: Tensor, *, quantized: bool) -> bytes:
    """Build the graph from the last layer's output, `states` (tokens, width), to `logits` (tokens, vocab_size)."""
    hidden_size = head.shape[1]
    builder = _Builder(decoder.config.rms_norm_eps, hidden_size, quantized=quantized)
    builder.graph.add_input("states", "float32", ("tokens", hidden_size))
    weight = builder.rotate_inputs(head.float() * decoder.norm.weight.data, hidden_size)
    builder.linear(builder.rms_norm("states"), weight, "logits")
    builder.graph.add_output("logits", "float32", ("tokens", head.shape[0]))
    return builder.graph.to_bytes()


class _LayerWeights:
    """The weights of a transformers' layer, with an adapter merged into them."""

    def __init__(self, layer: Any, prefix: str, adapter: LoraAdapter | None) -> None:
        self._layer, self._prefix, self._adapter = layer, prefix, adapter

    def get(self, *names: str) -> Tensor:
        """Return the weights of some linear layers, one above the other (out_features, in_features)."""
        weights = [self._layer.get_submodule(name).weight.data.float() for name in names]
        if self._adapter is not None:
            named = zip(names, weights, strict=True)
            weights = [self._adapter.merge(self._prefix + name, weight) for name, weight in named]
        return torch.cat(weights)


class _Builder:
    """Adds the operations of a Llama to a graph. Without quantization, rotations do nothing."""

    def __init__(self, eps: float, hidden_size: int, *, quantized: bool) -> None:
        self.graph = Graph()
        self._eps = eps
        self._quantized = quantized
        self._names = 0
        self._ones = self.graph.add_constant("ones", np.ones(hidden_size, np.float32))

    def new_name(self) -> str:
        """Return a name that no other value has."""
        self._names += 1
        return f"value.{self._names}"

    def rms_norm(self, x: str) -> str:
        """Normalize `x`; the norm's weights are part of the linear layer that follows."""
        operator = "SimplifiedLayerNormalization"
        return self.graph.add_node(operator, [x, self._ones], self.new_name(), axis=-1, epsilon=self._eps)

    def add(self, x: str, y: str, output: str | None = None) -> str:
        """Add two values."""
        return self.graph.add_node("Add", [x, y], output or self.new_name())

    def gated(self, x: str) -> str:
        """Multiply the second half of `x` by SiLU of the first."""
        gate, up = self.new_name(), self.new_name()
        self.graph.add_node("Split", [x], gate, up, axis=-1, num_outputs=2)
        activated = self.graph.add_node("QuickGelu", [gate], self.new_name(), domain=MICROSOFT, alpha=1.0)
        return self.graph.add_node("Mul", [activated, up], self.new_name())

    def rotate(self, x: str, width: int) -> str:
        """Rotate the channels of `x` (batch, tokens, width)."""
        if not self._quantized:
            return x
        block = _block(width)
        rotation = self.graph.add_constant(f"rotation.{block}", hadamard(block).numpy())
        in_blocks = self.graph.add_constant(f"in_blocks.{block}", np.array([0, 0, -1, block], np.int64))
        flat = self.graph.add_constant("flat", np.array([0, 0, -1], np.int64))
        blocks = self.graph.add_node("Reshape", [x, in_blocks], self.new_name())
        rotated = self.graph.add_node("MatMul", [blocks, rotation], self.new_name())
        return self.graph.add_node("Reshape", [rotated, flat], self.new_name())

    def rotate_inputs(self, weight: Tensor, width: int) -> Tensor:
        """Make a weight (out_features, in_features) take inputs that are rotated as channels of `width` are."""
        return rotate(weight, width) if self._quantized else weight

    def rotate_outputs(self, weight: Tensor, width: int) -> Tensor:
        """Make a weight (out_features, in_features) rotate its outputs as channels of `width` are."""
        return rotate(weight.T, width).T if self._quantized else weight

    def linear(self, x: str, weight: Tensor, output: str | None = None) -> str:
        """Multiply `x` by the transpose of `weight` (out_features, in_features)."""
        output = output or self.new_name()
        if not self._quantized:
            transposed = self.graph.add_constant(self.new_name(), weight.T.contiguous().numpy())
            return self.graph.add_node("MatMul", [x, transposed], output)
        graph = self.graph
        quantized, scale = quantize(weight)
        axis = graph.add_constant("last_axis", np.array([-1], np.int64))
        largest = graph.add_node("ReduceMax", [graph.add_node("Abs", [x], self.new_name()), axis], self.new_name())
        tiny = graph.add_constant("tiny", np.array(_TINY, np.float32))
        largest = graph.add_node("Max", [largest, tiny], self.new_name())
        scaled = graph.add_node("Div", [x, largest], self.new_name())
        step = graph.add_constant("step", np.array(1 / _MAX_ACTIVATION, np.float32))
        zero = graph.add_constant("zero", np.array(_ZERO_POINT, np.uint8))
        bytes_ = graph.add_node("QuantizeLinear", [scaled, step, zero], self.new_name())
        operands = [
            bytes_,
            graph.add_constant(self.new_name(), quantized),
            step,
            graph.add_constant(self.new_name(), scale),
            zero,
        ]
        product = graph.add_node("MatMulIntegerToFloat", operands, self.new_name(), domain=MICROSOFT)
        return graph.add_node("Mul", [product, largest], output)


def quantize(weight: Tensor) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Round a weight (out_features, in_features) to int8, each row by its own scale.

    Returns:
        The weight transposed (in_features, out_features), and the scale of each output (out_features,).
    """
    scale = (weight.abs().amax(1) / max_exact_weight()).clamp_min(_TINY)
    rounded = (weight / scale[:, None]).round_().to(torch.int8)
    return rounded.T.contiguous().numpy(), scale.numpy()


def rotate(x: Tensor, width: int) -> Tensor:
    """Rotate blocks of channels (..., channels), as many as divide `width`. Twice gives `x` again."""
    block = _block(width)
    return (x.reshape(*x.shape[:-1], -1, block) @ hadamard(block)).reshape(x.shape)


@cache
def hadamard(size: int) -> Tensor:
    """Return the symmetric orthogonal matrix (size, size) of plus and minus 1 / sqrt(size); `size` is a power of 2."""
    matrix = torch.ones(1, 1)
    while len(matrix) < size:
        matrix = torch.cat((torch.cat((matrix, matrix), 1), torch.cat((matrix, -matrix), 1)))
    return matrix / math.sqrt(size)


def _block(width: int) -> int:
    """Return the largest power of 2 up to `_ROTATED_BLOCK` that divides `width`."""
    return min(width & -width, _ROTATED_BLOCK)


def open_session(graph: bytes, num_threads: int) -> Any:
    """Return an onnxruntime session that runs `graph` on so many threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    # A waiting thread sleeps. Spinning takes the core from others: from the model's own threads on a busy machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Errors only: they are raised as well.
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    # Kept for starting again with other providers, and as large as the weights.
    session._model_bytes = None  # noqa: SLF001 - has no public name
    return session


@cache
def max_exact_weight() -> int:
    """Return the largest absolute int8 weight whose products this processor adds without saturation.

    127 where products are summed in 32 bits (VNNI, AMX, ARM). Older processors add pairs of products in 16 bits, which
    saturate; 7-bit weights (63) avoid it. Measured with the worst case instead of deduced from a name.
    """
    in_features, out_features = 256, 32
    bytes_ = np.full((2, in_features), [[0], [255]], np.uint8)
    signs = np.where(np.arange(out_features) % 2, -1, 1)
    weight = np.broadcast_to(127 * signs, (in_features, out_features)).astype(np.int8)
    graph = Graph()
    graph.add_input("bytes", "uint8", (2, in_features))
    zero = graph.add_constant("zero", np.array(_ZERO_POINT, np.uint8))
    graph.add_node("MatMulInteger", ["bytes", graph.add_constant("weight", weight), zero], "sums")
    graph.add_output("sums", "int32", (2, out_features))
    (sums,) = open_session(graph.to_bytes(), 1).run(None, {"bytes": bytes_})
    expected = (bytes_.astype(np.int32) - _ZERO_POINT) @ weight.astype(np.int32)
    return 127 if np.array_equal(sums, expected) else 63


def _rope_tables(decoder: Any) -> Sequence[NDArray[np.float32]]:
    """Compute cosines and sines (positions, head_dim / 2) by transformers, with whatever scaling it applies."""
    positions = torch.arange(decoder.config.max_position_embeddings + EXTRA_POSITIONS)[None]
    tables = decoder.rotary_emb(decoder.norm.weight.data.float(), positions)
    # The second half repeats the first.
    return [table[0, :, : table.shape[-1] // 2].contiguous().numpy() for table in tables]
