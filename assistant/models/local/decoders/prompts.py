"""Tokenization, image tokens and image features, shared by all decoders."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from assistant.models.local.image_encoder import EncodedImage, ImageEncoder, image_token_mismatch
from assistant.models.local.prompt_cache import Key, Prompt


def tokenize(processor: Any, text: str) -> list[int]:
    """Return the token ids of `text`, with a start token if the chat template wrote none."""
    tokenizer = processor.tokenizer
    ids: list[int] = tokenizer(text, add_special_tokens=needs_bos(tokenizer, text))["input_ids"]
    return ids


def needs_bos(tokenizer: Any, text: str) -> bool:
    """Return True if the tokenizer has to add its start token: most chat templates write it themselves."""
    return not (tokenizer.bos_token and text.startswith(tokenizer.bos_token))


def image_token_keys(
    ids: Sequence[int], image_token: int | None, images: Sequence[EncodedImage]
) -> tuple[list[Key], list[tuple[int, int]]]:
    """Compute the cache keys of `ids` and the span (start, end) of each image.

    A text token's key is its id, an image token's the key of its image, since all images share one token id.

    Raises:
        ModelError: The number of image tokens is not that of `images`.
    """
    keys: list[Key] = list(ids)
    positions = [position for position, token in enumerate(ids) if token == image_token]
    if len(positions) != sum(image.num_tokens for image in images):
        raise image_token_mismatch(sum(image.num_tokens for image in images), len(positions))
    spans: list[tuple[int, int]] = []
    start = 0
    for image in images:
        own = positions[start : start + image.num_tokens]
        spans.append((own[0], own[-1] + 1))
        for position in own:
            keys[position] = image.key
        start += image.num_tokens
    return keys, spans


def image_features(
    encoder: ImageEncoder, prompt: Prompt, image_token: int | None, start: int, end: int
) -> tuple[Tensor, ...]:
    """Return the image features of tokens `start` to `end` of `prompt`; empty if none of them is an image token.

    The first tensor (image_tokens, hidden_size) replaces the embeddings; later ones are added by later layers.
    """
    if image_token is None or not prompt.images:
        return ()
    count = prompt.ids[start:end].count(image_token)
    if not count:
        return ()
    first = prompt.ids[:start].count(image_token)
    return encoder.features(prompt.images, first, first + count)
