"""Tokens and image features of a prompt."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from assistant.models.local.image_encoder import Picture, Pictures, image_token_mismatch
from assistant.models.local.prompt_cache import Key, Prompt


def tokenize(processor: Any, text: str) -> list[int]:
    tokenizer = processor.tokenizer
    ids: list[int] = tokenizer(text, add_special_tokens=needs_bos(tokenizer, text))["input_ids"]
    return ids


def process(processor: Any, text: str, **pictures: Any) -> Any:
    start = needs_bos(processor.tokenizer, text)
    return processor(text=[text], return_tensors="pt", add_special_tokens=start, **pictures)


def needs_bos(tokenizer: Any, text: str) -> bool:
    """Whether the tokenizer should add its start token, which most chat templates have written already."""
    return not (tokenizer.bos_token and text.startswith(tokenizer.bos_token))


def image_token_keys(
    ids: Sequence[int], image_token: int | None, pictures: Sequence[Picture]
) -> tuple[list[Key], list[tuple[int, int]]]:
    """Keys of `ids`, in which placeholders are named by their picture's key, and the span of each picture.

    Raises `ModelError` if the placeholders do not add up to the places of `pictures`.
    """
    keys: list[Key] = list(ids)
    places = [place for place, token in enumerate(ids) if token == image_token]
    if len(places) != sum(picture.places for picture in pictures):
        raise image_token_mismatch(sum(picture.places for picture in pictures), len(places))
    spans: list[tuple[int, int]] = []
    start = 0
    for picture in pictures:
        own = places[start : start + picture.places]
        spans.append((own[0], own[-1] + 1))
        for place in own:
            keys[place] = picture.key
        start += picture.places
    return keys, spans


def image_features(pictures: Pictures, prompt: Prompt, image_token: Any, start: int, end: int) -> tuple[Tensor, ...]:
    """What is seen in the places of pictures among the tokens of `prompt` from `start` up to `end`."""
    count = prompt.ids[start:end].count(image_token) if prompt.pictures else 0
    if not count:
        return ()
    first = prompt.ids[:start].count(image_token)
    return pictures.rows(prompt.pictures, first, first + count)
