"""Captions the model makes up itself, rewarded for agreeing with what people wrote (Rennie et al. 2017).

    pictures ─▶ several captions each, drawn at random ─▶ CIDEr-D of each ─▶ less the mean of the others
                                                                             = what each is worth

Learning from people's captions token by token never shows the model where its own words lead. Here a caption that is
better than its siblings becomes likelier and a worse one less likely; the mean of the others as the baseline is that
of Luo (2020, "A Better Variant of Self-Critical Sequence Training").
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from training.decoder import Decoder, rms_norm, rotate
from training.metrics import caption_words

_END = "endofcaption"
"""A word after each complete caption: without it, breaking off in the middle is worth as much."""


class CaptionReward:
    """CIDEr-D (times 1, not 100) of captions, with the rarity of words counted on the training captions."""

    def __init__(self, captions: Sequence[Sequence[str]]) -> None:
        # Only training by reward needs pycocoevalcap, which `make train-deps` installs.
        from pycocoevalcap.cider.cider_scorer import CiderScorer

        photos = CiderScorer()
        for texts in captions:
            photos.cook_append(None, [_whole(text) for text in texts])
        photos.compute_doc_freq()
        logarithm = float(np.log(len(captions)))

        class Scorer(CiderScorer):  # type: ignore[misc, no-any-unimported, unused-ignore]
            """One that counts no photos of its own."""

            ref_len = property(lambda _: logarithm, lambda *_: None)

        self._scorer = Scorer
        self._frequency: defaultdict[Any, float] = photos.document_frequency

    def __call__(self, said: Sequence[str], complete: Sequence[bool], written: Sequence[Sequence[str]]) -> Tensor:
        """What each caption of `said` scores against what was `written` about its photo, float32 (captions,)."""
        scorer = self._scorer()
        scorer.document_frequency = self._frequency
        for text, ended, references in zip(said, complete, written, strict=True):
            scorer.cook_append(
                _whole(text) if ended else caption_words(text), [_whole(reference) for reference in references]
            )
        return torch.tensor(np.array(scorer.compute_cider()), dtype=torch.float32)


def worth(rewards: Tensor) -> Tensor:
    """Each reward (photos, samples) less the mean of its photo's others, in units of their spread over the batch."""
    count = rewards.shape[1]
    over = (rewards - rewards.mean(1, keepdim=True)) * count / (count - 1)
    return over / over.std().clamp(min=1e-3)


@torch.inference_mode()
def draw_captions(decoder: Decoder, embeddings: Tensor, samples: int, longest: int, end: int) -> Tensor:
    """Draw `samples` continuations of each prompt, token ids (prompts, samples, at most `longest`).

    `embeddings` (prompts, tokens, width) are prompts of the same length. After the token `end` follow more of it.
    """
    prompts, length, _ = embeddings.shape
    layers = [(layer, {name: getattr(layer, name).merged() for name in _PARTS}) for layer in decoder.layers]
    cos, sin = decoder.rotation(torch.arange(length + longest, device=embeddings.device)[None], embeddings.dtype)
    memory: list[list[Tensor]] = []
    x = embeddings
    for layer, weights in layers:
        x, keys, values = _read(layer, weights, x, cos[:, :, :length], sin[:, :, :length], None)
        memory.append([keys.repeat_interleave(samples, 0), values.repeat_interleave(samples, 0)])
    logits = decoder.logits(rms_norm(x[:, -1], decoder.norm, decoder.eps)).repeat_interleave(samples, 0)
    drawn: list[Tensor] = []
    ended = torch.zeros(prompts * samples, dtype=torch.bool, device=embeddings.device)
    for step in range(longest):
        token = torch.multinomial(logits.float().softmax(-1), 1)[:, 0].masked_fill(ended, end)
        drawn.append(token)
        ended = ended | (token == end)
        if step + 1 == longest or bool(ended.all()):
            break
        x = F.embedding(token, decoder.embedding)[:, None]
        place = slice(length + step, length + step + 1)
        for known, (layer, weights) in zip(memory, layers, strict=True):
            x, *known[:] = _read(layer, weights, x, cos[:, :, place], sin[:, :, place], known)
        logits = decoder.logits(rms_norm(x[:, -1], decoder.norm, decoder.eps))
    return torch.stack(drawn, 1).view(prompts, samples, -1)


_PARTS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def _read(
    layer: Any, weights: dict[str, Tensor], x: Tensor, cos: Tensor, sin: Tensor, known: list[Tensor] | None
) -> tuple[Tensor, Tensor, Tensor]:
    """One layer over new tokens that may look at those `known`: its output, and all keys and values."""
    batch, length, width = x.shape
    size = width // layer.heads
    h = rms_norm(x, layer.input_norm, layer.eps)
    query, keys, values = (
        F.linear(h, weights[name]).view(batch, length, -1, size).transpose(1, 2)
        for name in ("q_proj", "k_proj", "v_proj")
    )
    query, keys = rotate(query, cos, sin), rotate(keys, cos, sin)
    # In float32: for a single query in bfloat16, processors without a fast product of that kind take many times longer.
    query, keys, values = query.float(), keys.float(), values.float()
    if known is not None:
        keys, values = torch.cat([known[0], keys], 2), torch.cat([known[1], values], 2)
    attended = F.scaled_dot_product_attention(query, keys, values, is_causal=known is None, enable_gqa=True)
    attended = attended.transpose(1, 2).reshape(batch, length, width).to(x.dtype)
    x = x + F.linear(attended, weights["o_proj"])
    h = rms_norm(x, layer.post_norm, layer.eps)
    inner = F.silu(F.linear(h, weights["gate_proj"])) * F.linear(h, weights["up_proj"])
    return x + F.linear(inner, weights["down_proj"]), keys, values


def _whole(caption: str) -> str:
    return f"{caption_words(caption)} {_END}"
