"""What `LocalModel` asks of a family of models, and the two kinds there are.

    LlavaDecoder          LLaVA around a plain Llama: pictures encoded once, everything remembered reusable, fast
    TransformersDecoder   whatever else transformers can load, run by its own code

Both remember keys and values of what they have read; which of that a new prompt can use is found in `prompt_cache`.
"""

import copy
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from assistant.attachments import decode
from assistant.errors import ModelError
from assistant.messages import Image
from assistant.models.llama import LlamaDecoder
from assistant.models.prompt_cache import Key, Prompt

if TYPE_CHECKING:
    from assistant.models.fixed_shapes import FixedSteps

# Families whose keys and values can be cut at any token outside of a picture, and whose pictures are one row of
# `pixel_values` each. The others read every prompt whole, until a test shows that warm equals cold for them as well.
_REUSABLE = frozenset({"llava"})
# Tokens of given replies that are read side by side: their logits are as wide as the vocabulary, 25 MB in all.
_TOGETHER = 128


class Decoder(Protocol):
    """A model that remembers the tokens it has read."""

    def prompt(self, text: str, images: Sequence[Image]) -> Prompt:
        """The tokens of `text`, in which `images` have their placeholders. Raises `ModelError`, `AttachmentError`."""
        ...

    def keep(self, prompt: Prompt, count: int) -> int:
        """Forget all but the first `count` tokens, which are those of `prompt`; fewer where that cannot be done.

        Returns how many are remembered.
        """
        ...

    def read(self, prompt: Prompt, start: int, end: int) -> Tensor:
        """Read these tokens of `prompt`, those before `start` being remembered; logits (vocabulary,) after the last."""
        ...


class BranchingDecoder(Decoder, Protocol):
    """A decoder that can also look into several futures of what it has read."""

    def branch(self, prompt: Prompt, options: Sequence[Sequence[int]]) -> list[Tensor]:
        """Read each of `options` (ids of tokens) as what follows `prompt`, which is remembered; remember none of them.

        Returns for each the logits (its tokens, vocabulary) after every one of its tokens.
        """
        ...


class LlavaDecoder:
    """A LLaVA model with the lean Llama in the place of its own decoder; `model` keeps the vision tower."""

    def __init__(self, model: Any, processor: Any, llama: LlamaDecoder) -> None:
        self._llama = llama
        self._model = model
        self._processor = processor
        self._image_token: int = model.config.image_token_id
        self._features: OrderedDict[str, Tensor] = OrderedDict()

    def prompt(self, text: str, images: Sequence[Image]) -> Prompt:
        features = [self._look(image) for image in images]
        self._forget_pictures(len({image.digest for image in images}))
        placeholder: str = self._processor.image_token
        before, *after = text.split(placeholder)
        if len(after) != len(images):
            raise _misplaced(len(images), len(after))
        text = before + "".join(placeholder * len(seen) + words for seen, words in zip(features, after, strict=True))
        ids = _tokenize(self._processor, text)
        places = [(image.digest, len(seen)) for image, seen in zip(images, features, strict=True)]
        keys, spans = name_places(ids, self._image_token, places)
        return Prompt(ids, keys, spans, torch.cat(features) if features else None)

    def keep(self, prompt: Prompt, count: int) -> int:
        self._llama.length = min(count, self._llama.length)
        self._llama.use(adapted=bool(prompt.spans))
        return self._llama.length

    def read(self, prompt: Prompt, start: int, end: int) -> Tensor:
        ids = torch.tensor(prompt.ids[start:end], device=self._llama.embedding.device)
        x = self._llama.embed(ids)
        if prompt.features is not None and (places := ids == self._image_token).any():
            first = prompt.ids[:start].count(self._image_token)
            x[places] = prompt.features[first : first + int(places.sum())].to(x.dtype)
        return self._llama.read(x)

    def read_on(self, prompt: Prompt, guesses: Sequence[int]) -> Tensor:
        ids = torch.tensor([prompt.ids[-1], *guesses], device=self._llama.embedding.device)
        return self._llama.read_each(self._llama.embed(ids))

    def take_back(self, count: int) -> None:
        self._llama.length -= count

    def branch(self, prompt: Prompt, options: Sequence[Sequence[int]]) -> list[Tensor]:  # noqa: ARG002 - remembered
        logits: list[Tensor] = []
        for group in _groups(options):
            ids = torch.tensor([token for option in group for token in option], device=self._llama.embedding.device)
            lengths = [len(option) for option in group]
            logits += self._llama.branch(self._llama.embed(ids.long()), lengths).split(lengths)
        return logits

    def _look(self, image: Image) -> Tensor:
        """The tokens (places, width) that stand for a picture, encoded alone so that no other changes a bit of them."""
        seen = self._features.pop(image.digest, None)
        if seen is None:
            pixels = self._processor.image_processor(images=decode(image), return_tensors="pt")["pixel_values"]
            pixels = pixels.to(self._model.device, self._model.dtype)
            seen = torch.cat(list(self._model.get_image_features(pixel_values=pixels).pooler_output))
        self._features[image.digest] = seen
        return seen

    def _forget_pictures(self, latest: int) -> None:
        """Forget pictures beyond what a full context could show, the longest unused first, never the `latest`.

        A limit that a conversation can exceed would have each of its prompts push out what the next one begins with.
        """
        surplus = sum(map(len, self._features.values())) - self._llama.context_tokens
        for digest in list(self._features)[: len(self._features) - latest]:
            if surplus <= 0:
                break
            surplus -= len(self._features.pop(digest))


