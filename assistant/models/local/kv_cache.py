"""Keys and values of what was read, cut back to any earlier token as far as their layers allow.

Layers that see the whole context keep every token and can be cut anywhere. Those of a sliding window (Gemma 3 has five
of them to one of the others) need the last `window` tokens before the cut: they keep `WINDOW_SLACK` more than they look at, so
that what can be cut off is a reply with the question before it. Keeping everything in them would cost Gemma 3 six
times the memory of a long conversation.
"""

from typing import Any

from transformers.cache_utils import DynamicCache, DynamicSlidingWindowLayer

from assistant.models.memory import WINDOW_SLACK


def empty(config: Any) -> DynamicCache:
    """Nothing read yet, for the model that `config` (transformers') describes."""
    cache = DynamicCache(config=config)
    for layer in cache.layers:
        if isinstance(layer, DynamicSlidingWindowLayer):
            layer.activate_past_recording()
    return cache


def is_croppable(config: Any) -> bool:
    """Whether all layers of that model can be cut; those of a linear attention cannot."""
    return all(layer.is_croppable for layer in DynamicCache(config=config).layers)


def trim(cache: DynamicCache) -> None:
    """Forget what no layer of a sliding window looks at any more, and no cut will need."""
    for layer in _windows(cache):
        kept = layer.sliding_window - 1 + WINDOW_SLACK
        layer.keys, layer.values = layer.keys[..., -kept:, :], layer.values[..., -kept:, :]


def cut(cache: DynamicCache, count: int) -> bool:
    """Forget all but the first `count` tokens; False, with nothing done, where too much was trimmed for that."""
    surplus = cache.get_seq_length() - count
    if surplus > _most_to_cut(cache):
        return False
    if surplus <= 0:
        return True
    windows = _windows(cache)
    for layer in windows:
        # Its own `crop` would keep no more than the window, and nothing to cut a second time.
        layer.keys, layer.values = layer.keys[..., :-surplus, :], layer.values[..., :-surplus, :]
        layer.cumulative_length -= surplus
    others: list[Any] = [layer for layer in cache.layers if layer not in windows]
    for layer in others:
        layer.crop(-surplus)
    return True


def _most_to_cut(cache: DynamicCache) -> int:
    most = cache.get_seq_length()
    for layer in _windows(cache):
        kept = layer.keys.shape[-2]
        if kept < layer.cumulative_length:
            most = min(most, kept - (layer.sliding_window - 1))
    return most


def _windows(cache: DynamicCache) -> list[Any]:
    """The layers of a sliding window, once something was read."""
    return [layer for layer in cache.layers if isinstance(layer, DynamicSlidingWindowLayer) and layer.is_initialized]
