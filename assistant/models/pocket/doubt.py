"""Leave out of a caption what the small model only guessed.

It writes a fluent sentence about anything: of a rocket it says that a dog is running on a dirt track. Its own
probabilities do not tell, since a common sentence is likely whatever the image. The word head and the classifier look
at the image without a sentence in mind, so every thing that the caption names has to be likely to them too.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache

from assistant.models.pocket.things import PEOPLE, THINGS, THINGS_IN_ROOMS, probability_of

_MIN_SUBJECT, _MIN_OTHER = 0.25, 0.1
_MIN_PERSON = 0.25
"""Probability from which a person is called a man, a woman, a boy or a girl."""

_COLOURS = (
    "white|black|brown|red|blue|green|yellow|orange|pink|purple|grey|gray|tan|beige|silver|gold|golden|dark|bright"
    "|colorful"
)
# "an orange and white shirt" becomes "a shirt": colours are named from the pixels, which the tower looks at less.
_COLOUR_WORDS = re.compile(
    rf"\b(?:(an?) )?(?:{_COLOURS})(?:(?:,| and|-) ?(?:{_COLOURS}))*(?:-haired)?\b ?", re.IGNORECASE
)
# Without its colour, a shirt is no news.
_CLOTHES = re.compile(
    r"\s+(?:in|wearing|dressed in) (?:an? )?(?:[\w-]+ )?CLOTHES(?:(?:,| and) (?:an? )?(?:[\w-]+ )?CLOTHES)*\b".replace(
        "CLOTHES",
        "(?:shirts?|t-shirts?|jerseys?|uniforms?|jackets?|coats?|pants|shorts|jeans|dress(?:es)?|suits?|outfits?|hats?"
        "|caps?|clothes|clothing|swimsuits?|trunks|sweaters?|sweatshirts?|tops?|costumes?)",
    ),
    re.IGNORECASE,
)
_A, _AN = re.compile(r"\b(a)n (?=[^aeiou])", re.IGNORECASE), re.compile(r"\b(a) (?=[aeiou])", re.IGNORECASE)
_SPLIT = re.compile(r"\s+(?=(?:in|on|with|at|near|through|by|next|behind|under|over|into|along|across|from|and)\b)")
_WORD = re.compile(r"[a-z]+(?:-[a-z]+)*")
# Sentences that say nothing, or only name what the kinds name better.
_EMPTY = re.compile(
    r"not sure|may be|nothing in it|^(?:a|an) (?:photo|picture|close-up|image) of|^a room with|^(?:\S+ ){0,3}\S+$",
    re.IGNORECASE,
)
# It was trained with drawings of these, and takes all others for animals.
_DRAWN = re.compile(r"\b(?:circle|square|triangle|star|chart|screenshot|terminal)s?\b")
_BACKGROUND = re.compile(r" on an? background\b")
_MIN_DRAWN = 0.65
_MIN_WORDS = 4


def believable_part(caption: str, words: Mapping[str, float], kinds: Mapping[str, float]) -> str | None:
    """Return the beginning of a photo's caption as far as what it names is likely; None if that says too little.

    Colours are left out, and people of whom it is unsure become persons.

    Args:
        caption: A sentence of the small model.
        words: Probability of each word of the word head.
        kinds: Probability of each kind of thing that the classifier knows, by name.
    """
    if _EMPTY.search(caption):
        return None
    kept: list[str] = []
    for part in _SPLIT.split(_CLOTHES.sub("", without_colours(caption).rstrip("."))):
        if not _is_likely(part, words, kinds, _MIN_OTHER if kept else _MIN_SUBJECT, is_subject=not kept):
            break
        kept.append(_with_persons(part, words))
    sentence = _TWO_PERSONS.sub("Two people", " ".join(kept))
    return f"{sentence[:1].upper()}{sentence[1:]}." if len(sentence.split()) >= _MIN_WORDS else None


def believable_drawing(caption: str, probability: float) -> str | None:
    """Return the caption of a drawing without its colours, if it is of a sort that the small model knows.

    Args:
        caption: A sentence of the small model.
        probability: Mean probability of its tokens.
    """
    return (
        _BACKGROUND.sub("", without_colours(caption)) if _DRAWN.search(caption) and probability >= _MIN_DRAWN else None
    )


def without_colours(sentence: str) -> str:
    """Return a sentence without the names of colours."""
    bare = _COLOUR_WORDS.sub(lambda found: f"{found[1]} " if found[1] else "", sentence)
    return _AN.sub(r"\1n ", _A.sub(r"\1 ", bare)).strip()


def _is_likely(
    part: str, words: Mapping[str, float], kinds: Mapping[str, float], least: float, *, is_subject: bool
) -> bool:
    named = list(_named(part))
    if any(max(_probability(name, words), kinds.get(name[2:], 0.0)) < least for name in named):
        return False
    return not is_subject or bool(named) or any(kind in part for kind, value in kinds.items() if value >= least)


def _probability(name: str, words: Mapping[str, float]) -> float:
    if name not in (*PEOPLE, "people"):
        return probability_of(name, words)
    # A photo of a man may be captioned with a person or a player.
    nobody = 1.0
    for each in (*PEOPLE, "people"):
        nobody *= 1 - probability_of(each, words)
    return 1 - nobody


def _with_persons(part: str, words: Mapping[str, float]) -> str:
    """Call people persons if it is unsure who they are."""

    def replace(found: re.Match[str]) -> str:
        name = _thing_of_word().get(found[2].lower(), "")
        is_unsure = name in _NAMED_BY_LOOKS and probability_of(name, words) < _MIN_PERSON
        if not is_unsure:
            return found[0]
        if found[2].lower() in _PLURALS:
            return "people"
        return f"{found[1][0]} person" if found[1] else "person"

    return _PERSON.sub(replace, part)


_TWO_PERSONS = re.compile(r"\ba person and a person\b", re.IGNORECASE)
_NAMED_BY_LOOKS = ("a man", "a woman", "a boy", "a girl", "a child", "a baby")
_PLURALS = frozenset("men guys women ladies boys girls children kids".split())
_PERSON = re.compile(
    r"(\ban? )?(?:(?:young|little|old|older|small) )?"
    r"\b(man|men|guy|guys|woman|women|lady|ladies|boy|boys|girl|girls|child|children|kid|kids|toddler|baby)\b",
    re.IGNORECASE,
)


def _named(part: str) -> Iterator[str]:
    """Yield the things that a part of a sentence names."""
    names = _thing_of_word()
    yield from dict.fromkeys(names[word] for word in _WORD.findall(part.lower()) if word in names)


@cache
def _thing_of_word() -> dict[str, str]:
    return {word: name for name, group in (THINGS | THINGS_IN_ROOMS).items() for word in group}
