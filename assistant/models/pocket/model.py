"""The bundled model of the chat: a language model that reads in words what a small vision model has seen.

image ─▶ small vision model, once ─▶ description ─┐
                                                  ▼
messages ───────────────────────────▶ prompt in words ─▶ language model ─▶ reply
"""

import threading
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import Any

from assistant.events import Usage
from assistant.messages import Image, Message
from assistant.models.base import (
    ChatModel,
    CoreSharer,
    GenerationOptions,
    ModelDefaults,
    ModelInfo,
    PausableModel,
    PromptPreparer,
    ReplyItem,
)
from assistant.models.pocket.described_images import DescribedImages, Vision
from assistant.models.pocket.hints import asks_who
from assistant.models.pocket.prompt import UNSEEN, build_prompt, wants_few_sentences
from assistant.models.pocket.sentence_limit import MAX_SENTENCES, stream_sentences
from assistant.progress import OnNotice, no_notice

FAITHFUL: dict[str, Any] = {"temperature": 0.0, "repetition_penalty": 1.0}
"""Options about images that are not set. Sampled as its makers advise, the model gave a running girl "green sneakers"
and "warm shadows"; greedily it did not. Their penalty for repetition punishes the words of the description."""


class PocketModel:
    """A `ChatModel` made of a language model and a small vision model: prepared, paused, and asked for the latter."""

    def __init__(self, language: ChatModel, load_vision: Callable[[], Vision], on_notice: OnNotice = no_notice) -> None:
        """Create the model.

        Args:
            language: Writes the replies; closed with this model.
            load_vision: Load the parts that see, when the first image is shown. May raise `ParleyError`.
            on_notice: Receives sentences about images that cannot be looked at.
        """
        self._language = language
        self._images = DescribedImages(load_vision, on_notice)

    @property
    def info(self) -> ModelInfo:
        return self._language.info

    @property
    def defaults(self) -> GenerationOptions:
        return self._language.defaults if isinstance(self._language, ModelDefaults) else GenerationOptions()

    @property
    def image_defaults(self) -> GenerationOptions:
        return replace(self.defaults, **FAITHFUL)

    def vision_model(self) -> ChatModel:
        return self._images.model

    def stream(
        self, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event
    ) -> Generator[ReplyItem, None, Usage]:
        started = time.monotonic()
        prompt = self._prompt(messages, stop)
        if stop.is_set():
            return Usage()
        seconds = time.monotonic() - started
        options = _faithful(options, messages)
        if wants_few_sentences(messages):
            usage = yield from stream_sentences(self._language, prompt, options, stop, MAX_SENTENCES)
        else:
            usage = yield from self._language.stream(prompt, options, stop)
        return replace(
            usage,
            first_token_seconds=usage.first_token_seconds + seconds if usage.first_token_seconds else 0.0,
            total_seconds=usage.total_seconds + seconds,
        )

    def prepare(self, messages: Sequence[Message], stop: threading.Event) -> None:
        prompt = self._prompt(messages, stop)
        if isinstance(self._language, PromptPreparer) and not stop.is_set():
            self._language.prepare(prompt, stop)

    def pause(self, *, paused: bool) -> None:
        if isinstance(self._language, PausableModel):
            self._language.pause(paused=paused)

    def share_cores(self, *, shared: bool) -> None:
        if isinstance(self._language, CoreSharer):
            self._language.share_cores(shared=shared)

    def close(self) -> None:
        self._language.close()
        self._images.close()

    def _prompt(self, messages: Sequence[Message], stop: threading.Event) -> list[Message]:
        return build_prompt(messages, _Words(self._images, stop))


def _faithful(options: GenerationOptions, messages: Sequence[Message]) -> GenerationOptions:
    """Return options that keep to the words for an image, or to those of the role, unless others were chosen."""
    is_about_role = bool(messages) and asks_who(messages[-1].text)
    if not is_about_role and not any(message.had_image for message in messages):
        return options
    return replace(options, **{name: value for name, value in FAITHFUL.items() if getattr(options, name) is None})


class _Words:
    """The `ImageWords` of one prompt."""

    def __init__(self, images: DescribedImages, stop: threading.Event) -> None:
        self._images = images
        self._stop = stop

    def describe(self, image: Image, *, is_new: bool) -> str:
        if self._stop.is_set():
            return ""
        found = self._images.describe(image, self._stop, is_new=is_new)
        return UNSEEN if found is None else found.as_text()

    def look_again(self, question: str, image: Image, *, is_new: bool) -> str:
        return "" if self._stop.is_set() else self._images.look_again(question, image, self._stop, is_new=is_new)
