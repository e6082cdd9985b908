"""Self-critical training: sample captions, score them with CIDEr-D, learn from the better ones (Rennie et al. 2017).

    images ─▶ several sampled captions each ─▶ CIDEr-D of each ─▶ minus the mean of the others = advantage

Trained token by token on people's captions, the model never learns where its own words lead. Here a caption better
than the others of its image becomes more probable and a worse one less. The mean of the others as baseline is that of
Luo (2020, "A Better Variant of Self-Critical Sequence Training").
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from training.decoder import Decoder, apply_rope, rms_norm
from training.metrics import caption_words

_END = "endofcaption"
"""Word added to each complete caption; without it, a caption that breaks off in the middle scores as much."""

_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class CaptionReward:
    """CIDEr-D (times 1, not 100) of captions, with document frequencies of the training captions."""

    def __init__(self, captions: Sequence[Sequence[str]]) -> None:
        """Count document frequencies, given the captions of each training image."""
        # Only training by reward needs pycocoevalcap, which `make setup-dev` installs.
        from pycocoevalcap.cider.cider_scorer import CiderScorer

        corpus = CiderScorer()
        for texts in captions:
            corpus.cook_append(None, [_with_end(text) for text in texts])
        corpus.compute_doc_freq()
        log_count = float(np.log(len(captions)))

        class Scorer(CiderScorer):  # type: ignore[misc, no-any-unimported, unused-ignore]
            """A scorer whose corpus is the training captions instead of the references that it scores."""

            ref_len = property(lambda _: log_count, lambda *_: None)

        self._scorer = Scorer
        self._document_frequency: defaultdict[Any, float] = corpus.document_frequency

    def __call__(
        self, candidates: Sequence[str], complete: Sequence[bool], references: Sequence[Sequence[str]]
    ) -> Tensor:
        """Return the reward of each caption, float32 (captions,).

        Args:
            candidates: The captions.
            complete: True for each caption that ends by itself.
            references: People's captions of the same image, for each caption.
        """
        scorer = self._scorer()
        scorer.document_frequency = self._document_frequency
        for text, ended, written in zip(candidates, complete, references, strict=True):
            scorer.cook_append(
                _with_end(text) if ended else caption_words(text), [_with_end(reference) for reference in written]
            )
        return torch.tensor(np.array(scorer.compute_cider()), dtype=torch.float32)


def advantages(rewards: Tensor) -> Tensor:
    """Return each reward (images, samples) minus the mean of its image's other samples, in units of their std."""
    count = rewards.shape[1]
    difference = (rewards - rewards.mean(1, keepdim=True)) * count / (count - 1)
    return difference / difference.std().clamp(min=1e-3)


@torch.inference_mode()
def sample_captions(decoder: Decoder, embeddings: Tensor, samples: int, max_tokens: int, end: int) -> Tensor:
    """Sample continuations of each prompt.

    Args:
        decoder: The decoder with its adapter.
        embeddings: Prompts of the same length, (prompts, tokens, width).
        samples: Continuations for each prompt.
        max_tokens: Largest length of a continuation.
        end: Token that ends a continuation; the rest of its row is filled with it.

    Returns:
        Token ids (prompts, samples, at most `max_tokens`).
    """
    prompts, length, _ = embeddings.shape
    # LoRA is merged once instead of in each step.
    layers = [
        (layer, {name: getattr(layer, name).merged_weight() for name in _PROJECTIONS}) for layer in decoder.layers
    ]
    positions = torch.arange(length + max_tokens, device=embeddings.device)[None]
    cos, sin = decoder.rope_table(positions, embeddings.dtype)
    kv_cache: list[list[Tensor]] = []
    x = embeddings
    for layer, weights in layers:
        x, keys, values = _forward_layer(layer, weights, x, cos[:, :, :length], sin[:, :, :length], None)
        kv_cache.append([keys.repeat_interleave(samples, 0), values.repeat_interleave(samples, 0)])
    logits = decoder.logits(rms_norm(x[:, -1], decoder.norm, decoder.eps)).repeat_interleave(samples, 0)
    sampled: list[Tensor] = []
    ended = torch.zeros(prompts * samples, dtype=torch.bool, device=embeddings.device)
    for step in range(max_tokens):
        token = torch.multinomial(logits.float().softmax(-1), 1)[:, 0].masked_fill(ended, end)
        sampled.append(token)
        ended = ended | (token == end)
        if step + 1 == max_tokens or bool(ended.all()):
            break
        x = F.embedding(token, decoder.embedding)[:, None]
        position = slice(length + step, length + step + 1)
        for cached, (layer, weights) in zip(kv_cache, layers, strict=True):
            x, *cached[:] = _forward_layer(layer, weights, x, cos[:, :, position], sin[:, :, position], cached)
        logits = decoder.logits(rms_norm(x[:, -1], decoder.norm, decoder.eps))
    return torch.stack(sampled, 1).view(prompts, samples, -1)


def _forward_layer(
    layer: Any, weights: dict[str, Tensor], x: Tensor, cos: Tensor, sin: Tensor, cached: list[Tensor] | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Run one layer on new tokens, which attend to the `cached` keys and values as well.

    Returns:
        The layer's output, and all keys and values.
    """
    batch, length, width = x.shape
    size = width // layer.heads
    h = rms_norm(x, layer.input_norm, layer.eps)
    query, keys, values = (
        F.linear(h, weights[name]).view(batch, length, -1, size).transpose(1, 2)
        for name in ("q_proj", "k_proj", "v_proj")
    )
    query, keys = apply_rope(query, cos, sin), apply_rope(keys, cos, sin)
    # In float32: CPUs without fast bfloat16 attention for a single query take many times longer in bfloat16.
    query, keys, values = query.float(), keys.float(), values.float()
    if cached is not None:
        keys, values = torch.cat([cached[0], keys], 2), torch.cat([cached[1], values], 2)
    attended = F.scaled_dot_product_attention(query, keys, values, is_causal=cached is None, enable_gqa=True)
    attended = attended.transpose(1, 2).reshape(batch, length, width).to(x.dtype)
    x = x + F.linear(attended, weights["o_proj"])
    h = rms_norm(x, layer.post_norm, layer.eps)
    inner = F.silu(F.linear(h, weights["gate_proj"])) * F.linear(h, weights["up_proj"])
    return x + F.linear(inner, weights["down_proj"]), keys, values


def _with_end(caption: str) -> str:
    return f"{caption_words(caption)} {_END}"
