"""Find the reasoning that a model writes into its text, between tags such as `<think>` and `</think>`.

    "<think>It is red." "</thi" "nk>Red." ─▶ Reasoning("It is red.") ─▶ "Red."

An opening tag counts at the beginning of a line, outside fenced code: a reply that explains tags has them within
sentences. Some chat templates open the reasoning themselves, so that a reply has the closing tag alone. What precedes
that has been taken for text by then: see `TextWasReasoning`.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from assistant.events import TextWasReasoning
from assistant.messages import Reasoning

if TYPE_CHECKING:
    from assistant.models.base import ReplyItem

_TAGS = {
    **{f"<{name}>": f"</{name}>" for name in ("think", "thinking", "thought", "seed:think")},
    "[THINK]": "[/THINK]",  # Magistral
    "◁think▷": "◁/think▷",  # Kimi-VL
}
OPENING_TAG = "<think>"
"""Said in front of a reply whose template has opened the reasoning."""

_CLOSING = frozenset(_TAGS.values())
# Most chunks hold none of these, and nothing is searched in them.
_FIRST_CHARACTERS = tuple({tag[0] for tag in _TAGS})
_LONGEST = max(map(len, _CLOSING))
_LINE = 64
_MAX_SPACE = 64
_QUOTES = frozenset("`'\"“‘«(")


def opened(reply: "Iterable[ReplyItem]") -> "Iterator[ReplyItem]":
    """Yield `reply` with the opening tag that its template has written, unless it begins with reasoning as such."""
    first = True
    for item in reply:
        if first and isinstance(item, str):
            yield OPENING_TAG
        first = False
        yield item


def ends_with_opening_tag(prompt: str) -> bool:
    """Return True if a rendered prompt ends inside reasoning: the reply begins there."""
    return prompt.rstrip().endswith(tuple(_TAGS))


class ThinkTags:
    """Tells reasoning from text in one reply, whose chunks may cut a tag anywhere."""

    def __init__(self) -> None:
        self._closing = ""
        """Tag that ends the reasoning; empty in the text."""
        self._held = ""
        """End of the last chunk that may be the beginning of a tag."""
        self._line = ""
        """Text of the current line; the middle of a long one is left out."""
        self._in_code = False
        self._had_reasoning = False
        self._only_space = True
        """True if no text has come since the beginning, or since the reasoning."""
        self._leading_space = ""
        """White space before the first text. It is left out if reasoning follows instead."""

    def push(self, chunk: str) -> "list[str | Reasoning | TextWasReasoning]":
        """Return what is known of `chunk` and of what was held back before it."""
        text = self._held + chunk
        if not self._closing and not any(character in text for character in _FIRST_CHARACTERS):
            self._held = ""
            return [*self._text(text)]
        return [*self._read(text)]

    def flush(self) -> "list[str | Reasoning | TextWasReasoning]":
        """Return what was held back, once the reply is complete."""
        held, self._held = self._held, ""
        items = [*(self._reasoning(held) if self._closing else self._text(held))]
        return [*items, self._leading_space] if self._leading_space else items

    def _read(self, text: str) -> "Iterator[str | Reasoning | TextWasReasoning]":
        """Yield the items of `text`, and hold its end back if that may be the beginning of a tag."""
        while True:
            tags = (self._closing,) if self._closing else (*_TAGS, *_CLOSING)
            starts = {found: tag for tag in tags if (found := text.find(tag)) >= 0}
            end = min(starts) if starts else _tag_beginning(text, tags)
            yield from self._reasoning(text[:end]) if self._closing else self._text(text[:end])
            if not starts:
                self._held = text[end:]
                return
            tag = starts[end]
            text = text[end + len(tag) :]
            if self._closing:
                self._end_reasoning()
            else:
                yield from self._tag(tag)

    def _tag(self, tag: str) -> "Iterator[str | Reasoning | TextWasReasoning]":
        """Handle a tag outside reasoning."""
        if tag in _TAGS and not self._in_code and not self._line.strip():
            self._closing = _TAGS[tag]
        elif tag in _TAGS or self._in_code or self._line[-1:] in _QUOTES:
            yield from self._text(tag)
        elif not self._had_reasoning:
            if not self._only_space:
                yield TextWasReasoning()
            self._end_reasoning()
        elif not self._only_space:
            yield from self._text(tag)

    def _end_reasoning(self) -> None:
        self._closing = self._line = self._leading_space = ""
        self._had_reasoning = self._only_space = True

    @staticmethod
    def _reasoning(text: str) -> Iterator[Reasoning]:
        if text:
            yield Reasoning(text)

    def _text(self, text: str) -> Iterator[str]:
        if self._only_space:
            text = text.lstrip() if self._had_reasoning else self._leading_space + text
            self._only_space = not text or text.isspace()
            self._leading_space = text if self._only_space and len(text) < _MAX_SPACE else ""
            if self._leading_space or not text:
                return
        first, *others = text.split("\n")
        self._line += first
        for line in others:
            self._in_code ^= self._line.lstrip().startswith("```")
            self._line = line
        if len(self._line) > _LINE:
            # Its beginning and its last character are looked at.
            self._line = self._line[: _LINE // 2] + self._line[-1]
        yield text


def _tag_beginning(text: str, tags: tuple[str, ...]) -> int:
    """Return where the beginning of a tag starts with which `text` ends, its length if there is none."""
    return next(
        (
            start
            for start in range(max(0, len(text) - _LONGEST + 1), len(text))
            if any(len(text) - start < len(tag) and tag.startswith(text[start:]) for tag in tags)
        ),
        len(text),
    )