class TransformersDecoder:
    """Any image-text-to-text model, run the way transformers' `generate` runs it."""

    def __init__(self, model: Any, processor: Any) -> None:
        self._model = model
        self._processor = processor
        self._image_token: int | None = getattr(model.config, "image_token_id", None)
        self._reusable = model.config.model_type in _REUSABLE
        # The Qwen-VL families count a picture's tokens in time, height and width. Left to themselves they remember on
        # the model how far the last prompt was shifted by that, and go wrong once another was read in between.
        self._locate: Callable[..., tuple[Tensor, Tensor]] | None = getattr(model.base_model, "get_rope_index", None)
        self._cache: Any = None
        self._steps: FixedSteps | None = None
        # A long prompt's logits are larger than its keys and values, and only the last row is wanted.
        last_only = "logits_to_keep" in signature(model.forward).parameters
        self._options = {"use_cache": True, **({"logits_to_keep": 1} if last_only else {})}

    def speed_up(self, steps: "FixedSteps") -> None:
        """Read into the cache of `steps` from here on, and replies by them."""
        self._steps = steps
        self._cache = steps.cache

    @property
    def counts_in_three(self) -> bool:
        """Whether the family's positions are in time, height and width."""
        return self._locate is not None

    def prompt(self, text: str, images: Sequence[Image]) -> Prompt:
        pictures = {"images": [[decode(image) for image in images]]} if images else {}
        inputs = dict(_call(self._processor, text, **pictures))
        inputs.pop("attention_mask", None)
        ids = inputs.pop("input_ids")[0].tolist()
        inputs = {name: self._moved(value) for name, value in inputs.items()}
        places = ids.count(self._image_token)
        if bool(images) != bool(places):
            raise _misplaced(len(images), places)
        positions, shift = self._positions(ids, inputs)
        if not self._reusable or (images and places % len(images)):
            # The whole prompt is one span: it is known or not, and never cut.
            keys, spans = list[Key](ids), [(0, len(ids))]
        else:
            pictured = [(image.digest, places // len(images)) for image in images]
            keys, spans = name_places(ids, self._image_token, pictured)
        return Prompt(ids, keys, spans, inputs=inputs, positions=positions, shift=shift)

    def keep(self, prompt: Prompt, count: int) -> int:  # noqa: ARG002 - one set of weights serves every prompt
        if self._cache is None or not self._reusable or any(getattr(self._cache, "is_sliding", ())):
            count = 0
        if count == 0 and self._steps is not None:
            self._steps.cache.clear()
        elif count == 0:
            self._cache = None
        else:
            self._cache.crop(count - self._cache.get_seq_length())
        return count

    def read(self, prompt: Prompt, start: int, end: int) -> Tensor:
        if self._steps is not None and end - start == 1 and all(last <= start for _, last in prompt.spans):
            # After the last picture a token is as far from its place in the order as all that follow.
            return self._steps.step(prompt.ids[start:end], start + prompt.shift)[0]
        device = self._model.device
        ids = torch.tensor([prompt.ids[start:end]], device=device)
        mask = torch.ones(1, end, dtype=torch.long, device=device)
        pictures = self._pictures(prompt, start, end)
        inputs = self._model.prepare_inputs_for_generation(
            ids,
            past_key_values=self._cache,
            attention_mask=mask,
            # Only then are pictures passed on.
            is_first_iteration=start == 0 or bool(pictures),
            **pictures,
            **self._places(prompt, start, end),
            **self._options,
        )
        output = self._model(**inputs)
        self._cache = output.past_key_values
        logits: Tensor = output.logits[0, -1]
        return logits

    def read_on(self, prompt: Prompt, guesses: Sequence[int]) -> Tensor | None:
        """Only at fixed shapes: there a wrong guess can be taken back, whatever the family."""
        if self._steps is None:
            return None
        return self._steps.step([prompt.ids[-1], *guesses], len(prompt) - 1 + prompt.shift)

    def take_back(self, count: int) -> None:
        if self._steps is not None:
            self._steps.cache.crop(-count)

    def _moved(self, value: Tensor) -> Tensor:
        return value.to(self._model.device, self._model.dtype if value.is_floating_point() else value.dtype)

    def branch(self, prompt: Prompt, options: Sequence[Sequence[int]]) -> list[Tensor]:
        # One at a time from a copy, because how a batch is laid out and what a cache keeps differ between families.
        return [self._ahead(prompt, option) for option in options]

    def _ahead(self, prompt: Prompt, option: Sequence[int]) -> Tensor:
        device = self._model.device
        start = len(prompt)
        if not option:
            return torch.empty(0, 0, device=device)
        inputs = self._model.prepare_inputs_for_generation(
            torch.tensor([option], device=device),
            past_key_values=copy.deepcopy(self._cache),
            attention_mask=torch.ones(1, start + len(option), dtype=torch.long, device=device),
            is_first_iteration=False,
            use_cache=True,
            **self._places(prompt, start, start + len(option)),
        )
        logits: Tensor = self._model(**inputs).logits[0]
        return logits

    def _positions(self, ids: Sequence[int], inputs: Mapping[str, Tensor]) -> tuple[Tensor | None, int]:
        """Where the tokens of a prompt are, and how far what follows is shifted from its place in the order."""
        if self._locate is None:
            return None, 0
        order = torch.tensor([ids], device=self._model.device)
        if "image_grid_thw" not in inputs:
            return torch.arange(len(ids), device=order.device).expand(3, 1, -1), 0
        positions, shift = self._locate(
            order, mm_token_type_ids=inputs["mm_token_type_ids"], image_grid_thw=inputs["image_grid_thw"]
        )
        return positions, int(shift)

    def _places(self, prompt: Prompt, start: int, end: int) -> dict[str, Tensor]:
        """The positions of these tokens, which may be of the reply, for a family that has to be told."""
        if prompt.positions is None:
            return {}
        given = prompt.positions[..., start:end]
        first = max(start, prompt.positions.shape[-1]) + prompt.shift
        after = torch.arange(first, max(first, end + prompt.shift), device=given.device).expand(3, 1, -1)
        return {"position_ids": torch.cat((given, after), dim=-1)}

    def _pictures(self, prompt: Prompt, start: int, end: int) -> dict[str, Tensor]:
        if not self._reusable:
            return prompt.inputs if start == 0 else {}
        inside = [index for index, (first, _) in enumerate(prompt.spans) if start <= first < end]
        return {"pixel_values": prompt.inputs["pixel_values"][inside]} if inside else {}


def _groups(options: Sequence[Sequence[int]]) -> list[list[Sequence[int]]]:
    """`options` in groups of at most `_TOGETHER` tokens, in order; a longer one is a group of its own."""
    groups: list[list[Sequence[int]]] = []
    room = 0
    for option in options:
        if not groups or len(option) > room:
            groups.append([])
            room = _TOGETHER
        groups[-1].append(option)
        room -= len(option)
    return groups


def name_places(
    ids: Sequence[int], image_token: int | None, pictures: Sequence[tuple[str, int]]
) -> tuple[list[Key], list[tuple[int, int]]]:
    """Keys of `ids`, in which placeholders are named by their picture's digest, and the span of each picture.

    `pictures` are (digest, number of placeholders) in order. Raises `ModelError` if the placeholders do not add up.
    """
    keys: list[Key] = list(ids)
    places = [place for place, token in enumerate(ids) if token == image_token]
    if len(places) != sum(count for _, count in pictures):
        raise _misplaced(sum(count for _, count in pictures), len(places))
    spans: list[tuple[int, int]] = []
    start = 0
    for digest, count in pictures:
        own = places[start : start + count]
        spans.append((own[0], own[-1] + 1))
        for place in own:
            keys[place] = digest
        start += count
    return keys, spans


def _misplaced(wanted: int, found: int) -> ModelError:
    return ModelError(
        f"The model's chat template leaves {found} places for pictures where there should be {wanted}: "
        "it may not take pictures, or not several."
    )


def _tokenize(processor: Any, text: str) -> list[int]:
    tokenizer = processor.tokenizer
    ids: list[int] = tokenizer(text, add_special_tokens=_wants_start(tokenizer, text))["input_ids"]
    return ids


def _call(processor: Any, text: str, **pictures: Any) -> Any:
    start = _wants_start(processor.tokenizer, text)
    return processor(text=[text], return_tensors="pt", add_special_tokens=start, **pictures)


def _wants_start(tokenizer: Any, text: str) -> bool:
    """Whether the tokenizer should add its start token, which most chat templates have written already."""
    return not (tokenizer.bos_token and text.startswith(tokenizer.bos_token))
