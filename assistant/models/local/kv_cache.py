"""The KV cache of transformers' models, cropped to any earlier token as far as its layers allow.

Full-attention layers keep every token and can be cropped anywhere. Sliding-window layers (Gemma 3 has five of them for
each full-attention layer) need the last `window` tokens before the cut. They therefore keep `WINDOW_SLACK` tokens more
than they attend to, enough to crop a reply and the question before it. Keeping every token in them would multiply the
memory of a long Gemma 3 conversation by six.
"""

from typing import Any

from transformers.cache_utils import DynamicCache, DynamicSlidingWindowLayer

from assistant.models.memory import WINDOW_SLACK


def new_cache(config: Any) -> DynamicCache:
    """Return an empty cache for the model described by `config` (transformers')."""
    cache = DynamicCache(config=config)
    for layer in cache.layers:
        if isinstance(layer, DynamicSlidingWindowLayer):
            layer.activate_past_recording()
    return cache


def is_croppable(config: Any) -> bool:
    """Return True if every layer of that model can be cropped; linear-attention layers cannot."""
    return all(layer.is_croppable for layer in DynamicCache(config=config).layers)


def trim(cache: DynamicCache) -> None:
    """Drop the tokens that no sliding window reaches and no crop will need."""
    for layer in _sliding_window_layers(cache):
        kept = layer.sliding_window - 1 + WINDOW_SLACK
        layer.keys, layer.values = layer.keys[..., -kept:, :], layer.values[..., -kept:, :]


def crop(cache: DynamicCache, length: int) -> bool:
    """Drop all but the first `length` tokens. Return False, with nothing done, if too much was trimmed for that."""
    surplus = cache.get_seq_length() - length
    if surplus > _max_crop(cache):
        return False
    if surplus <= 0:
        return True
    sliding = _sliding_window_layers(cache)
    for layer in sliding:
        # The layer's own `crop` keeps only the window, so that a second crop would be impossible.
        layer.keys, layer.values = layer.keys[..., :-surplus, :], layer.values[..., :-surplus, :]
        layer.cumulative_length -= surplus
    others: list[Any] = [layer for layer in cache.layers if layer not in sliding]
    for layer in others:
        layer.crop(-surplus)
    return True


def _max_crop(cache: DynamicCache) -> int:
    """Return how many tokens can be dropped from the end."""
    count = cache.get_seq_length()
    for layer in _sliding_window_layers(cache):
        kept = layer.keys.shape[-2]
        if kept < layer.cumulative_length:
            count = min(count, kept - (layer.sliding_window - 1))
    return count


def _sliding_window_layers(cache: DynamicCache) -> list[Any]:
    """Return the sliding-window layers that hold tokens."""
    return [layer for layer in cache.layers if isinstance(layer, DynamicSlidingWindowLayer) and layer.is_initialized]
