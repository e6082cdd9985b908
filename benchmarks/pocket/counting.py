"""Numbers of people that captions state, and those that a reply states."""

import re
from collections.abc import Iterator, Sequence

_NUMBERS = {
    word: number
    for number, words in enumerate(
        (
            "one single a an", "two couple pair both", "three trio", "four", "five", "six", "seven", "eight", "nine",
            "ten", "eleven", "twelve",
        ),
        1,
    )
    for word in words.split()
}  # fmt: skip
_ONE = set("man woman boy girl child kid baby toddler person lady guy player rider cyclist biker surfer skier".split())
_ONE |= set("climber skateboarder snowboarder swimmer runner worker dancer adult teenager friend".split())
_MANY = {f"{word}s" for word in _ONE} | set("men women children people ladies babies".split())
_ARTICLES = ("a", "an")
# What is no number where no people follow: "No, …", "one of".
_OTHERWISE = (*_ARTICLES, "one", "single", "no")
# Between a number and what is counted: "two young men".
_MAX_ADJECTIVES = 3


def stated_numbers(reply: str) -> set[int]:
    """Return the numbers of people in a reply: "two", "3", and 0 for "no people". "A man" does not say how many."""
    words = [word for word in _words(reply) if word not in _ARTICLES]
    counted = {_number_before(words, index) for index in range(len(words))}
    # "There are three in the picture."
    bare = {_number(word) for word in words if word not in _OTHERWISE}
    return {number for number in counted | bare if number is not None}


def supported_numbers(captions: Sequence[str]) -> set[int]:
    """Return the numbers of people that captions state: each by itself, and all of a caption together."""
    numbers: set[int] = set()
    for caption in captions:
        words = _words(caption)
        counted = list(_counted(words))
        numbers |= {number for number in counted if number is not None}
        if counted and None not in counted:
            numbers.add(sum(number for number in counted if number is not None))
    return numbers


def _counted(words: Sequence[str]) -> Iterator[int | None]:
    """Yield the number of each mention of people, None if it is open: "people"."""
    for index, word in enumerate(words):
        if word in _ONE or word in _MANY:
            number = _number_before(words, index)
            yield number if number is not None else 1 if word in _ONE else None


def _number_before(words: Sequence[str], index: int) -> int | None:
    """Return the number of the people named by word `index`, None if it names none or their number is open."""
    if words[index] not in _ONE and words[index] not in _MANY:
        return None
    for word in reversed(words[max(index - _MAX_ADJECTIVES - 1, 0) : index]):
        if word in _ONE or word in _MANY:
            return None
        # "A group of people."
        if (number := _number(word)) is not None and not (word in _ARTICLES and words[index] in _MANY):
            return number
    return None


def _number(word: str) -> int | None:
    if word in ("no", "zero"):
        return 0
    return int(word) if word.isdigit() and len(word) < 3 else _NUMBERS.get(word)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+|\d+", text.lower())
