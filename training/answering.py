"""Asking an assembled pocket model many questions about many photos, in one of two ways.

`PlainModel` is transformers alone in float32 or bfloat16, in batches, for the figures; `ProductModel` is the model as
people talk to it, quantized and one question at a time, to see that it says the same.
"""

import io
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor, nn

from assistant.models.local.checkpoint import read_adapter

PHOTOS_AT_ONCE = 32
QUESTIONS_AT_ONCE = 32

Seen = list[tuple[Tensor, Tensor]]


class Answerer(Protocol):
    """Something that can be asked about photos."""

    def answer(self, photos: Sequence[Image.Image], questions: Sequence[str], longest: int = 24) -> list[str]:
        """The greedy answer to each question about the photo beside it, of at most `longest` tokens."""
        ...


class PlainModel:
    """The assembled model in plain transformers; the picture adapter is merged, as every question has a picture."""

    def __init__(self, model: Any, processor: Any) -> None:
        self.model = model
        self.processor = processor
        self.picture = processor.image_token * model.config.image_seq_length

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype = torch.bfloat16) -> "PlainModel":
        """The model of `folder` with its decoder in `dtype`; its eyes stay in float32, they cost little."""
        from transformers import AutoModelForImageTextToText, AutoProcessor

        import assistant.models.pocket  # noqa: F401 - makes transformers know the eyes

        model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
        adapter = folder / "picture_adapter.safetensors"
        if adapter.exists():
            merge_adapter(model.model.language_model, adapter)
        model.model.language_model.to(dtype)
        return cls(model, AutoProcessor.from_pretrained(folder))

    def prompt(self, question: str) -> list[int]:
        """Token ids of a conversation that begins with a photo and `question`, as the processor would make them."""
        content = [{"type": "image"}, {"type": "text", "text": question}]
        text = self.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        ids: list[int] = self.processor.tokenizer(text.replace(self.processor.image_token, self.picture)).input_ids
        return ids

    @torch.inference_mode()
    def answer(self, photos: Sequence[Image.Image], questions: Sequence[str], longest: int = 24) -> list[str]:
        """See `Answerer`. A photo is looked at once for all its questions, and no question is answered twice."""
        faces = list({id(photo): photo for photo in photos}.values())
        number = {id(photo): index for index, photo in enumerate(faces)}
        prompts = {question: self.prompt(question) for question in set(questions)}
        asked = [(number[id(photo)], question) for photo, question in zip(photos, questions, strict=True)]
        answers: dict[tuple[int, str], str] = {}
        for first in range(0, len(faces), PHOTOS_AT_ONCE):
            group = range(first, min(first + PHOTOS_AT_ONCE, len(faces)))
            pairs = sorted({pair for pair in asked if pair[0] in group}, key=lambda pair: (len(prompts[pair[1]]), pair))
            if not pairs:
                continue
            # All prompts begin alike, up to the last token of the picture.
            some = prompts[pairs[0][1]]
            opening = some[: len(some) - some[::-1].index(self.model.config.image_token_id)]
            seen = self._look([faces[index] for index in group], opening)
            for start in range(0, len(pairs), QUESTIONS_AT_ONCE):
                batch = pairs[start : start + QUESTIONS_AT_ONCE]
                rows = torch.tensor([index - first for index, _ in batch])
                replies = self._write(seen, rows, opening, [prompts[question] for _, question in batch], longest)
                answers.update(zip(batch, replies, strict=True))
        return [answers[pair] for pair in asked]

    def _look(self, photos: list[Image.Image], opening: list[int]) -> Seen:
        """Keys and values of every layer after `opening` with each of `photos`."""
        pixels = self.processor.image_processor(photos, return_tensors="pt")["pixel_values"]
        ids = torch.tensor([opening]).repeat(len(photos), 1)
        cache = self.model.model(input_ids=ids, pixel_values=pixels, use_cache=True).past_key_values
        return [(layer.keys, layer.values) for layer in cache.layers]

    def _write(self, seen: Seen, rows: Tensor, opening: list[int], prompts: list[list[int]], longest: int) -> list[str]:
        """Continue `prompts`, which begin with `opening` about the photos `rows` of `seen`."""
        from transformers import DynamicCache

        tokenizer = self.processor.tokenizer
        length = max(len(prompt) for prompt in prompts)
        ids = torch.full((len(prompts), length), tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        # Filled up between picture and question, so that both the known beginning and the end to continue line up.
        for row, prompt in enumerate(prompts):
            rest = prompt[len(opening) :]
            for part in (slice(0, len(opening)), slice(length - len(rest), length)):
                mask[row, part] = 1
            ids[row, : len(opening)] = torch.tensor(opening)
            ids[row, length - len(rest) :] = torch.tensor(rest)
        cache = DynamicCache([(keys[rows], values[rows]) for keys, values in seen])
        said = self.model.generate(
            input_ids=ids,
            attention_mask=mask,
            past_key_values=cache,
            max_new_tokens=longest,
            do_sample=False,
            pad_token_id=tokenizer.pad_token_id,
        )
        return [text.strip() for text in tokenizer.batch_decode(said[:, length:], skip_special_tokens=True)]


class ProductModel:
    """The model behind the command line and the app, asked one question after the other."""

    def __init__(self, folder: Path) -> None:
        from assistant.models.local.model import LocalModel

        self.model = LocalModel.load(str(folder))

    def answer(self, photos: Sequence[Image.Image], questions: Sequence[str], longest: int = 24) -> list[str]:
        """See `Answerer`."""
        from assistant.messages import Image as Picture
        from assistant.messages import user
        from assistant.models.base import GenerationOptions

        options = GenerationOptions(max_tokens=longest)
        pictures: dict[int, Picture] = {}
        answers: dict[tuple[int, str], str] = {}
        for photo, question in zip(photos, questions, strict=True):
            if id(photo) not in pictures:
                file = io.BytesIO()
                photo.save(file, "PNG")
                pictures[id(photo)] = Picture(file.getvalue(), "image/png", photo.width, photo.height, "photo.png")
            if (id(photo), question) not in answers:
                asked = [user(question, pictures[id(photo)])]
                reply = "".join(self.model.stream(asked, options, threading.Event()))
                answers[id(photo), question] = reply.strip()
        return [answers[id(photo), question] for photo, question in zip(photos, questions, strict=True)]


def merge_adapter(decoder: nn.Module, file: Path) -> None:
    """Add the low-rank changes in `file` to the weights of `decoder`."""
    adapter = read_adapter(file)
    with torch.no_grad():
        for name, module in decoder.named_modules():
            if isinstance(module, nn.Linear):
                module.weight.copy_(adapter.merge(name, module.weight))
