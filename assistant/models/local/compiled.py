"""Decoding with static shapes: compiled once at load, and on a GPU captured as CUDA graphs.

    prefill      transformers' own code, which writes keys and values into blocks of memory that never move
    each token   the same operations on the same blocks; only the token id and its position differ

Without it, transformers launches a few thousand small kernels from Python for each token, which takes longer than the
kernels run. Here the compiler fuses them, and one CUDA graph launches them all. Attention reads a window of the blocks:
a power of two that covers all tokens so far. The compiler treats the window's size as unknown, so that one compilation
serves every size; each size has its own CUDA graph, captured on first use.

Blocks may hold stale data beyond the cache's length. The mask hides it and later tokens overwrite it, so that cropping
the cache only changes one number.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface, Cache
from transformers.cache_utils import get_layer_types_and_kwargs
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from assistant.models.memory import DEFAULT_CONTEXT

_ATTENTION = "parley_grouped"
_MIN_WINDOW = 512
# Calls before a graph is captured: libraries choose their kernels and allocate workspaces on the first.
_WARMUP_CALLS = 2
# Extra positions that no window reaches: a window as long as its block would need no slicing and be compiled apart.
_PADDING = 8


def is_supported(model: Any) -> bool:
    """Return True if transformers' `model` traces to one graph and has only full-attention layers."""
    layer_types, _ = get_layer_types_and_kwargs(model.config.get_text_config(decoder=True))
    attention = model.get_decoder().config._attn_implementation  # noqa: SLF001 - it can be read nowhere else
    traceable = bool(getattr(model, "_can_compile_fullgraph", False))
    return traceable and attention == "sdpa" and set(layer_types) == {"full_attention"}


class StaticKVCache(Cache):
    """KV cache in blocks of fixed capacity, which doubles when they are full. transformers can prefill into it.

    Attributes:
        length: Number of tokens in the cache.
        capacity: Number of tokens that fit into the blocks.
        max_capacity: Number of tokens for which there is memory.
        reallocations: How often a block was replaced. Pointers into blocks are stale after that.
        keys: One block (1, num_kv_heads, capacity + padding, head_dim) per layer.
        values: As `keys`.
    """

    def __init__(self, shapes: Sequence[tuple[int, int]], capacity: int, dtype: torch.dtype, device: Any) -> None:
        """Allocate blocks; `shapes` holds (num_kv_heads, head_dim) of each layer."""
        super().__init__(layers=[])
        self.length = 0
        self.capacity = capacity
        self.max_capacity = 2**31
        self.reallocations = 0
        self.keys, self.values = (
            [
                _static_block(torch.zeros(1, heads, capacity + _PADDING, size, dtype=dtype, device=device))
                for heads, size in shapes
            ]
            for _ in range(2)
        )
        self._written = 0

    @classmethod
    def for_model(cls, model: Any, context_tokens: int) -> "StaticKVCache":
        """Return an empty cache for `model`, with capacity for the default context, or all of a shorter one."""
        text = model.config.get_text_config(decoder=True)
        head_dim = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        num_kv_heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
        shapes = [(num_kv_heads, head_dim)] * text.num_hidden_layers
        cache = cls(shapes, min(context_tokens, DEFAULT_CONTEXT), model.dtype, model.device)
        cache.max_capacity = context_tokens
        return cache

    def window(self, tokens: int) -> int:
        """Return the number of positions that attention reads to cover `tokens`."""
        return min(max(_MIN_WINDOW, 1 << (tokens - 1).bit_length()), self.capacity)

    def reserve(self, tokens: int) -> None:
        """Make room for `tokens` in all, in new blocks if necessary.

        If memory runs out midway, some blocks are larger than `capacity` says, which does no harm.
        """
        # Whatever happens next, up to here the blocks may be written to.
        self._written = max(self._written, tokens)
        capacity = self.capacity
        if tokens <= capacity:
            return
        while capacity < tokens:
            capacity *= 2
        # Memory was planned for `max_capacity`.
        capacity = max(tokens, min(capacity, self.max_capacity))
        for blocks in (self.keys, self.values):
            for layer, block in enumerate(blocks):
                self.reallocations += 1
                larger = block.new_zeros(*block.shape[:2], capacity + _PADDING, block.shape[3])
                larger[:, :, : self.length] = block[:, :, : self.length]
                blocks[layer] = _static_block(larger)
        self.capacity = capacity

    def crop(self, length: int) -> None:
        """Drop all but the first `length` tokens."""
        self.length = min(self.length, length)

    @torch.inference_mode()
    def clear(self) -> None:
        """Drop all tokens and zero the blocks: a NaN left behind by a failure would show through any mask."""
        for block in (*self.keys, *self.values):
            block[:, :, : self._written].zero_()
        self.length = self._written = 0

    def advance(self, length: int) -> None:
        """Set the number of tokens to `length`, after they were written."""
        self.length = length

    # transformers' interface of a cache.

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        end = self.length + key_states.shape[2]
        self.reserve(end)
        keys, values = self.keys[layer_idx], self.values[layer_idx]
        keys[:, :, self.length : end] = key_states
        values[:, :, self.length : end] = value_states
        window = self.window(end)
        if layer_idx == len(self.keys) - 1:
            self.advance(end)
        return keys[:, :, :window], values[:, :, :window]

    def get_seq_length(self, layer_idx: int = 0) -> int:  # noqa: ARG002 - the same for all
        return self.length

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:  # noqa: ARG002
        end = self.length + query_length
        self.reserve(end)
        return self.window(end), 0


