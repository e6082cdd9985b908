"""Messages written out as the model's chat template wants them.

What people say is never taken for markup: a special token spelled out in a message (`<|im_end|>`, `<image>`) would
otherwise end their turn, speak as the system, or ask for a picture that is not there. `ChatTemplate.neutral` is the one
place that sees to it.
"""

import re
from collections.abc import Sequence
from typing import Any

from assistant.errors import ModelError
from assistant.messages import Audio, Image, Message, Text

# Put inside a special token it is no longer one, and nobody sees it. A few tokenizers drop the first; then the second.
_BREAKS = ("\N{ZERO WIDTH SPACE}", " ")
_PROBE = "probe"


class ChatTemplate:
    """The chat template of a model, by its `processor` (transformers'). Raises `ModelError` if it has none."""

    def __init__(self, processor: Any, model_name: str) -> None:
        self._processor = processor
        self._model_name = model_name
        self._tokenizer = processor.tokenizer
        # Some models carry their template with the tokenizer, others with the processor.
        self._template = getattr(processor, "chat_template", None) or self._tokenizer.chat_template
        if not self._template:
            raise ModelError(
                f"{model_name} has no chat template, so it cannot hold a conversation: choose an instruct model."
            )
        special = _special_tokens(processor)
        self._special_ids = set(self._tokenizer.convert_tokens_to_ids(sorted(special)))
        self._markup = _pattern(special)
        self._break = next((mark for mark in _BREAKS if self._breaks(mark, special)), _BREAKS[-1])

    def render(self, messages: Sequence[Message]) -> str:
        """The prompt up to where the reply begins, each picture as the template's placeholder. Raises `ModelError`."""
        return self._render([self._entry(message) for message in messages], add_generation_prompt=True)

    def escape_special_tokens(self, text: str) -> str:
        """`text` with an unseen mark inside everything that the tokenizer would read as a special token."""
        # Again until nothing is left: tokens may overlap, and breaking one can leave another.
        while self._markup.search(text):
            text = self._markup.sub(lambda found: found[0][0] + self._break + found[0][1:], text)
        return text

    def tokenize_reply(self, reply: str) -> list[int]:
        """The ids of a given reply, as they follow what `render` writes."""
        ids: list[int] = self._tokenizer(self.escape_special_tokens(reply), add_special_tokens=False)["input_ids"]
        return ids

    def eos_token_ids(self, *more: int | Sequence[int] | None) -> frozenset[int]:
        """The ids that end a reply: the tokenizer's, what the template writes after a reply, and `more`."""
        ids = {self._tokenizer.eos_token_id}
        for one in more:
            ids |= {one} if isinstance(one, int) else set(one or ())
        after = self._render([_say("user", _PROBE), _say("assistant", _PROBE)], add_generation_prompt=False).rpartition(_PROBE)[2]
        first = self._tokenizer(after.strip(), add_special_tokens=False)["input_ids"][:1]
        ids |= set(first) & self._special_ids
        return frozenset(ids - {None})

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

    def _render(self, conversation: list[dict[str, Any]], *, add_generation_prompt: bool) -> str:
        from jinja2 import TemplateError

        try:
            prompt: str = self._processor.apply_chat_template(
                conversation, chat_template=self._template, tokenize=False, add_generation_prompt=add_generation_prompt
            )
        except (TemplateError, TypeError) as error:
            # A TypeError comes from templates that join words and know nothing of parts.
            raise ModelError(
                f"The chat template of {self._model_name} does not take this conversation: {error}."
            ) from error
        return prompt


def _say(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": text}]}


def _special_tokens(processor: Any) -> set[str]:
    """All strings that the tokenizer or the processor reads as something other than words."""
    added = processor.tokenizer.added_tokens_decoder.values()
    tokens = {token.content for token in added if token.special} | set(processor.tokenizer.all_special_tokens)
    # Placeholders that the processor looks for in the text itself.
    tokens |= {value for name, value in vars(processor).items() if name.endswith("_token") and isinstance(value, str)}
    return {token for token in tokens if len(token) > 1}


def _pattern(tokens: set[str]) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(token) for token in sorted(tokens, key=len, reverse=True)) or r"(?!)")
