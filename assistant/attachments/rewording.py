"""Take the names of attached images out of a text, so that the rest is still a sentence.

    What is in "my photo.jpg"?  ─▶  What is in this picture?

A name that stands apart from the sentence is removed. One that the sentence needs is replaced by words, because no
model can answer "What is in ?".
"""

import re
from collections.abc import Sequence

from assistant.attachments.paths_in_text import POSSESSIVE, Mention

_SEPARATOR = re.compile(r"\s*(?:[,;&+]|and|or|vs\.?|versus|with)?\s*(?:and|or)?\s*", re.IGNORECASE)
_COMMAND = re.compile(r"\s*/[a-z]")
_MIDDLE = re.compile(r"[ \t]+\w|[ \t]*[.?!](?:\s|$)")
_LAST_WORD = re.compile(r"(?<![/A-Za-z])([A-Za-z]+)[ \t]*$")  # not "/read": a command needs no object
_ARTICLES = frozenset("a an the this that these those my".split())
_PREPOSITIONS = frozenset(
    """about analyse analyze and are as at between caption compare describe did do does explain for from has have
    identify in inside into is like of on or read show shows summarise summarize than to under was with
    within""".split()
)
_ENGLISH_WORDS = frozenset(
    """the what which who whose how why where of to this that these those and are does do is please describe show it
    compare caption explain read you for from with there picture image photo look""".split()
)
_FOREIGN_WORDS = frozenset(
    """auf aus beschreibe bild bitte das dem den der die ein eine einen erkennst für foto ich ist lies mir mit sehen
    siehst und vergleiche von wandle warum wer wie wo zeigt zu zum über
    che cosa dans de del della dell di el en es est et foto image le les los nella que quel quelle qui sur un una une y
    czy jest na op het een van""".split()
) - {"image"}
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")


def remove_mentions(text: str, mentions: Sequence[Mention], sources: Sequence[str]) -> str:
    """Replace mentions that a sentence needs by words, and remove the others.

    A sentence in another language than English keeps its names: "auf this picture" is no language.
    """
    if _is_foreign(_without(text, mentions)):
        return text.strip()
    kept: list[str] = []
    position = 0
    for group in _group_mentions(text, mentions):
        before = text[position : group[0].start]
        after = group[-1].end
        if possessive := POSSESSIVE.match(text, after):
            after = possessive.end()
        is_middle = not _COMMAND.match(text) and _MIDDLE.match(text, after) is not None
        places = [sources.index(mention.source) for mention in group]
        words = _describe_group(before, places, len(sources), is_middle=is_middle)
        if possessive:
            words = f"{words or 'the picture'}'s"
        if words:
            kept.append(before + words)
            position = after
            continue
        before, position = _close_gap(before, text, after)
        kept.append(before)
    remainder = text[position:]
    joined = "".join(kept) + remainder
    return (joined if remainder.strip() else joined.rstrip(" \t\n,;:-")).strip()


def _without(text: str, mentions: Sequence[Mention]) -> str:
    kept, position = "", 0
    for mention in mentions:
        kept += text[position : mention.start] + " "
        position = mention.end
    return kept + text[position:]


def _is_foreign(rest: str) -> bool:
    """Tell whether the words around the names are in another language than English."""
    words = re.findall(r"[^\W\d_]+", rest.lower())
    if any(word in _ENGLISH_WORDS for word in words):
        return False
    return any(not word.isascii() or word in _FOREIGN_WORDS for word in words)


def _close_gap(before: str, text: str, position: int) -> tuple[str, int]:
    """Return the text before a removed mention and the position after it, without its brackets and punctuation."""
    bare = before.rstrip(" \t")
    while bare.endswith(("(", "[", "{", "<")) and (closing := re.compile(r"[ \t]*[)\]}>]").match(text, position)):
        bare = bare[:-1].rstrip(" \t")
        position = closing.end()
    if rest := re.compile(r"[ \t]*[,;:]+").match(text, position):
        position = rest.end()
    if text[position : position + 1] in (".", "!", "?"):
        position += not bare or bare[-1] in ".,;:!?"
    elif bare and not bare[-1].isspace() and not text[position : position + 1].isspace():
        bare += " "
    return bare, position


def _group_mentions(text: str, mentions: Sequence[Mention]) -> list[list[Mention]]:
    groups: list[list[Mention]] = []
    for mention in mentions:
        if groups and _SEPARATOR.fullmatch(text, groups[-1][-1].end, mention.start):
            groups[-1].append(mention)
        else:
            groups.append([mention])
    return groups


def _describe_group(before: str, group: Sequence[int], total: int, *, is_middle: bool) -> str:
    """Return words for the images of `group` (positions among `total`) after the text `before`, or "".

    Any word needs its object if the sentence goes on or ends after it ("convert logo.png to a favicon").
    """
    last = _LAST_WORD.search(before)
    word = last[1].lower() if last else ""
    if word in _ARTICLES:
        return "picture" if len(group) == 1 else "pictures"
    if word not in _PREPOSITIONS and not (word and is_middle):
        return ""
    if len(group) == 1 and total > 1:
        return f"the {_ORDINALS[group[0]]} picture" if group[0] < len(_ORDINALS) else f"picture {group[0] + 1}"
    return "this picture" if total == 1 else "these pictures"
