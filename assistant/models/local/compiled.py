"""Tokens of a reply decoded at fixed shapes: compiled once at load, and on a GPU recorded and played back.

    a prompt     read by transformers' own code, its keys and values written into blocks of memory that never move
    a token      always the same operations on the same blocks; only a few numbers differ: its id and its place

Plain transformers starts each of a few thousand small kernels from Python for every token, which takes longer than the
kernels do. Here they are fused by the compiler, and a CUDA graph starts them all at once. The attention looks at a
window of the blocks, a power of two that holds all that was read so far: the compiler sees its size as unknown, so that
one compilation serves them all, and each has a graph of its own, recorded when it is first needed.

What lies in the blocks beyond what is remembered is hidden by the mask and overwritten later, so that forgetting the
end of a conversation is a matter of one number.
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
_LEAST_WINDOW = 512
# Before a graph is recorded: libraries choose their kernels and take their workspaces on the first call.
_TRIES = 2
# Places that no window reaches: one as long as its block would be compiled apart, since nothing is cut off it.
_BEYOND = 8


def is_supported(model: Any) -> bool:
    """Whether `model` (transformers') can be run like this: it traces to one graph, and every layer sees everything."""
    kinds, _ = get_layer_types_and_kwargs(model.config.get_text_config(decoder=True))
    attention = model.get_decoder().config._attn_implementation  # noqa: SLF001 - it can be read nowhere else
    traceable = bool(getattr(model, "_can_compile_fullgraph", False))
    return traceable and attention == "sdpa" and set(kinds) == {"full_attention"}


class StaticKVCache(Cache):
    """Keys and values of `length` tokens, in blocks that hold `capacity` of them and double when they are full, up to
    `most`.

    `keys` and `values` have a block (1, heads, capacity, head size) for each layer. transformers reads prompts into it
    as into any of its own caches.
    """

    def __init__(self, shapes: Sequence[tuple[int, int]], capacity: int, dtype: torch.dtype, device: Any) -> None:
        """`shapes` are the heads of keys and their size, layer by layer."""
        super().__init__(layers=[])
        self.length = 0
        self.capacity = capacity
        """How many tokens there is room for."""
        self.max_capacity = 2**31
        self.moves = 0
        """How often a block has moved: what points at one is out of date then."""
        self.keys, self.values = (
            [
                _block(torch.zeros(1, heads, capacity + _BEYOND, size, dtype=dtype, device=device))
                for heads, size in shapes
            ]
            for _ in range(2)
        )
        self._used = 0

    @classmethod
    def for_model(cls, model: Any, context_tokens: int) -> "StaticKVCache":
        """An empty one for `model`, with room for a usual context, or for all of a shorter one."""
        text = model.config.get_text_config(decoder=True)
        size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
        shapes = [(heads, size)] * text.num_hidden_layers
        cache = cls(shapes, min(context_tokens, DEFAULT_CONTEXT), model.dtype, model.device)
        cache.max_capacity = context_tokens
        return cache

    def window(self, tokens: int) -> int:
        """How many places are looked at to see `tokens`."""
        return min(max(_LEAST_WINDOW, 1 << (tokens - 1).bit_length()), self.capacity)

    def reserve(self, tokens: int) -> None:
        """Make room for `tokens` in all; the blocks move where there is not enough.

        Where memory runs out on the way, some blocks are larger than `capacity` says, which does no harm.
        """
        # Whatever comes of it, this much may be written to from here on.
        self._used = max(self._used, tokens)
        capacity = self.capacity
        if tokens <= capacity:
            return
        while capacity < tokens:
            capacity *= 2
        # Memory was found for so many.
        capacity = max(tokens, min(capacity, self.max_capacity))
        for blocks in (self.keys, self.values):
            for layer, block in enumerate(blocks):
                self.moves += 1
                larger = block.new_zeros(*block.shape[:2], capacity + _BEYOND, block.shape[3])
                larger[:, :, : self.length] = block[:, :, : self.length]
                blocks[layer] = _block(larger)
        self.capacity = capacity

    def crop(self, count: int) -> None:
        """Forget all but the first `count` tokens."""
        self.length = min(self.length, count)

    @torch.inference_mode()
    def clear(self) -> None:
        """Forget everything and wipe it out: what a failure left behind that is no number shows through any mask."""
        for block in (*self.keys, *self.values):
            block[:, :, : self._used].zero_()
        self.length = self._used = 0

    def advance(self, length: int) -> None:
        """`length` tokens are remembered from here on."""
        self.length = length

    # What transformers asks of a cache.

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


class _Window(Cache):
    """What a compiled step sees of a `StaticKVCache`: where to write and how much to look at, as tensors and sizes."""

    def __init__(self, keys: list[Tensor], values: list[Tensor], places: Tensor, size: int) -> None:
        super().__init__(layers=[])
        self._keys, self._values, self._places, self._size = keys, values, places, size

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        keys, values = self._keys[layer_idx], self._values[layer_idx]
        keys.index_copy_(2, self._places, key_states)
        values.index_copy_(2, self._places, value_states)
        return keys[:, :, : self._size], values[:, :, : self._size]


@dataclass(frozen=True)
class _Recorded:
    """A CUDA graph, what it reads its numbers from, and where it leaves the logits."""

    graph: Any
    numbers: Tensor
    logits: Tensor


class CompiledDecoder:
    """Reads one token after the other, or a few at once, into `cache`.

    `uses_mrope` says that the family counts positions in time, height and width. `backend` is one of torch.compile's, None
    for none. On CUDA each step is recorded as a graph.
    """

    def __init__(
        self, model: Any, cache: StaticKVCache, *, uses_mrope: bool = False, backend: str | None = "inductor"
    ) -> None:
        self.cache = cache
        self._model = model
        self._axes = 3 if uses_mrope else 0
        self._order = torch.arange(cache.capacity, device=model.device)
        self._moves = cache.moves
        self._windows: dict[int, Tensor] = {}
        self._run: Callable[[Tensor, Tensor], Tensor] = self._forward
        self._compiled = backend is not None
        if backend is not None:
            self._forget_compiled()
            # Widths of steps are compiled apart, for their kernels differ; windows are not.
            self._run = torch.compile(self._forward, backend=backend, fullgraph=True, dynamic=False)
        self._recorded: dict[tuple[int, int], _Recorded] = {}
        self._pool = torch.cuda.graph_pool_handle() if model.device.type == "cuda" else None
        self._config = model.get_decoder().config
        self._attention: str = self._config._attn_implementation  # noqa: SLF001
        self._config._attn_implementation = _ATTENTION  # noqa: SLF001 - the tower keeps its own

    def undo(self) -> None:
        """Leave the model as it was found."""
        self._config._attn_implementation = self._attention  # noqa: SLF001

    def warmup(self, widths: Sequence[int], done: Callable[[], None] = lambda: None) -> None:
        """Compile and record steps of so many tokens; `done` is called after each. Forgets what was read.

        Raises what compilers raise, `RuntimeError` for most.
        """
        for width in widths:
            self.cache.clear()
            # bitsandbytes packs weights for the CPU when they are first used, which no compiler can follow.
            self._forward(self._numbers([0] * width, 0, 0), self._window(self.cache.window(width)))
            # Once more: only the second call shows that nothing is compiled anew.
            for _ in range(2):
                self.step([0] * width, 0)
            done()
        self.cache.clear()

    def step(self, tokens: Sequence[int], position: int) -> Tensor:
        """Read `tokens` after all that is remembered, the first of them at `position`.

        Returns the logits (tokens, vocabulary) after each.
        """
        start, count = self.cache.length, len(tokens)
        end = start + count
        self.cache.reserve(end)
        if self.cache.moves != self._moves:
            # Graphs point at where the blocks were, and a prompt may have moved them too.
            self._forget_compiled()
            self._moves = self.cache.moves
            self._recorded.clear()
            self._windows.clear()
            self._order = torch.arange(self.cache.capacity, device=self._order.device)
        size = self.cache.window(end)
        numbers = self._numbers(tokens, start, position)
        logits = self._run(numbers, self._window(size)) if self._pool is None else self._play(numbers, count, size)
        self.cache.advance(end)
        return logits

    def _forget_compiled(self) -> None:
        # What was compiled for other blocks, or for a model before this one, counts towards the compiler's limit of 8.
        if self._compiled:
            torch._dynamo.reset()  # noqa: SLF001 - documented under this name

    def _forward(self, numbers: Tensor, order: Tensor) -> Tensor:
        """One step: `numbers` are the ids of its tokens, their first place and position, `order` counts the window."""
        count = numbers.shape[0] - 2
        ids, following = numbers[:count], torch.arange(count, device=numbers.device)
        places, positions = numbers[count] + following, (numbers[count + 1] + following)[None]
        seen = order[None] <= places[:, None]
        logits: Tensor = self._model(
            input_ids=ids[None],
            attention_mask=seen[None, None],
            position_ids=positions.expand(self._axes, 1, -1) if self._axes else positions,
            past_key_values=_Window(self.cache.keys, self.cache.values, places, order.shape[0]),
            use_cache=True,
        ).logits
        return logits[0]

    def _numbers(self, tokens: Sequence[int], place: int, position: int) -> Tensor:
        return torch.tensor([*tokens, place, position], device=self._order.device)

    def _window(self, size: int) -> Tensor:
        if size not in self._windows:
            self._windows[size] = self._order[:size].clone()
            torch._dynamo.mark_dynamic(self._windows[size], 0)  # noqa: SLF001 - documented under this name
        return self._windows[size]

    def _play(self, numbers: Tensor, count: int, size: int) -> Tensor:
        recorded = self._recorded.get((count, size))
        if recorded is None:
            recorded = self._recorded[count, size] = self._record(numbers, size)
        recorded.numbers.copy_(numbers)
        recorded.graph.replay()
        # A copy: the next one is played into the same memory.
        return recorded.logits.clone()

    def _record(self, numbers: Tensor, size: int) -> _Recorded:
        """Record a step. Its tries write what the step will write, to the same places."""
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(_TRIES):
                self._run(numbers, self._window(size))
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        # Other threads may use the GPU meanwhile: to listen and to speak.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            logits = self._run(numbers, self._window(size))
        return _Recorded(graph, numbers, logits)


def _block(tensor: Tensor) -> Tensor:
    # The compiler may then write to it in place, and a graph remember where it is.
    torch._dynamo.mark_static_address(tensor)  # noqa: SLF001 - documented under this name
    return tensor


def _grouped_attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """Transformers' attention; for one token, heads that share keys are taken for tokens that do.

    Compiled, transformers would copy the keys and values of the whole window for each head instead.
    """
    batch, heads, count, size = query.shape
    if count != 1 or attention_mask is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    packed = query.reshape(batch, key.shape[1], heads // key.shape[1], size)
    attended = F.scaled_dot_product_attention(
        packed, key, value, attn_mask=attention_mask, scale=options.get("scaling")
    )
    return attended.reshape(batch, heads, 1, size).transpose(1, 2).contiguous(), None


AttentionInterface.register(_ATTENTION, _grouped_attention)
AttentionMaskInterface.register(_ATTENTION, sdpa_mask)
