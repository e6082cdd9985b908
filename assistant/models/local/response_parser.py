"""Tell text, reasoning and calls of tools apart where the model's tokenizer declares how it marks them.

    text with special tokens ─▶ transformers' ResponseParser, by `tokenizer.response_template` ─▶ items of the reply

Models without such a declaration mark reasoning by tags in their text, which `think_tags` finds.
"""

from collections.abc import Iterator
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
        try:
            self._parser = ResponseParser(template, prefix=prompt)
        except Exception as error:  # files of a model may hold anything
            raise ModelError(f"The response template of {model_name} is invalid: {first_line(error)}.") from error

    def push(self, text: str) -> Iterator[ReplyItem]:
        """Yield the items that the next text of the model completes."""
        yield from _items(self._parser.feed(text))

    def flush(self) -> Iterator[ReplyItem]:
        """Yield what was held back, once the reply is complete. A call that is cut off is no call."""
        try:
            _, events = self._parser.finalize()
        except ValueError:
            # A required field is missing, as in a reply that was stopped.
            return
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
