"""Valid values of the options of a reply: one table for settings, command line, `/set`, and calls from Python."""

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Literal, cast, get_args

from assistant.errors import ConfigError
from assistant.text_cleaning import clean_line, valid_unicode

# Servers take four to sixteen.
MAX_STOP_STRINGS, MAX_STOP_CHARACTERS = 16, 200
ReasoningMode = Literal["show", "hide", "off"]
REASONING_MODES: tuple[ReasoningMode, ...] = get_args(ReasoningMode)

STOP_STRINGS = f"up to {MAX_STOP_STRINGS} texts of 1 to {MAX_STOP_CHARACTERS} characters, as a list or as one text"
"""Words for what stop strings are."""


@dataclass(frozen=True)
class NumberRange:
    """Numbers from `low` to `high`. `str` says it in words.

    Attributes:
        low: Smallest number.
        high: Largest number.
        whole: True if only whole numbers are meant.
        above: True if `low` itself is not one of them.
    """

    low: float
    high: float
    whole: bool = False
    above: bool = False

    def __contains__(self, value: object) -> bool:
        # Python counts True and False as 1 and 0.
        if isinstance(value, bool) or not isinstance(value, Integral if self.whole else Real):
            return False
        # A whole number may be too large for a float.
        if not isinstance(value, Integral) and not math.isfinite(value):
            return False
        number = cast("float", value)
        return self.low <= number <= self.high and not (self.above and number == self.low)

    def __str__(self) -> str:
        if self.whole:
            return f"a whole number from {self.low} up to {self.high}"
        return (
            f"a number above {self.low} and up to {self.high}"
            if self.above
            else f"a number from {self.low} to {self.high}"
        )

    def parse(self, text: str) -> float:
        """Return the number that `text` stands for. Raises `ValueError` if it is none of the range."""
        value = int(text) if self.whole else float(text)
        if value not in self:
            raise ValueError("out of range")
        return value


RANGES = {
    "max_tokens": NumberRange(1, 2**31 - 1, whole=True),
    "temperature": NumberRange(0, 2),
    "seed": NumberRange(0, 2**63 - 1, whole=True),
    "top_p": NumberRange(0, 1, above=True),
    "top_k": NumberRange(0, 10**6, whole=True),
    "min_p": NumberRange(0, 1),
    "repetition_penalty": NumberRange(0.1, 2),
    "presence_penalty": NumberRange(-2, 2),
}
"""Values of each option that is a number."""


def wrong_value(where: str, value: object, expected: object) -> ConfigError:
    """Return the error for a value that an option cannot have; `where` names the option."""
    return ConfigError(f"{where} is {clean_line(repr(value), 100)}, but it should be {expected}.")


def stop_strings(value: object) -> tuple[str, ...]:
    """Return stop strings that were given as a list or as one text. Raises `ValueError` if they are none."""
    texts = (value,) if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or len(texts) > MAX_STOP_STRINGS:
        raise ValueError("no list of texts, or too many")
    for text in texts:
        if not isinstance(text, str) or not 0 < len(text) <= MAX_STOP_CHARACTERS or "\0" in text:
            raise ValueError("no text, an empty or a long one")
    return tuple(dict.fromkeys(map(valid_unicode, texts)))
