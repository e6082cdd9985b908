"""Helpers that read replies of chat models."""

import threading
from collections.abc import Generator
from itertools import islice
from typing import Any

from assistant.events import Usage
from assistant.messages import Message
from assistant.models.base import ChatModel, GenerationOptions, ReplyItem
from assistant.models.replies import only_text


def complete(model: ChatModel, *messages: Message, stop: threading.Event | None = None, **options: Any) -> str:
    """Return the whole reply of `model` to `messages`; `options` are those of `GenerationOptions`."""
    return "".join(only_text(model.stream(messages, GenerationOptions(**options), stop or threading.Event())))


def complete_with_usage(stream: Generator[ReplyItem, None, Usage]) -> tuple[str, Usage]:
    """Return the text of a stream and its usage."""
    chunks: list[str] = []
    while True:
        try:
            item = next(stream)
        except StopIteration as end:
            return "".join(chunks), end.value
        if isinstance(item, str):
            chunks.append(item)


def complete_partly(stream: Generator[ReplyItem, None, Usage], max_chunks: int) -> str:
    """Return the first `max_chunks` chunks of a stream, which is then closed."""
    text = "".join(only_text(islice(stream, max_chunks)))
    stream.close()
    return text
