"""Other model families, run by transformers' own code."""

import copy
from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from assistant.attachments.images import decode
from assistant.messages import Image
from assistant.models.local import kv_cache
from assistant.models.local.decoders.prompts import image_features, image_token_keys, process, tokenize
from assistant.models.local.image_encoder import Pictures, image_token_mismatch
from assistant.models.local.prompt_cache import Prompt

if TYPE_CHECKING:
    from assistant.models.local.compiled import CompiledDecoder

# Families whose pictures can be encoded apart from their prompt, and whose keys and values can be cut at any token. The
# others read every prompt whole, until a test shows that warm equals cold for them as well.
PREFIX_CACHEABLE = frozenset({"gemma3", "internvl", "llava", "qwen3_vl", "smolvlm"})


class TransformersDecoder:
    """Any image-text-to-text model, run the way transformers' `generate` runs it."""

    def __init__(self, model: Any, processor: Any, pictures: Pictures) -> None:
        self._model = model
        self._processor = processor
        self._pictures = pictures
        self._image_token: int | None = getattr(model.config, "image_token_id", None)
        self._prefix_cacheable = model.config.model_type in PREFIX_CACHEABLE and kv_cache.is_croppable(model.config)
        takes = signature(model.forward).parameters
        # Gemma's pictures read themselves in both directions, so that none can be cut.
        self._both_ways = "token_type_ids" in takes
        # The Qwen-VL families count a picture's tokens in time, height and width. Left to themselves they remember on
        # the model how far the last prompt was shifted by that, and go wrong once another was read in between.
        self._locate: Callable[..., tuple[Tensor, Tensor]] | None = getattr(model.base_model, "get_rope_index", None)
        self._cache: Any = None
        self._compiled: CompiledDecoder | None = None
        # A long prompt's logits are larger than its keys and values, and only the last row is wanted.
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}

    def use_compiled(self, steps: "CompiledDecoder") -> None:
        """Read into the cache of `steps` from here on, and replies by them."""
        self._compiled = steps
        self._cache = steps.cache

    @property
    def uses_mrope(self) -> bool:
        """Whether the family's positions are in time, height and width."""
        return self._locate is not None

    def build_prompt(self, text: str, images: Sequence[Image]) -> Prompt:
        if not self._prefix_cacheable:
            return self._whole(text, images)
        text, pictures = self._pictures.place(text, images)
        ids = tokenize(self._processor, text)
        keys, spans = image_token_keys(ids, self._image_token, pictures)
        grids = [picture.grid for picture in pictures if picture.grid is not None]
        positions, shift = self._positions(ids, torch.cat(grids) if grids else None)
        return Prompt(
            ids, keys, spans if self._both_ways else [], pictures=pictures, positions=positions, rope_delta=shift
        )

    def crop(self, prompt: Prompt, count: int) -> int:  # noqa: ARG002 - one set of weights serves every prompt
        if count and self._prefix_cacheable and self._cut(count):
            return count
        if self._compiled is None:
            self._cache = None
        else:
            # Wiped, not dropped: what is compiled and recorded points at its blocks.
            self._compiled.cache.clear()
        return 0

    def forward(self, prompt: Prompt, start: int, end: int) -> Tensor:
        if self._compiled is not None and end - start == 1 and _is_word(prompt, start):
            return self._compiled.step(prompt.ids[start:end], self._position(prompt, start))[0]
        if self._prefix_cacheable:
            logits = self._read_on(prompt, prompt.ids[start:end], start, self._last_only)
            kv_cache.trim(self._cache)
        else:
            logits = self._read_whole(prompt, start, end)
        return logits[-1]

    def score_continuations(self, prompt: Prompt, options: Sequence[Sequence[int]]) -> list[Tensor]:
        # One at a time, because how a batch is laid out differs between families.
        return [self._ahead(prompt, option) for option in options]

    def _ahead(self, prompt: Prompt, option: Sequence[int]) -> Tensor:
        start, end = len(prompt), len(prompt) + len(option)
        if not option:
            return torch.empty(0, 0, device=self._model.device)
        if self._prefix_cacheable:
            logits = self._read_on(prompt, option, start, {})
            self._cut(start)
            return logits
        before = copy.deepcopy(self._cache) if self._compiled is None else None
        ahead = Prompt([*prompt.ids, *option], [], positions=prompt.positions, rope_delta=prompt.rope_delta)
        try:
            return self._read_whole(ahead, start, end, last_only=False)
        finally:
            if self._compiled is None:
                self._cache = before
            else:
                self._cut(start)

    def _cut(self, count: int) -> bool:
        """Forget all but the first `count` tokens; False, with nothing done, where that cannot be done."""
        if self._compiled is not None:
            self._compiled.cache.crop(count)
            return True
        return self._cache is not None and kv_cache.cut(self._cache, count)

    def _read_on(self, prompt: Prompt, ids: Sequence[int], start: int, options: Mapping[str, Any]) -> Tensor:
        """Read `ids`, which stand at `start`; logits (tokens, vocabulary) after all of them, or as `options` say."""
        device = self._model.device
        end = start + len(ids)
        if self._cache is None:
            self._cache = kv_cache.empty(self._model.config)
        output = self._model(
            input_ids=torch.tensor([list(ids)], device=device),
            attention_mask=torch.ones(1, end, dtype=torch.long, device=device),
            past_key_values=self._cache,
            use_cache=True,
            **self._seen(prompt, start, end),
            **self._places(prompt, start, end),
            **options,
        )
        logits: Tensor = output.logits[0]
        return logits

    def _seen(self, prompt: Prompt, start: int, end: int) -> dict[str, Any]:
        """What the model is told about the pictures that have places from `start` up to `end`."""
        rows = image_features(self._pictures, prompt, self._image_token, start, end)
        if not rows:
            return {}
        seen: dict[str, Any] = {"mm_encoder_outputs": {"image": self._pictures.as_encoder_output(rows)}}
        if self._both_ways:
            # Which places belong together is counted from the first token.
            seen["token_type_ids"] = self._are_places(prompt.ids[:end])
        return seen

    def _whole(self, text: str, images: Sequence[Image]) -> Prompt:
        """A prompt that is one span: it is known or not, and never cut."""
        pictures: dict[str, Any] = {"images": [[decode(image) for image in images]]} if images else {}
        if images and self._pictures.options:
            pictures["images_kwargs"] = self._pictures.options
        inputs = dict(process(self._processor, text, **pictures))
        inputs.pop("attention_mask", None)
        ids = inputs.pop("input_ids")[0].tolist()
        inputs = {name: self._moved(value) for name, value in inputs.items()}
        places = ids.count(self._image_token)
        if bool(images) != bool(places):
            raise image_token_mismatch(len(images), places)
        positions, shift = self._positions(ids, inputs.get("image_grid_thw"))
        return Prompt(ids, list(ids), [(0, len(ids))], inputs=inputs, positions=positions, rope_delta=shift)

    def _read_whole(self, prompt: Prompt, start: int, end: int, *, last_only: bool = True) -> Tensor:
        device = self._model.device
        inputs = self._model.prepare_inputs_for_generation(
            torch.tensor([prompt.ids[start:end]], device=device),
            past_key_values=self._cache,
            attention_mask=torch.ones(1, end, dtype=torch.long, device=device),
            # Only then are pictures passed on.
            is_first_iteration=start == 0,
            use_cache=True,
            **(prompt.inputs if start == 0 else {}),
            **self._places(prompt, start, end),
            **(self._last_only if last_only else {}),
        )
        output = self._model(**inputs)
        self._cache = output.past_key_values
        logits: Tensor = output.logits[0]
        return logits

    def verify(self, prompt: Prompt, guesses: Sequence[int]) -> Tensor | None:
        """Only at fixed shapes: there a wrong guess can be taken back, whatever the family."""
        if self._compiled is None:
            return None
        return self._compiled.step([prompt.ids[-1], *guesses], self._position(prompt, len(prompt) - 1))

    def rollback(self, count: int) -> None:
        if self._compiled is not None:
            self._cut(self._compiled.cache.length - count)

    def _moved(self, value: Tensor) -> Tensor:
        return value.to(self._model.device, self._model.dtype if value.is_floating_point() else value.dtype)

    def _are_places(self, ids: Sequence[int]) -> Tensor:
        """1 for each placeholder in `ids`, 0 for all others: (1, tokens)."""
        return torch.tensor([[int(token == self._image_token) for token in ids]], device=self._model.device)

    def _positions(self, ids: Sequence[int], grids: Tensor | None) -> tuple[Tensor | None, int]:
        """Where the tokens of a prompt are, and how far what follows is shifted from its place in the order."""
        if self._locate is None:
            return None, 0
        order = torch.tensor([ids], device=self._model.device)
        if grids is None:
            return torch.arange(len(ids), device=order.device).expand(3, 1, -1), 0
        positions, shift = self._locate(order, mm_token_type_ids=self._are_places(ids), image_grid_thw=grids)
        return positions, int(shift)

    def _position(self, prompt: Prompt, place: int) -> int:
        """Where a word is that stands at `place`, which may be of the reply: as far in time as in height and width."""
        if prompt.positions is None or place >= prompt.positions.shape[-1]:
            return place + prompt.rope_delta
        return int(prompt.positions[0, 0, place])

    def _places(self, prompt: Prompt, start: int, end: int) -> dict[str, Tensor]:
        """The positions of these tokens, which may be of the reply, for a family that has to be told."""
        if prompt.positions is None:
            return {}
        given = prompt.positions[..., start:end]
        first = max(start, prompt.positions.shape[-1]) + prompt.rope_delta
        after = torch.arange(first, max(first, end + prompt.rope_delta), device=given.device).expand(3, 1, -1)
        return {"position_ids": torch.cat((given, after), dim=-1)}


def _is_word(prompt: Prompt, place: int) -> bool:
    """Whether what stands there is no part of a picture, and of nothing that has to be read in one go."""
    return isinstance(prompt.keys[place], int) and not any(first <= place < end for first, end in prompt.atomic_spans)
