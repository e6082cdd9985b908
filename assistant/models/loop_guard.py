"""Find out that a reply repeats itself, while it is being written.

    text ─▶ units (words, signs, line ends) ─▶ periods: how long has the text equalled itself `period` units before?
                                                  └▶ enough copies of the period ─▶ the reply is in a loop

Greedy decoding of small models ends in such loops: a sentence, a list item or two paragraphs in turn, until the limit
of tokens. The numbers of list items and steps are not compared, so "1. Rest. 2. Rest. 3. Rest." is a loop too.

How many copies make a loop depends on the length of the period: refrains and emphasis repeat short texts, nothing
repeats long ones. Code, tables, and periods without a word (rules, art, zeros, DNA) need many more. The figures of
`python -m benchmarks loops` decided.

Time is linear in the length of the reply, and memory is bounded.
"""

import math
import re
from collections.abc import Iterator

# Scripts that put no spaces between words: each character is a unit.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
# Longer words are taken apart, so that DNA, "hahaha…" and "aaaa…" repeat themselves as well.
_MAX_WORD = 24
_UNIT = re.compile(rf"([^\S\n]*)([{_UNSPACED}]|[^\W\d_{_UNSPACED}]{{1,{_MAX_WORD}}}|\d{{1,{_MAX_WORD}}}|\n|[^\w\s]|_)")
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W\d_]{{2,{_MAX_WORD - 1}}}")
# A character of these scripts says as much as about three letters.
_UNSPACED_WEIGHT = 3
_IN_UNSPACED = re.compile(f"[{_UNSPACED}]")

# Units. Periods up to this length are found: about two pages.
_MAX_PERIOD = 1200
# Units that must recur before their distance counts as a period. The longer one finds periods in which every shorter
# run occurs twice.
_NGRAM_SIZES = (4, 16)
# Periods that are followed at the same time.
_MAX_PERIODS = 16

# Copies of a period of w characters: _COPIES / sqrt(w), at least _MIN_COPIES. "the": 26, "A gentle rain": 14, a
# sentence of 50 characters: 7, a paragraph of 200: 4.
_COPIES = 45
_MIN_COPIES = 3
# Characters that the copies take together in code and tables, and without words: an empty 8 x 8 grid of
# `<td></td>` or a row of 200 dashes is no loop.
_MIN_STRUCTURED = 1600
# Signs of code, markup and tables. A period in which more than one unit in eight is one of them is structured.
_CODE_SIGNS = frozenset("<>{}|=;/\\_$%&+^~@")
_MAX_CODE_SIGNS = 8
# Units before and with the number of an item, and what stands for the end of the sentence before.
_MAX_LABEL = 6
_SENTENCE = "."
# Stands for the number of any item. No unit is like this.
_NUMBER = "7."
# White space in a row.
_MAX_BLANK = 400
# A number in the question that is larger asks for no number of copies.
_MAX_ASKED = 1000


