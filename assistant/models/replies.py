"""Read the reply of a model to its end. A reply without text is an error, whatever the backend.

    ChatModel.stream ─▶ stream_reply ─┬▶ text: valid Unicode, from the first visible character on
                                      ├▶ usage, whose `finish_reason` may deserve a notice (`ending_notice`)
                                      └▶ EmptyReply: the reason why there is no text

Sessions and skills read replies through here and nowhere else.
"""

import re
import threading
import unicodedata
from collections.abc import Generator, Sequence
from contextlib import closing

from assistant.errors import EmptyReply
from assistant.events import Usage
from assistant.messages import Message
from assistant.models.base import ChatModel, GenerationOptions
from assistant.text_cleaning import clean_line, valid_unicode

_SURROGATE_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_HIGH_SURROGATES = ("\ud800", "\udbff")
# Controls, formats (such as the zero-width space), and separators.
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})
# Of other categories: fillers of Hangul, the blank Braille pattern, and marks that only change or join others.
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0" + "".join(map(chr, range(0xFE00, 0xFE10))))


def stream_reply(
    model: ChatModel, messages: Sequence[Message], options: GenerationOptions, stop: threading.Event
) -> Generator[str, None, Usage]:
    """Yield the reply of `model` to `messages` and return the usage, like `ChatModel.stream`.

    White space before the first visible character comes with that character, so that a reply without any yields
    nothing. Raises `EmptyReply` for such a reply, unless `stop` is set; else as `ChatModel.stream` does.
    """
    reader = _TextReader()
    with closing(model.stream(messages, options, stop)) as stream:
        while True:
            try:
                chunk = next(stream)
            except StopIteration as end:
                usage: Usage = end.value
                break
            if text := reader.push(chunk):
                yield text
    if text := reader.flush():
        yield text
    if not reader.has_text and not stop.is_set():
        raise empty_reply(model.info.name, usage, options)
    return usage


def is_blank(text: str) -> bool:
    """Return True if `text` has no visible character."""
    return all(
        unicodedata.category(character) in _INVISIBLE_CATEGORIES or character in _INVISIBLE for character in text
    )


def empty_reply(model_name: str, usage: Usage, options: GenerationOptions) -> EmptyReply:
    """Return the error for a reply without text, with the reason that `usage` gives."""
    detail = clean_line(usage.finish_detail)
    ask_again = "ask again, or choose another model"
    match usage.finish_reason:
        case "content_filter":
            return EmptyReply(f"The content filter of the server of {model_name} withheld the reply", "ask otherwise")
        case "refusal":
            return EmptyReply(f"{model_name} refused to answer{f' (“{detail}”)' if detail else ''}", "ask otherwise")
        case "tool_calls":
            called = f"a tool ({detail})" if detail else "a tool"
            return EmptyReply(f"{model_name} called {called} although none was offered, and gave no text", ask_again)
        case "length" if usage.reasoning_tokens:
            problem = f"{model_name} only reasoned, and gave no answer within {_tokens(options.max_tokens)}"
            return EmptyReply(problem, "raise --max-tokens")
        case "length":
            return EmptyReply(f"{model_name} gave no text within {_tokens(options.max_tokens)}", "raise --max-tokens")
    if usage.reasoning_tokens:
        return EmptyReply(f"{model_name} only reasoned, and gave no answer", "ask again, or raise --max-tokens")
    return EmptyReply(f"{model_name} gave no text", ask_again)


def ending_notice(usage: Usage, options: GenerationOptions) -> str | None:
    """Return a sentence for the user if a reply with text did not end as replies should, else None."""
    detail = clean_line(usage.finish_detail)
    match usage.finish_reason:
        case "length" if 0 < usage.reply_tokens < options.max_tokens:
            # No number: a server that counts no tokens has its chunks counted, and a chunk may hold many.
            return (
                "The reply was cut off where the model or its server has its limit: start a new conversation, or "
                "raise --max-tokens, for longer replies."
            )
        case "length":
            return f"The reply was cut off at {_tokens(options.max_tokens)}: raise --max-tokens for longer replies."
        case "content_filter":
            return "The content filter of the server cut the reply off."
        case "refusal":
            return f"The model refused to go on{f': “{detail}”' if detail else ''}."
        case "tool_calls":
            return f"The model called a tool{f' ({detail})' if detail else ''}, although none was offered."
    return None


def _tokens(number: int) -> str:
    return "1 token" if number == 1 else f"{number} tokens"


class _TextReader:
    """Text of one reply, from its first visible character on. A character may arrive as two halves."""

    def __init__(self) -> None:
        self.has_text = False
        self._held = ""

    def push(self, chunk: str) -> str:
        """Add a chunk and return the text that is complete now."""
        text = self._held + chunk
        self._held = ""
        if text and _HIGH_SURROGATES[0] <= text[-1] <= _HIGH_SURROGATES[1]:
            text, self._held = text[:-1], text[-1]
        if not self.has_text and is_blank(text):
            self._held = text + self._held
            return ""
        self.has_text = True
        return _join_surrogates(text)

    def flush(self) -> str:
        """Return what was held back, once the reply is complete. White space alone is no reply."""
        text, self._held = self._held, ""
        if is_blank(text):
            return ""
        self.has_text = True
        return _join_surrogates(text)


def _join_surrogates(text: str) -> str:
    """Return `text` with surrogate pairs as characters, and U+FFFD for each lone surrogate."""
    if text.isascii():
        return text
    joined = _SURROGATE_PAIR.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), text)
    return valid_unicode(joined)
