"""Rules that write out numbers and signs in words, in the order that is the same for every language."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from voice.tts.spoken_codes import spell_numbers, spell_words

Rules = tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...]
"""Patterns and their replacements, each applied to the result of the one before."""

ROMAN = r"(?:(?=[LXVI]{2})(?:XL|L?X{0,3})(?:IX|IV|V?I{0,3}))"
"""Pattern of Roman numerals below 90 with two letters and more: single ones are too often something else."""

_ROMAN_DIGITS = {"L": 50, "X": 10, "V": 5, "I": 1}


@dataclass(frozen=True)
class LanguageRules:
    """Rules of one language.

    Attributes:
        amounts: Applied before numbers are spelled: dates, times, money.
        units: Applied before words of letters and digits are spelled: ranges and units.
        signs: Applied to all that is left.
    """

    amounts: Rules
    units: Rules
    signs: Rules

    def apply(self, text: str) -> str:
        """Apply all rules to a text of one line without markup."""
        text = spell_numbers(_replace(self.amounts, text))
        text = spell_words(_replace(self.units, text))
        return _replace(self.signs, text)


def any_of(words: Iterable[str]) -> str:
    """Return a pattern that matches any of the words, the longest first."""
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


def count(number: str, singular: str, plural: str) -> str:
    """Return "1 metre", "3 metres"."""
    return f"{number} {singular if number == '1' else plural}"


def roman_value(numeral: str) -> int:
    """Return 14 for "XIV"."""
    values = [_ROMAN_DIGITS[letter] for letter in numeral]
    return sum(-value if value < max(values[index:]) else value for index, value in enumerate(values))


def _replace(rules: Rules, text: str) -> str:
    for pattern, replacement in rules:
        text = pattern.sub(replacement, text)
    return text
