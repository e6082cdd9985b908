"""Let the text of a reply through as people should get it, piece by piece.

    chunks ─▶ halves of characters joined ─▶ up to a stop string ─▶ up to a loop ─▶ from the first visible character on

What is shown is what is kept: nothing that came through is taken back, also of a loop.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Literal

from assistant.models.loop_guard import LoopGuard
from assistant.text_cleaning import valid_unicode

_SURROGATE_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_HIGH_SURROGATES = ("\ud800", "\udbff")
# Controls, formats (such as the zero-width space), and separators.
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})
# Of other categories: fillers of Hangul, the blank Braille pattern, and marks that only change or join others.
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0" + "".join(map(chr, range(0xFE00, 0xFE10))))


def is_blank(text: str) -> bool:
    """Return True if `text` has no visible character."""
    return all(
        unicodedata.category(character) in _INVISIBLE_CATEGORIES or character in _INVISIBLE for character in text
    )


class ReplyText:
    """Text of one reply. Once `ending` is set, nothing more comes through, and the model should stop."""

    def __init__(self, stop: Sequence[str] = (), *, request: str = "") -> None:
        """Create a reader.

        Args:
            stop: Texts before which the reply ends.
            request: What the reply answers: see `LoopGuard`.
        """
        self.ending: Literal["", "stop string", "loop"] = ""
        """Why the reply ends here, empty as long as it goes on."""
        self.has_text = False
        """True once a visible character came through."""
        self._half = ""
        self._blank = ""
        self._stop = _StopStrings(stop)
        self._guard = LoopGuard(request)

    def push(self, chunk: str) -> str:
        """Add a chunk and return the text that is complete now."""
        text = self._half + chunk
        self._half = ""
        if text and _HIGH_SURROGATES[0] <= text[-1] <= _HIGH_SURROGATES[1]:
            text, self._half = text[:-1], text[-1]
        return self._show(self._stop.push(_join_surrogates(text)))

    def flush(self) -> str:
        """Return what was held back, once the reply is complete. White space alone is no reply."""
        half, self._half = self._half, ""
        return self._show(self._stop.push(_join_surrogates(half)) + self._stop.flush())

    def _show(self, text: str) -> str:
        if self.ending:
            return ""
        shown = self._guard.push(text)
        if self._stop.found:
            self.ending = "stop string"
        elif self._guard.found:
            self.ending = "loop"
        if not self.has_text and is_blank(shown):
            self._blank += shown
            return ""
        shown, self._blank = self._blank + shown, ""
        self.has_text = True
        return shown


class _StopStrings:
    """Ends a text before the first of several strings, also if it arrives in pieces."""

    def __init__(self, strings: Sequence[str]) -> None:
        self.found = False
        self._strings = list(strings)
        self._pattern = re.compile("|".join(map(re.escape, self._strings))) if self._strings else None
        self._held = ""

    def push(self, text: str) -> str:
        """Add text and return what certainly precedes a stop string."""
        if self.found or self._pattern is None:
            return "" if self.found else text
        text = self._held + text
        if match := self._pattern.search(text):
            self.found, self._held = True, ""
            return text[: match.start()]
        start = min(self._beginning(text, string) for string in self._strings)
        text, self._held = text[:start], text[start:]
        return text

    def flush(self) -> str:
        """Return what was held back, once the text is complete."""
        held, self._held = self._held, ""
        return held

    @staticmethod
    def _beginning(text: str, string: str) -> int:
        """Return where the longest beginning of `string` starts with which `text` ends, its length if there is none."""
        first = max(0, len(text) - len(string) + 1)
        return next((start for start in range(first, len(text)) if string.startswith(text[start:])), len(text))


def _join_surrogates(text: str) -> str:
    """Return `text` with surrogate pairs as characters, and U+FFFD for each lone surrogate."""
    if text.isascii():
        return text
    joined = _SURROGATE_PAIR.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), text)
    return valid_unicode(joined)
