"""Split a reply into sentences while it is still being written.

A punctuation mark ends a sentence only if the next character that is no space confirms it:

    "It is 3."     waits: "5 metres." may follow
    "Dr."          goes on with a name
    "Really?"      goes on with 'and left' in '"Really?" and left.'
    "It sleeps."   ends before "A", and before a blank line

The pieces are still Markdown, and each block is a piece: a code block, a heading, a list item, a table row.
`voice.tts.text_cleanup` turns them into words.
"""

import re

MAX_CHARACTERS = 300
"""Longer sentences are cut at a comma or a space, because an engine reads all of its input before it speaks."""

QUICK_CHARACTERS = 20
QUICK_WORDS = 4
"""The first piece may end at a comma once it has so many characters and words, so that something is heard soon."""

_FENCES = ("```", "~~~")
_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’»)\]*_]*$")
_CJK_END = re.compile(r"[。！？]+[」』”’）)]*$")
_CJK_CLOSING = frozenset("。！？」』”’）)")
_CLAUSE_END = re.compile(r"[,;:–—][\"'”’)\]*_]*$")
_LAST_WORD = re.compile(r"([\w.'’]+)\.[\"'”’»)\]*_]*$")
# A full stop after these never ends a sentence; after "no" it does unless a digit follows.
_ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof st mt vs e.g i.e cf al fig no nos vol ca approx dept gen col capt sgt rev hon sen rep "
    "z.b d.h bzw ca usw bspw".split()
)
_LIST_MARKER = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)])\s")
_BARE_LIST_NUMBER = re.compile(r"\s*\d{1,3}\.$")
# A line that begins with one of these characters is a new block.
_BLOCK_STARTS = frozenset("#|>-*+•`~")


class SentenceSplitter:
    """Splits a reply into pieces to speak. The pieces do not depend on how the text arrives."""

    def __init__(self, *, quick: bool = True) -> None:
        """Create a splitter. With `quick`, the first piece may end at a comma."""
        self._text = ""
        # Marker of the code block that is open, "" outside of one.
        self._fence = ""
        self._quick = quick

    def feed(self, text: str) -> list[str]:
        """Add text. Return the pieces that are complete now; often none."""
        pieces: list[str] = []
        for character in text:
            if (end := self._end_before(character)) is not None:
                self._cut(end, pieces)
            self._text += character
            self._end_block(character, pieces)
        return pieces

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
        if self._fence or not text or character.isspace():
            return None
        if _CJK_END.search(text) and character not in _CJK_CLOSING:
            return len(text)
        if not text[-1].isspace():
            return None
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
        if self._quick and _CLAUSE_END.search(before):
            return len(before) >= QUICK_CHARACTERS and len(before.split()) >= QUICK_WORDS
        if (
            not _SENTENCE_END.search(before)
            or character.islower()
            or _BARE_LIST_NUMBER.match(before.rpartition("\n")[2])
        ):
            return False
        word = _LAST_WORD.search(before)
        return word is None or not _continues_after(word[1], character)

    def _end_block(self, character: str, pieces: list[str]) -> None:
        """Open and close code blocks, and cut long sentences, after `character` was added to the text."""
        line = self._text.rpartition("\n")[2]
        if self._fence:
            if character == "\n":
                _, _, rest = self._text.partition("\n")
                last = rest[:-1].rpartition("\n")[2].strip() if rest else ""
                if last.startswith(self._fence) and last.strip(self._fence[0]) == "":
                    self._fence = ""
                    self._cut(len(self._text), pieces)
        elif character in "`~" and line.strip() in _FENCES:
            self._cut(len(self._text) - len(line), pieces)
            self._fence = line.strip()
        elif len(self._text) >= MAX_CHARACTERS:
            self._cut(_find_long_cut(self._text), pieces)


def _continues_after(word: str, character: str) -> bool:
    """Tell whether a sentence goes on after `word`, a full stop and a space, with `character`."""
    word = word.lower().lstrip("_")
    if word in _ABBREVIATIONS:
        return word != "no" or character.isdigit()
    # Initials, as in J. K. Rowling; "I" is a word.
    return len(word) == 1 and word.isalpha() and word != "i"


def _find_long_cut(text: str) -> int:
    """Return where to cut a sentence that is too long: after its last clause or word, else at its end."""
    third = len(text) // 3
    clauses = [match.end() for match in re.finditer(r"[,;:–—]\s", text)]
    if clauses and clauses[-1] > third:
        return clauses[-1]
    space = text.rfind(" ")
    return space if space > third else len(text)
