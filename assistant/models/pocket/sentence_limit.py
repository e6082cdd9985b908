"""End a reply after so many sentences: asked for few, a small model goes on with what it makes up."""

import re
import threading
from collections.abc import Generator, Sequence
from contextlib import closing

from assistant.events import Usage
from assistant.messages import Message
from assistant.models.base import ChatModel, GenerationOptions, ReplyItem
from assistant.models.replies import ModelStop

MAX_SENTENCES = 5
"""Sentences of a description for which nobody asked for a length."""

# Not after a number or a single letter: "1." in a list, "z. B.".
_END = re.compile(r"(?<=[^\W\d_]{2})[.!?][\"'”’»)]*(?=\s)|[。！？][」”]*")


def stream_sentences(
    model: ChatModel, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event, count: int
) -> Generator[ReplyItem, None, Usage]:
    """Yield the reply of `model` as `ChatModel.stream` does, up to the end of sentence number `count`."""
    ending = ModelStop(stop)
    text = ""
    is_complete = False
    with closing(model.stream(messages, options, ending)) as stream:
        while True:
            try:
                item = next(stream)
            except StopIteration as end:
                usage: Usage = end.value
                return usage
            if is_complete:
                continue
            if isinstance(item, str):
                before, text = len(text), text + item
                if (end_of_last := _end_of_sentence(text, count)) is not None:
                    is_complete = True
                    item = item[: max(end_of_last - before, 0)]
                    # The model ends within one token and returns the usage.
                    ending.end_reply()
            if item:
                yield item


def _end_of_sentence(text: str, count: int) -> int | None:
    """Return the position after sentence number `count`, None if `text` has fewer, or only it."""
    ends = [found.end() for found in _END.finditer(text)]
    return ends[count - 1] if len(ends) >= count else None
