"""Two engines that answer many questions about many images with the assembled bundled model.

`TransformersEngine` is transformers alone in float32 or bfloat16, in batches; it gives the published figures.
`ProductEngine` is the model that people talk to, quantized and one question at a time, to compare with.
"""

import io
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import PIL.Image
import torch
from torch import Tensor, nn

from assistant.models.local.checkpoint import read_adapter
from assistant.models.replies import only_text

IMAGE_BATCH = 32
QUESTION_BATCH = 32

KeysAndValues = list[tuple[Tensor, Tensor]]
"""Keys and values (images, heads, tokens, size) of every layer."""


class AnswerEngine(Protocol):
    """Answers questions about images."""

    def answer(
        self, images: Sequence[PIL.Image.Image], questions: Sequence[str], max_new_tokens: int = 24
    ) -> list[str]:
        """Return the greedy answer to each question about the image at the same index.

        The same image object is encoded once for all its questions, and the same question about it answered once.
        """
        ...


class TransformersEngine:
    """The assembled model in transformers, with the image adapter merged, since every question has an image."""

    def __init__(self, model: Any, processor: Any) -> None:
        self.model = model
        self.processor = processor
        self._image_tokens = processor.image_token * model.config.image_seq_length

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype = torch.bfloat16) -> "TransformersEngine":
        """Load the model of `folder` with its decoder in `dtype`. The vision encoder is fast enough in float32."""
        from transformers import AutoModelForImageTextToText, AutoProcessor

        import assistant.models.pocket.vision_encoder  # noqa: F401 - registers the vision encoder with transformers

        model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
        adapter = folder / "picture_adapter.safetensors"
        if adapter.exists():
            merge_adapter(model.model.language_model, adapter)
        model.model.language_model.to(dtype)
        return cls(model, AutoProcessor.from_pretrained(folder))

    def prompt(self, question: str) -> list[int]:
        """Return the token ids of a conversation that begins with an image and `question`, as the processor's."""
        content = [{"type": "image"}, {"type": "text", "text": question}]
        text = self.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        text = text.replace(self.processor.image_token, self._image_tokens)
        ids: list[int] = self.processor.tokenizer(text).input_ids
        return ids

    @torch.inference_mode()
    def answer(
        self, images: Sequence[PIL.Image.Image], questions: Sequence[str], max_new_tokens: int = 24
    ) -> list[str]:
        unique = list({id(image): image for image in images}.values())
        index_of = {id(image): index for index, image in enumerate(unique)}
        prompts = {question: self.prompt(question) for question in set(questions)}
        asked = [(index_of[id(image)], question) for image, question in zip(images, questions, strict=True)]
        answers: dict[tuple[int, str], str] = {}
        for first in range(0, len(unique), IMAGE_BATCH):
            group = range(first, min(first + IMAGE_BATCH, len(unique)))
            pairs = sorted({pair for pair in asked if pair[0] in group}, key=lambda pair: (len(prompts[pair[1]]), pair))
            if not pairs:
                continue
            # All prompts have the same prefix, up to the last image token.
            some = prompts[pairs[0][1]]
            prefix = some[: len(some) - some[::-1].index(self.model.config.image_token_id)]
            cached = self._prefill([unique[index] for index in group], prefix)
            for start in range(0, len(pairs), QUESTION_BATCH):
                batch = pairs[start : start + QUESTION_BATCH]
                rows = torch.tensor([index - first for index, _ in batch])
                repeated = [(keys[rows], values[rows]) for keys, values in cached]
                replies = self._generate(repeated, prefix, [prompts[question] for _, question in batch], max_new_tokens)
                answers.update(zip(batch, replies, strict=True))
        return [answers[pair] for pair in asked]

    def _prefill(self, images: list[PIL.Image.Image], prefix: list[int]) -> KeysAndValues:
        """Return keys and values of `prefix` with each of `images`."""
        pixels = self.processor.image_processor(images, return_tensors="pt")["pixel_values"]
        ids = torch.tensor([prefix]).repeat(len(images), 1)
        cache = self.model.model(input_ids=ids, pixel_values=pixels, use_cache=True).past_key_values
        return [(layer.keys, layer.values) for layer in cache.layers]

    def _generate(
        self, cached: KeysAndValues, prefix: list[int], prompts: list[list[int]], max_new_tokens: int
    ) -> list[str]:
        """Continue `prompts`, whose common `prefix` is in `cached`."""
        from transformers import DynamicCache

        tokenizer = self.processor.tokenizer
        length = max(len(prompt) for prompt in prompts)
        ids = torch.full((len(prompts), length), tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        # Padded between image and question, so that both the cached prefix and the end of the prompts line up.
        for row, prompt in enumerate(prompts):
            rest = prompt[len(prefix) :]
            for part in (slice(0, len(prefix)), slice(length - len(rest), length)):
                mask[row, part] = 1
            ids[row, : len(prefix)] = torch.tensor(prefix)
            ids[row, length - len(rest) :] = torch.tensor(rest)
        output = self.model.generate(
            input_ids=ids,
            attention_mask=mask,
            past_key_values=DynamicCache(cached),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            pad_token_id=tokenizer.pad_token_id,
        )
        return [text.strip() for text in tokenizer.batch_decode(output[:, length:], skip_special_tokens=True)]


class ProductEngine:
    """The model behind the command line and the app."""

    def __init__(self, folder: Path) -> None:
        from assistant.models.local.model import LocalModel

        self._model = LocalModel.load(str(folder))

    def answer(
        self, images: Sequence[PIL.Image.Image], questions: Sequence[str], max_new_tokens: int = 24
    ) -> list[str]:
        from assistant.messages import Image, user
        from assistant.models.base import GenerationOptions

        options = GenerationOptions.greedy(max_new_tokens)
        encoded: dict[int, Image] = {}
        answers: dict[tuple[int, str], str] = {}
        for image, question in zip(images, questions, strict=True):
            if id(image) not in encoded:
                file = io.BytesIO()
                image.save(file, "PNG")
                encoded[id(image)] = Image(file.getvalue(), "image/png", image.width, image.height, "photo.png")
            if (id(image), question) not in answers:
                messages = [user(question, encoded[id(image)])]
                reply = "".join(only_text(self._model.stream(messages, options, threading.Event())))
                answers[id(image), question] = reply.strip()
        return [answers[id(image), question] for image, question in zip(images, questions, strict=True)]


def merge_adapter(decoder: nn.Module, file: Path) -> None:
    """Add the LoRA adapter in `file` to the weights of `decoder`."""
    adapter = read_adapter(file)
    with torch.no_grad():
        for name, module in decoder.named_modules():
            if isinstance(module, nn.Linear):
                module.weight.copy_(adapter.merge(name, module.weight))
