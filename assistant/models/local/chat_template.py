"""Render messages with the model's chat template.

User text is never parsed as markup: a special token spelled out in a message (`<|im_end|>`, `<image>`) would end the
user's turn, speak as the system, or ask for an image that is not there. `ChatTemplate.escape_special_tokens` prevents
that, and nothing else does.
"""

import re
from collections.abc import Sequence
from typing import Any

from assistant.errors import ModelError, first_line
from assistant.messages import Audio, Image, Message, Text
from assistant.models.local.template_limits import TemplateLimitError, check_numbers, time_limit

# Inserted into a special token, either stops it from being one. A few tokenizers drop the first, which is invisible.
_BREAKS = ("\N{ZERO WIDTH SPACE}", " ")
_PROBE = "probe"
# Templates of Qwen and Gemma know the first name, those of DeepSeek and Granite the second.
_NO_REASONING = {"enable_thinking": False, "thinking": False}
# What code in a template may raise. A TypeError comes from templates that know no content parts.
_TEMPLATE_FAULTS = (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError)


class ChatTemplate:
    """The chat template of a model."""

    def __init__(self, processor: Any, model_name: str) -> None:
        """Find the template of transformers' `processor`. Raises `ModelError` if it has none."""
        self._processor = processor
        self._model_name = model_name
        self._tokenizer = processor.tokenizer
        self._prompt_ends: dict[bool, str] = {}
        # Some models have their template on the tokenizer, others on the processor.
        self._template = getattr(processor, "chat_template", None) or self._tokenizer.chat_template
        if not self._template:
            raise ModelError(
                f"{model_name} has no chat template, so it cannot hold a conversation: choose an instruct model."
            )
        for template in self._template.values() if isinstance(self._template, dict) else [self._template]:
            self._check(template)
        special = _special_tokens(processor)
        self._special_ids = set(self._tokenizer.convert_tokens_to_ids(sorted(special)))
        self._special_pattern = _pattern(special)
        self._break = next((mark for mark in _BREAKS if self._breaks(mark, special)), _BREAKS[-1])

    def render(self, messages: Sequence[Message], *, reasoning: bool = True) -> str:
        """Return the prompt up to where the reply begins, with a placeholder for each image. Raises `ModelError`.

        Args:
            messages: Conversation to answer.
            reasoning: False to ask for a reply without reasoning, which not every template can.
        """
        entries = [self._entry(message) for message in messages]
        return self._render(entries, add_generation_prompt=True, reasoning=reasoning)

    def prompt_end(self, *, reasoning: bool) -> str:
        """Return the end of every rendered prompt: what the template writes after the user's message."""
        if reasoning not in self._prompt_ends:
            entries = [_text_entry("user", _PROBE)]
            prompt = self._render(entries, add_generation_prompt=True, reasoning=reasoning)
            self._prompt_ends[reasoning] = prompt.rpartition(_PROBE)[2]
        return self._prompt_ends[reasoning]

    def escape_special_tokens(self, text: str) -> str:
        """Insert a mark into everything in `text` that the tokenizer would parse as a special token."""
        # Repeated, because tokens may overlap, and breaking one can form another.
        while self._special_pattern.search(text):
            text = self._special_pattern.sub(lambda found: found[0][0] + self._break + found[0][1:], text)
        return text

    def tokenize_reply(self, reply: str) -> list[int]:
        """Return the token ids of a given reply, as they follow a rendered prompt."""
        ids: list[int] = self._tokenizer(self.escape_special_tokens(reply), add_special_tokens=False)["input_ids"]
        return ids

    def eos_token_ids(self, *more: int | Sequence[int] | None) -> frozenset[int]:
        """Return the token ids that end a reply: the tokenizer's, the template's after a reply, and `more`."""
        ids = {self._tokenizer.eos_token_id}
        for each in more:
            ids |= {each} if isinstance(each, int) else set(each or ())
        exchange = [_text_entry("user", _PROBE), _text_entry("assistant", _PROBE)]
        after_reply = self._render(exchange, add_generation_prompt=False).rpartition(_PROBE)[2]
        first_token = self._tokenizer(after_reply.strip(), add_special_tokens=False)["input_ids"][:1]
        ids |= set(first_token) & self._special_ids
        return frozenset(ids - {None})

    def _check(self, template: str) -> None:
        try:
            check_numbers(template)
        except TemplateLimitError as error:
            raise ModelError(f"The chat template of {self._model_name} is refused: {error}.") from error

    def _breaks(self, mark: str, tokens: set[str]) -> bool:
        broken = "\n".join(token[0] + mark + token[1:] for token in tokens)
        ids = self._tokenizer(broken, add_special_tokens=False)["input_ids"]
        return not set(ids) & self._special_ids

    def _entry(self, message: Message) -> dict[str, Any]:
        content: list[dict[str, str]] = []
        for part in message.parts:
            match part:
                case Text():
                    content.append({"type": "text", "text": self.escape_special_tokens(part.text)})
                case Image():
                    content.append({"type": "image"})
                case Audio():
                    raise ModelError(f"{self._model_name} cannot listen to recordings: say it in words.")
        return {"role": message.role, "content": content}

    def _render(
        self, conversation: list[dict[str, Any]], *, add_generation_prompt: bool, reasoning: bool = True
    ) -> str:
        from jinja2 import TemplateError

        try:
            with time_limit():
                prompt: str = self._processor.apply_chat_template(
                    conversation,
                    chat_template=self._template,
                    tokenize=False,
                    add_generation_prompt=add_generation_prompt,
                    **({} if reasoning else _NO_REASONING),
                )
        except (TemplateError, TemplateLimitError, *_TEMPLATE_FAULTS) as error:
            raise ModelError(
                f"The chat template of {self._model_name} does not take this conversation: {first_line(error)}."
            ) from error
        return prompt


def keep_latest_images(messages: Sequence[Message], max_image_turns: int | None) -> Sequence[Message]:
    """Drop everything before the latest `max_image_turns` messages with images, except for system messages.

    A model that was trained with one image at a time confuses several. None keeps all messages.
    """
    with_images = [index for index, message in enumerate(messages) if message.had_image]
    if max_image_turns is None or len(with_images) <= max_image_turns:
        return messages
    first = with_images[-max_image_turns]
    return [*(message for message in messages[:first] if message.role == "system"), *messages[first:]]


def _text_entry(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": text}]}


def _special_tokens(processor: Any) -> set[str]:
    """Return all strings that the tokenizer or the processor parses as something other than text."""
    added = processor.tokenizer.added_tokens_decoder.values()
    tokens = {token.content for token in added if token.special} | set(processor.tokenizer.all_special_tokens)
    # Placeholders that the processor looks for in the text itself.
    tokens |= {value for name, value in vars(processor).items() if name.endswith("_token") and isinstance(value, str)}
    return {token for token in tokens if len(token) > 1}


def _pattern(tokens: set[str]) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(token) for token in sorted(tokens, key=len, reverse=True)) or r"(?!)")
