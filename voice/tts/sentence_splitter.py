"""Text that is still being written, cut into what can be spoken already.

A full stop ends a sentence only when the next sign that is no space has come: "3." may become "3.5", "Dr." goes on
with a name and "?" with "and left". What is cut here is still markdown: a block of code, a heading, an item of a list
and a row of a table are each one piece. `voice.tts.text_cleanup` makes words of them.
"""

import re

MAX_CHARACTERS = 300
"""Longer sentences are cut at a comma or a space: an engine makes no sound before it has read all it is given."""

QUICK_CHARACTERS = 20
QUICK_WORDS = 4
"""The very first piece may end at a comma once it has these, so that something is heard soon."""

_FENCES = ("```", "~~~")
_ENDED = re.compile(r"[.!?…]+[\"'”’»)\]*_]*$")
_CJK_END = re.compile(r"[。！？]+[」』”’）)]*$")
_CJK_CLOSING = frozenset("。！？」』”’）)")
_CLAUSE_ENDED = re.compile(r"[,;:–—][\"'”’)\]*_]*$")
_LAST_WORD = re.compile(r"([\w.'’]+)\.[\"'”’»)\]*_]*$")
# A full stop after these ends no sentence, whatever follows.
_ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof st mt vs e.g i.e cf al fig no nos vol ca approx dept gen col capt sgt rev hon sen rep "
    "z.b d.h bzw ca usw bspw".split()
)
_LIST_MARK = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)])\s")
_ONLY_LIST_NUMBER = re.compile(r"\s*\d{1,3}\.$")
# A line that begins with one of these begins a block of its own.
_BLOCK_STARTS = frozenset("#|>-*+•`~")


class SentenceSplitter:
    """Cuts a reply into pieces to speak, the same ones however the text arrives.

    With `quick`, the first piece is cut short for the sake of an early start.
    """

    def __init__(self, *, quick: bool = True) -> None:
        self._text = ""
        self._fence = ""
        self._quick = quick

    def feed(self, written: str) -> list[str]:
        """The pieces that are surely over now that `written` has come as well; often none."""
        pieces: list[str] = []
        for character in written:
            if (end := self._end_before(character)) is not None:
                self._cut(end, pieces)
            self._text += character
            self._after(character, pieces)
        return pieces

    def finish(self) -> list[str]:
        """What is left at the end of the reply: one piece or none. The splitter is as new then, but not quick."""
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
        """Where a piece ends, now that `character` comes next; None if nowhere yet."""
        text = self._text
        if self._fence or not text or character.isspace():
            return None
        if _CJK_END.search(text) and character not in _CJK_CLOSING:
            return len(text)
        if not text[-1].isspace():
            return None
        before = text.rstrip()
        lines = text[len(before) :].count("\n")
        if lines and (lines > 1 or self._line_ends(before, character)):
            return len(text)
        return len(text) if self._sentence_ends(before, character) else None

    def _line_ends(self, before: str, character: str) -> bool:
        last_line = before.rpartition("\n")[2]
        if last_line.lstrip().startswith(("#", "|")):
            return True
        if character in _BLOCK_STARTS:
            return True
        return not character.islower() and _LIST_MARK.match(last_line) is not None

    def _sentence_ends(self, before: str, character: str) -> bool:
        if before.count("`") % 2:
            return False
        if self._quick and _CLAUSE_ENDED.search(before):
            return len(before) >= QUICK_CHARACTERS and len(before.split()) >= QUICK_WORDS
        if not _ENDED.search(before) or character.islower() or _ONLY_LIST_NUMBER.match(before.rpartition("\n")[2]):
            return False
        word = _LAST_WORD.search(before)
        return word is None or not _goes_on(word[1], character)

    def _after(self, character: str, pieces: list[str]) -> None:
        """What the newest character, now part of the text, decides by itself."""
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
            self._cut(_long_cut(self._text), pieces)


def _goes_on(word: str, character: str) -> bool:
    """Whether a sentence goes on after `word`, its full stop and a space, with `character`."""
    word = word.lower().lstrip("_")
    if word in _ABBREVIATIONS:
        return word != "no" or character.isdigit()
    # Initials, as in J. K. Rowling, but for the one that is a word.
    return len(word) == 1 and word.isalpha() and word != "i"


def _long_cut(text: str) -> int:
    """Where to cut a sentence that is too long: after its last clause, word, or else at its end."""
    third = len(text) // 3
    clauses = [match.end() for match in re.finditer(r"[,;:–—]\s", text)]
    if clauses and clauses[-1] > third:
        return clauses[-1]
    space = text.rfind(" ")
    return space if space > third else len(text)
