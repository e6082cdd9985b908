"""Split a reply into sentences while it is still being written.

A punctuation mark ends a sentence only if the next character that is no space confirms it:

    "It is 3."     waits: "5 metres." may follow
    "Dr."          goes on with a name
    "Really?"      goes on with 'and left' in '"Really?" and left.'
    "It sleeps."   ends before "A", and before a blank line
    "猫です。"       ends at once: some marks mean nothing else

The pieces are still Markdown, and each block is a piece: a code block, a heading, a list item, a table row.
`voice.tts.text_cleanup` turns them into words. Which marks end a sentence is in `voice.tts.sentence_marks`.
"""

import re

from voice.tts.sentence_marks import (
    CLAUSE_END,
    CLEAR_END,
    CLOSING_CHARACTERS,
    MARK_CHARACTERS,
    ends_sentence,
    find_long_cut,
)

MAX_CHARACTERS = 300
"""Longer sentences are cut at a comma or a space, because an engine reads all of its input before it speaks."""

QUICK_CHARACTERS = 20
QUICK_WORDS = 4
"""The first piece may end at a comma once it has so many characters and words, so that something is heard soon."""

_FENCES = ("```", "~~~")
_LIST_MARKER = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)])\s")
# A line that begins with one of these characters is a new block.
_BLOCK_STARTS = frozenset("#|>-*+•`~")


class SentenceSplitter:
    """Splits a reply into pieces to speak. The pieces do not depend on how the text arrives."""

    def __init__(self, language: str = "", *, quick: bool = True) -> None:
        """Create a splitter.

        Args:
            language: Code of the language of the text, "" if it is not known.
            quick: Whether the first piece may end at a comma.
        """
        self._language = language
        self._text = ""
        # Marker of the code block that is open, "" outside of one.
        self._fence = ""
        self._quick = quick

    def feed(self, text: str) -> list[str]:
        """Add text. Return the pieces that are complete now; often none."""
        pieces: list[str] = []
        position = 0
        while position < len(text):
            if self._fence:
                # Code may be long: it is taken in lines.
                end = text.find("\n", position) + 1 or len(text)
                self._text += text[position:end]
                position = end
                self._end_fence(pieces)
            else:
                self._feed_character(text[position], pieces)
                position += 1
        return pieces

    def _feed_character(self, character: str, pieces: list[str]) -> None:
        if (end := self._end_before(character)) is not None:
            self._cut(end, pieces)
        self._text += character
        self._end_block(character, pieces)

    def finish(self) -> list[str]:
        """Return the rest at the end of the reply: one piece or none. The splitter can be used again."""
        pieces: list[str] = []
        self._cut(len(self._text), pieces)
        self._fence = ""
        return pieces

    def _cut(self, end: int, pieces: list[str]) -> None:
        piece, self._text = self._text[:end].strip(), self._text[end:].lstrip("\n ")
        if piece:
            pieces.append(piece)
            self._quick = False

    def _end_before(self, character: str) -> int | None:
        """Return the end of a piece, given the character that comes next; None if no piece is complete."""
        text = self._text
        if not text or character.isspace():
            return None
        if not text[-1].isspace():
            return len(text) if self._ends_without_space(text, character) else None
        before = text.rstrip()
        lines = text[len(before) :].count("\n")
        if lines and (lines > 1 or self._is_block_end(before, character)):
            return len(text)
        return len(text) if self._is_sentence_end(before, character) else None

    def _is_block_end(self, before: str, character: str) -> bool:
        """Tell whether the line break between `before` and `character` ends a block."""
        last_line = before.rpartition("\n")[2]
        if last_line.lstrip().startswith(("#", "|")):
            return True
        if character in _BLOCK_STARTS:
            return True
        return not character.islower() and _LIST_MARKER.match(last_line) is not None

    def _is_sentence_end(self, before: str, character: str) -> bool:
        """Tell whether the space between `before` and `character` ends a sentence or, at the start, a clause."""
        if before.count("`") % 2:  # Inside inline code.
            return False
        if self._quick and CLAUSE_END.search(before):
            return len(before) >= QUICK_CHARACTERS and len(before.split()) >= QUICK_WORDS
        return ends_sentence(before, character, self._language)

    @staticmethod
    def _ends_without_space(text: str, character: str) -> bool:
        """Tell whether a sentence ends between `text` and `character`, which follows without a space."""
        if character in "¿¡":
            return text[-1] in "!?"
        return (
            character not in CLOSING_CHARACTERS
            and character not in MARK_CHARACTERS
            and CLEAR_END.search(text[-8:]) is not None
        )

    def _end_block(self, character: str, pieces: list[str]) -> None:
        """Open code blocks, and cut long sentences, after `character` was added to the text."""
        if character in "`~" and (line := self._text.rpartition("\n")[2]).strip() in _FENCES:
            self._cut(len(self._text) - len(line), pieces)
            self._fence = line.strip()
        elif len(self._text) >= MAX_CHARACTERS:
            self._cut(find_long_cut(self._text), pieces)

    def _end_fence(self, pieces: list[str]) -> None:
        """Close the code block that is open if the text ends with the line that closes it."""
        if not self._text.endswith("\n"):
            return
        end = len(self._text) - 1
        start = self._text.rfind("\n", 0, end)
        last = self._text[start + 1 : end].strip()
        if start >= 0 and last.startswith(self._fence) and last.strip(self._fence[0]) == "":
            self._fence = ""
            self._cut(len(self._text), pieces)