class LoopGuard:
    """Watches one reply. Push its text; `found` says that the reply repeats itself and should end."""

    def __init__(self, request: str = "") -> None:
        """Create a guard.

        Args:
            request: What the reply answers. Someone who asks for a word fifty times gets it fifty times.
        """
        self.found = False
        self._request = request
        self._partial = ""
        self._blank = 0
        self._lines = _LineReader()
        self._periods = _Periods()

    def push(self, text: str) -> str:
        """Add text and return the part of it to show: all, or up to the end of the copy that is too much."""
        if self.found:
            return ""
        held = len(self._partial)
        buffer = self._partial + text
        end = 0
        for match in _UNIT.finditer(buffer):
            blank, unit = match.groups()
            if match.end() == len(buffer) and unit.isalnum() and len(unit) < _MAX_WORD:
                # The rest of the word is still to come.
                break
            end = match.end()
            units = self._lines.read(unit, spaced=bool(blank))
            if any(self._is_loop(*run) for each in units for run in self._periods.push(each)):
                self.found = True
                return text[: max(0, end - held)]
        rest = buffer[end:]
        self._partial = rest if not rest.isspace() else rest[:1]
        self._blank = self._blank + len(text) if text.isspace() else len(text) - len(text.rstrip())
        self.found = self._blank > _MAX_BLANK
        return text

    def _is_loop(self, period: int, copies: int) -> bool:
        units = self._periods.latest(period)
        weight = sum(len(unit) * (_UNSPACED_WEIGHT if _IN_UNSPACED.match(unit) else 1) for unit in units)
        # "Number 7. Number 8." is counting: the label of a number does not count as a word.
        following = [*units[1:], units[0]]
        words = {
            unit for unit, after in zip(units, following, strict=True) if after != _NUMBER and _WORD.fullmatch(unit)
        }
        needed = max(_MIN_COPIES, _COPIES / math.sqrt(weight))
        if not words or self._lines.in_code or sum(unit in _CODE_SIGNS for unit in units) * _MAX_CODE_SIGNS > period:
            needed = max(needed, _MIN_STRUCTURED / weight)
        return copies >= needed and copies > self._asked_copies(words)

    def _asked_copies(self, words: set[str]) -> int:
        """Return how many copies of a period with these words were asked for."""
        asked = self._request.casefold()
        if not words or not all(word.casefold() in asked for word in words):
            return 0
        numbers = [int(number) for number in re.findall(r"(?<!\d)\d{1,4}(?!\d)", asked)]
        return max((number for number in numbers if number <= _MAX_ASKED), default=0)


class _LineReader:
    """Knows where in a line a unit stands: makes the numbers of items equal, and recognizes blocks of code."""

    def __init__(self) -> None:
        self.in_code = False
        """True in a fenced block."""
        self._line: list[str] = []
        """First units of this line or sentence."""
        self._number = ""

    def read(self, unit: str, *, spaced: bool) -> Iterator[str]:
        """Yield the units to compare: `unit`, or none while it may be the number of an item.

        Args:
            unit: The next unit.
            spaced: Whether blanks precede it.
        """
        if self._number:
            # "7." and "Step 7:" number items, "7 apples" does not.
            yield _NUMBER if unit in ".):" else self._number
            self._number = ""
        # Not in "13.7.0" and "part_7".
        begins = len(self._line) < _MAX_LABEL and (spaced or not self._line or self._line[-1] in "*([#")
        if unit.isdigit() and begins and sum(each.isalnum() for each in self._line) <= 1:
            self._number = unit
        else:
            yield unit
        if unit in "\n.!?。！？":
            self._line = [] if unit == "\n" else [_SENTENCE]
        elif len(self._line) < _MAX_LABEL:
            self._line.append(unit)
            if self._line == ["`", "`", "`"]:
                self.in_code = not self.in_code


class _Periods:
    """Follows the periods of a sequence of units."""

    def __init__(self) -> None:
        self._units: list[str] = []
        self._dropped = 0
        # Where each n-gram ended last, counted from the first unit of the reply.
        self._ends: dict[int, int] = {}
        # For each period, how many of the latest units equal those one period before.
        self._runs: dict[int, int] = {}

    def push(self, unit: str) -> list[tuple[int, int]]:
        """Add a unit and return (period, copies) of each period of which a copy is complete now."""
        units = self._units
        units.append(unit)
        runs = {period: run + 1 for period, run in self._runs.items() if units[-1 - period] == unit}
        for size in _NGRAM_SIZES:
            if len(units) < size:
                break
            end = self._dropped + len(units)
            ngram = hash(tuple(units[-size:]))
            period = end - self._ends.get(ngram, end)
            self._ends[ngram] = end
            if 0 < period <= _MAX_PERIOD and period not in runs and len(runs) < _MAX_PERIODS:
                runs[period] = size
        self._runs = runs
        if len(units) >= 4 * _MAX_PERIOD:
            self._forget()
        return [(period, run // period + 1) for period, run in runs.items() if run >= period and run % period == 0]

    def latest(self, count: int) -> list[str]:
        """Return the last `count` units."""
        return self._units[-count:]

    def _forget(self) -> None:
        """Drop what is too old to be a period before."""
        kept = 2 * _MAX_PERIOD
        self._dropped += len(self._units) - kept
        del self._units[:-kept]
        self._ends = {ngram: end for ngram, end in self._ends.items() if end > self._dropped}
