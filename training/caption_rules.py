"""Rules that extract facts from the captions of one image: objects, colours, counts, actions and places.

Every rule reads what people wrote about the image; none looks at pixels. A rule that is not sure returns nothing.
"""

import random
import re
from collections import Counter
from collections.abc import Sequence

from training.question_tables import (
    ACTORS,
    AMBIGUOUS_WORDS,
    COLOURED_OBJECTS,
    COLOURS,
    NUMBERS,
    OBJECT_WORDS,
    PLACES,
    PLURALS,
)

_NOT_ACTIONS = (
    "wearing",
    "during",
    "bathing",
    "swimming",
    "something",
    "building",
    "clothing",
    "railing",
    "swing",
)
"""Words in "-ing" after a subject that are no action to ask for."""


def to_sentence(text: str) -> str:
    """Return `text` as one clean sentence: "A dog runs ." becomes "A dog runs."."""
    text = re.sub(r"\s+", " ", text).strip(" .\"'")
    text = re.sub(r" ([,;:!?])", r"\1", text).replace(" 's", "'s").replace(" n't", "n't")
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def lower_words(text: str) -> list[str]:
    """Return the words of `text` in lower case, with their hyphens."""
    return re.findall(r"[a-z]+(?:-[a-z]+)?", text.lower())


def present_and_absent(captions: Sequence[str]) -> tuple[set[str], set[str]]:
    """Return the objects that captions mention, and the objects that they rule out."""
    mentioned = set(lower_words(" ".join(captions)))
    present = {name for name, words in OBJECT_WORDS.items() if mentioned & set(words)}
    absent = {
        name
        for name in OBJECT_WORDS
        if name not in present and not mentioned & set(AMBIGUOUS_WORDS.get(name, "").split())
    }
    return present, absent


class Cooccurrence:
    """Counts which objects appear together, so that a "no" question asks for an object that could have been there."""

    def __init__(self, all_captions: Sequence[Sequence[str]]) -> None:
        """Count the objects of images, given the captions of each."""
        self._counts: Counter[str] = Counter()
        self._pair_counts: dict[str, Counter[str]] = {name: Counter() for name in OBJECT_WORDS}
        for captions in all_captions:
            present, _ = present_and_absent(captions)
            self._counts.update(present)
            for name in present:
                self._pair_counts[name].update(present - {name})

    def sample_absent(self, present: set[str], absent: set[str], rng: random.Random) -> str | None:
        """Sample one of `absent` by its frequency: overall, or beside one of `present`. None if `absent` is empty."""
        choices = sorted(absent)
        if not choices:
            return None
        if rng.random() < 0.5 and present:
            beside = self._pair_counts[rng.choice(sorted(present))]
            weights = [beside[name] + 0.5 for name in choices]
        else:
            weights = [self._counts[name] + 1.0 for name in choices]
        return rng.choices(choices, weights)[0]


def find_colours(captions: Sequence[str]) -> dict[str, str]:
    """Return the colour of each object on whose colour the captions agree."""
    votes: dict[str, Counter[str]] = {}
    for caption in captions:
        tokens = lower_words(caption)
        for position, token in enumerate(tokens[:-1]):
            if token not in COLOURS or (position and tokens[position - 1] in ("and", *COLOURS)):
                continue
            following = tokens[position + 1]
            if following in COLOURED_OBJECTS:
                votes.setdefault(following, Counter())[COLOURS[token]] += 1
    return {name: next(iter(count)) for name, count in votes.items() if len(count) == 1}


def find_counts(captions: Sequence[str]) -> dict[str, int]:
    """Return the number of each object, by its plural, on whose number the captions agree."""
    votes: dict[str, Counter[int]] = {}
    mentioned = set(lower_words(" ".join(captions)))
    for caption in captions:
        tokens = lower_words(caption)
        for position, token in enumerate(tokens):
            if token in NUMBERS:
                plural = next((word for word in tokens[position + 1 : position + 4] if word in PLURALS), None)
                if plural:
                    votes.setdefault(plural, Counter())[NUMBERS[token]] += 1
    out = {plural: next(iter(count)) for plural, count in votes.items() if len(count) == 1}
    for plural, singular in PLURALS.items():
        mentions = sum(
            1 for caption in captions if re.search(rf"\b(?:a|an|one)\b(?: [\w-]+){{0,2}} {singular}\b", caption.lower())
        )
        if plural not in mentioned and plural not in out and mentions >= 3:
            out[plural] = 1
    return out


def find_actions(captions: Sequence[str]) -> dict[str, list[str]]:
    """Return the actions of each actor: "A dog is running in the snow" gives "Running in the snow." for "dog"."""
    out: dict[str, list[str]] = {}
    for caption in captions:
        match = re.match(
            rf"^(?:a|an|the)\b(?: [\w-]+){{0,4}}? ({'|'.join(ACTORS)})\b(?: [\w' -]+?)??(?: is| are)? (\w+ing\b.*)$",
            to_sentence(caption).lower(),
        )
        if match and match.group(2).split()[0] not in _NOT_ACTIONS:
            out.setdefault(match.group(1), []).append(to_sentence(match.group(2)))
    return out


def find_place(captions: Sequence[str]) -> str | None:
    """Return the place that most captions name, with its preposition: "in the snow"."""
    votes: Counter[str] = Counter()
    for caption in captions:
        for preposition, rest in re.findall(
            rf"\b(in|on|at|through|across|along) ((?:the|a) (?:[\w-]+ ){{0,2}}?(?:{'|'.join(PLACES)}))\b",
            caption.lower(),
        ):
            votes[f"{'in' if preposition in ('through', 'across', 'along') else preposition} {rest}"] += 1
    return votes.most_common(1)[0][0] if votes else None


def find_main_actor(captions: Sequence[str]) -> str | None:
    """Return the actor with which most captions begin, at least two."""
    first = Counter(
        match.group(1)
        for caption in captions
        if (match := re.match(rf"^(?:a|an|the|one)\b(?: [\w-]+){{0,4}}? ({'|'.join(ACTORS)})\b", caption.lower()))
    )
    return next((actor for actor, count in first.most_common(1) if count >= 2), None)
