"""Build requests to llama.cpp: messages, with special tokens in their text escaped, and continuations of a reply."""

import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from assistant.errors import ModelError
from assistant.messages import Audio, Image, Message, Text
from assistant.models.data_urls import data_url

if TYPE_CHECKING:
    from assistant.models.gguf.reply import Reply

# Inserted into a special token, it stops it from being one.
_BREAK = "\N{ZERO WIDTH SPACE}"
_STREAMED = {
    "stream": True,
    "stream_options": {"include_usage": True},
    # Chunks with the length of the prompt before it is prefilled, and with token counts.
    "return_progress": True,
    "timings_per_token": True,
}
# The last word of a text with the space before it, or the last two characters of a text without spaces.
_LAST_WORD = re.compile(r"\s+\S{0,40}\s*\Z|\S{0,2}\s*\Z")


class RequestBuilder:
    """Builds requests from messages for one model."""

    def __init__(self, model_name: str, special_tokens: Collection[str], *, sees: bool = False) -> None:
        """Create a builder.

        Args:
            model_name: Name for errors.
            special_tokens: Texts that are escaped in messages.
            sees: True if the model has a vision encoder.
        """
        self._model_name = model_name
        self._sees = sees
        self._data_urls: dict[str, str] = {}
        # One that holds the mark would be found again after it is broken, for ever.
        longest_first = sorted((each for each in special_tokens if _BREAK not in each), key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def build(self, messages: Sequence[Message]) -> dict[str, Any]:
        """Return a request for the reply to `messages`. Raises `ModelError` for audio, and images if it cannot see."""
        images = {image.digest: image for message in messages for image in message.images}
        if images and not self._sees:
            raise ModelError(
                f"{self._model_name} cannot see pictures: choose a vision-language model, or put its mmproj file into "
                "the same folder."
            )
        # Images still in the conversation are encoded once; the others are forgotten.
        self._data_urls = {digest: self._data_urls.get(digest) or data_url(image) for digest, image in images.items()}
        return _STREAMED | {"messages": [{"role": each.role, "content": self._content(each)} for each in messages]}

    def _content(self, message: Message) -> str | list[dict[str, Any]]:
        parts: list[dict[str, Any]] = []
        for part in message.parts:
            match part:
                case Text():
                    parts.append({"type": "text", "text": self._escape(part.text)})
                case Image():
                    parts.append({"type": "image_url", "image_url": {"url": self._data_urls[part.digest]}})
                case Audio():
                    raise ModelError(f"{self._model_name} cannot listen to recordings: say it in words.")
        # Every template takes a plain text.
        return parts if message.images else "\n".join(part["text"] for part in parts)

    def _escape(self, text: str) -> str:
        """Insert a mark into everything in `text` that the tokenizer would parse as a special token."""
        # Repeated, because tokens may overlap, and breaking one can form another.
        while self._special.search(text):
            text = self._special.sub(lambda found: found[0][0] + _BREAK + found[0][1:], text)
        return text


def continuation(request: dict[str, Any], reply: "Reply") -> dict[str, Any]:
    """Return a request that continues `reply`, which `request` began and which was interrupted.

    The last word is generated again, because a tokenizer may join it with what follows: a grammar forces it, and
    `reply` leaves it out.
    """
    last_word = _LAST_WORD.search(reply.text)
    assert last_word is not None
    kept, repeated = reply.text[: last_word.start()], last_word[0]
    changes: dict[str, Any] = {"max_tokens": request["max_tokens"] - reply.repeat(repeated)}
    if reply.text and reply.reasoning:
        # llama.cpp refuses to continue a text while the template opens a reasoning.
        changes["chat_template_kwargs"] = {"enable_thinking": False}
    if kept:
        changes["messages"] = [*request["messages"], {"role": "assistant", "content": kept}]
    if repeated:
        changes["grammar"] = f"root ::= {_literal(repeated)} [^\\x00]*"
    return request | changes


def forced_reply(tokens: Sequence[int]) -> dict[str, Any]:
    """Return the fields of a request whose reply consists of `tokens`, with the log-probability of each and of the end.

    A grammar forces the tokens. Their probabilities are those of the model without it. Raises `ModelError` if there
    are none.
    """
    if not tokens:
        raise ModelError("An empty reply cannot be scored.")
    grammar = " ".join(f"<[{token}]>" for token in tokens)
    return {
        "stream": False,
        "stream_options": None,
        "max_tokens": len(tokens) + 1,
        "temperature": 0,
        "logprobs": True,
        "top_logprobs": 1,
        "grammar": f"root ::= {grammar}",
        # The reply is scored as an answer.
        "chat_template_kwargs": {"enable_thinking": False},
    }


def _literal(text: str) -> str:
    """Return `text` as a literal of llama.cpp's grammars."""
    return '"' + "".join(f"\\U{ord(character):08X}" for character in text) + '"'
