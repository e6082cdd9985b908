"""Tell text, reasoning and calls of tools apart where the model's tokenizer declares how it marks them.

    text with special tokens ─▶ transformers' ResponseParser, by `tokenizer.response_template` ─▶ items of the reply

Models without such a declaration mark reasoning by tags in their text, which `think_tags` finds.
"""

from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby
from typing import Any

from transformers.utils.chat_parsing import ResponseParser

from assistant.errors import ModelError, first_line
from assistant.messages import Reasoning, ToolCall
from assistant.models.base import ReplyItem
from assistant.text_cleaning import to_json

_REASONING_FIELDS = frozenset({"thinking", "reasoning", "reasoning_content"})


class DeclaredResponse:
    """Reads one reply of a model whose tokenizer has a response template."""

    def __init__(self, template: dict[str, Any], prompt: str, model_name: str) -> None:
        """Begin a reply.

        Args:
            template: The tokenizer's `response_template`.
            prompt: A rendered prompt up to where the reply begins, which may write its beginning.
            model_name: Name for the error.

        Raises:
            ModelError: The template is invalid.
        """
        self._parser: ResponseParser | None
        try:
            self._parser = ResponseParser(template, prefix=prompt)
        except Exception as error:  # files of a model may hold anything
            raise ModelError(f"The response template of {model_name} is invalid: {first_line(error)}.") from error

    def push(self, text: str) -> Iterator[ReplyItem]:
        """Yield the items that the next text of the model completes. An invalid call is left out."""
        for kind, items in groupby(self._items(text), type):
            if kind is str:
                yield "".join(map(str, items))
            else:
                yield from items

    def _items(self, text: str) -> Iterator[ReplyItem]:
        # One by one: an error loses what was fed with it.
        for character in text:
            if self._parser is None:
                yield character
                continue
            try:
                events = self._parser.feed(character)
            except ValueError:
                # The parser cannot go on. What else comes is text.
                self._parser = None
                continue
            yield from _items(events)

    def flush(self) -> Iterator[ReplyItem]:
        """Yield what was held back, once the reply is complete. A call that is cut off is no call."""
        # A ValueError: a call is invalid, or a required field is missing, as in a reply that was stopped.
        with suppress(ValueError):
            if self._parser is not None:
                _, events = self._parser.finalize()
                yield from _items(events)


def _items(events: list[dict[str, Any]]) -> Iterator[ReplyItem]:
    for event in events:
        match event:
            case {"type": "region_chunk", "field": "content", "text": str(text)}:
                yield text
            case {"type": "region_chunk", "field": field, "text": str(text)} if field in _REASONING_FIELDS:
                yield Reasoning(text)
            case {"type": "region_close", "field": "tool_calls", "value": value}:
                for call in value if isinstance(value, list) else [value]:
                    yield from _tool_call(call)


def _tool_call(value: Any) -> Iterator[ToolCall]:
    function = value.get("function", value) if isinstance(value, dict) else {}
    if isinstance(function, dict) and isinstance(name := function.get("name"), str):
        arguments = function.get("arguments", {})
        yield ToolCall(name, arguments if isinstance(arguments, str) else to_json(arguments))