class _StaticWindow(Cache):
    """A `StaticKVCache` as a compiled step uses it: write positions as a tensor, the window as a size."""

    def __init__(self, keys: list[Tensor], values: list[Tensor], positions: Tensor, window: int) -> None:
        super().__init__(layers=[])
        self._keys, self._values, self._positions, self._window = keys, values, positions, window

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        keys, values = self._keys[layer_idx], self._values[layer_idx]
        keys.index_copy_(2, self._positions, key_states)
        values.index_copy_(2, self._positions, value_states)
        return keys[:, :, : self._window], values[:, :, : self._window]


@dataclass(frozen=True)
class _CapturedStep:
    """A CUDA graph with its input and output buffers."""

    graph: Any
    inputs: Tensor
    logits: Tensor


class CompiledDecoder:
    """Decodes one token at a time, or a few for a draft, into a `StaticKVCache`.

    A step's input is one int64 tensor (q_len + 2,): the token ids, the cache index of the first, its RoPE position.
    More than ten attributes: one per thing that compiled code or a graph holds on to.
    """

    def __init__(
        self, model: Any, cache: StaticKVCache, *, uses_mrope: bool = False, backend: str | None = "inductor"
    ) -> None:
        """Prepare `model` for static decoding, on CUDA with graphs.

        Args:
            model: Transformers' model; its attention implementation is replaced until `restore_attention`.
            cache: The KV cache to decode into.
            uses_mrope: True for families whose positions have three axes (time, height, width).
            backend: A backend of `torch.compile`; None compiles nothing.
        """
        self.cache = cache
        self._model = model
        self._mrope_axes = 3 if uses_mrope else 0
        self._indices = torch.arange(cache.capacity, device=model.device)
        self._reallocations = cache.reallocations
        self._windows: dict[int, Tensor] = {}
        self._run: Callable[[Tensor, Tensor], Tensor] = self._forward
        self._compiled = backend is not None
        if backend is not None:
            self._reset_compiler()
            # Each q_len is compiled apart, since its kernels differ; windows are not.
            self._run = torch.compile(self._forward, backend=backend, fullgraph=True, dynamic=False)
        self._captured: dict[tuple[int, int], _CapturedStep] = {}
        self._pool = torch.cuda.graph_pool_handle() if model.device.type == "cuda" else None
        self._config = model.get_decoder().config
        self._original_attention: str = self._config._attn_implementation  # noqa: SLF001
        self._config._attn_implementation = _ATTENTION  # noqa: SLF001 - the vision tower keeps its own

    def restore_attention(self) -> None:
        """Give the model its original attention implementation back."""
        self._config._attn_implementation = self._original_attention  # noqa: SLF001

    def warmup(self, q_lens: Sequence[int]) -> None:
        """Compile and capture steps of so many tokens, and empty the cache.

        Raises:
            RuntimeError: The compiler failed; other exceptions of the compiler pass through as well.
        """
        for q_len in q_lens:
            self.cache.clear()
            # bitsandbytes packs weights for the CPU on first use, which no compiler can trace.
            self._forward(self._inputs([0] * q_len, 0, 0), self._window(self.cache.window(q_len)))
            # Twice: only the second call shows that nothing is recompiled.
            for _ in range(2):
                self.step([0] * q_len, 0)
        self.cache.clear()

    def step(self, tokens: Sequence[int], position: int) -> Tensor:
        """Append `tokens` to the cache, the first at RoPE position `position`. Return logits (q_len, vocab_size)."""
        start, q_len = self.cache.length, len(tokens)
        end = start + q_len
        self.cache.reserve(end)
        if self.cache.reallocations != self._reallocations:
            # Graphs hold pointers into the old blocks. A prefill may have replaced them too.
            self._reset_compiler()
            self._reallocations = self.cache.reallocations
            self._captured.clear()
            self._windows.clear()
            self._indices = torch.arange(self.cache.capacity, device=self._indices.device)
        window = self.cache.window(end)
        inputs = self._inputs(tokens, start, position)
        logits = self._run(inputs, self._window(window)) if self._pool is None else self._replay(inputs, q_len, window)
        self.cache.advance(end)
        return logits

    def _reset_compiler(self) -> None:
        # Code compiled for other blocks, or for an earlier model, counts towards the compiler's limit of 8.
        if self._compiled:
            torch._dynamo.reset()  # noqa: SLF001 - documented under this name

    def _forward(self, inputs: Tensor, window: Tensor) -> Tensor:
        """Run one step: `inputs` as in the class docstring, `window` the indices 0 to its size."""
        q_len = inputs.shape[0] - 2
        ids, offsets = inputs[:q_len], torch.arange(q_len, device=inputs.device)
        indices, positions = inputs[q_len] + offsets, (inputs[q_len + 1] + offsets)[None]
        mask = window[None] <= indices[:, None]
        logits: Tensor = self._model(
            input_ids=ids[None],
            attention_mask=mask[None, None],
            position_ids=positions.expand(self._mrope_axes, 1, -1) if self._mrope_axes else positions,
            past_key_values=_StaticWindow(self.cache.keys, self.cache.values, indices, window.shape[0]),
            use_cache=True,
        ).logits
        return logits[0]

    def _inputs(self, tokens: Sequence[int], start: int, position: int) -> Tensor:
        return torch.tensor([*tokens, start, position], device=self._indices.device)

    def _window(self, size: int) -> Tensor:
        if size not in self._windows:
            self._windows[size] = self._indices[:size].clone()
            torch._dynamo.mark_dynamic(self._windows[size], 0)  # noqa: SLF001 - documented under this name
        return self._windows[size]

    def _replay(self, inputs: Tensor, q_len: int, window: int) -> Tensor:
        captured = self._captured.get((q_len, window))
        if captured is None:
            captured = self._captured[q_len, window] = self._capture(inputs, window)
        captured.inputs.copy_(inputs)
        captured.graph.replay()
        # Copied, because the next replay writes to the same memory.
        return captured.logits.clone()

    def _capture(self, inputs: Tensor, window: int) -> _CapturedStep:
        """Capture a step. Its warm-up calls write the same values to the same positions as the step itself."""
        side_stream = torch.cuda.Stream()
        side_stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side_stream):
            for _ in range(_WARMUP_CALLS):
                self._run(inputs, self._window(window))
        torch.cuda.current_stream().wait_stream(side_stream)
        graph = torch.cuda.CUDAGraph()
        # Other threads may use the GPU meanwhile: for speech recognition and synthesis.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            logits = self._run(inputs, self._window(window))
        return _CapturedStep(graph, inputs, logits)


def _static_block(tensor: Tensor) -> Tensor:
    # Lets compiled code write to it in place, and a graph hold its address.
    torch._dynamo.mark_static_address(tensor)  # noqa: SLF001 - documented under this name
    return tensor


def _grouped_attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """Attention of transformers, with query heads that share keys treated as tokens where there is a single token.

    Compiled, transformers would copy the keys and values of the whole window for each query head instead.
    Shapes: query (batch, num_heads, q_len, head_dim), key and value (batch, num_kv_heads, window, head_dim).
    """
    batch, num_heads, q_len, head_dim = query.shape
    if q_len != 1 or attention_mask is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    packed = query.reshape(batch, key.shape[1], num_heads // key.shape[1], head_dim)
    attended = F.scaled_dot_product_attention(
        packed, key, value, attn_mask=attention_mask, scale=options.get("scaling")
    )
    return attended.reshape(batch, num_heads, 1, head_dim).transpose(1, 2).contiguous(), None


AttentionInterface.register(_ATTENTION, _grouped_attention)
AttentionMaskInterface.register(_ATTENTION, sdpa_mask)
