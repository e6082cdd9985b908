"""Find where sentences end: the marks of each script, and the abbreviations and numbers that a full stop belongs to.

One set of rules serves all languages, because replies mix them. Only one rule depends on the language: in German and
others a number with a full stop is an ordinal, so that "Am 3. Mai" goes on.
"""

import re
import unicodedata

_CLOSING = "\"'”’“‘»›«‹)\\]}*_"
_WIDE_CLOSING = "」』】》〉〕”’）)］"
# Marks that end a sentence in text that may go on without a space: Chinese and Japanese, Devanagari and its relatives,
# Arabic and Urdu, Ethiopic, Armenian, Khmer, Burmese, Tibetan, Mongolian.
_CLEAR_MARKS = "。！？｡।॥؟۔።፧։។៕။༎᠃‼⁇⁈⁉"
_ALL_MARKS = f".!?…‥‽{_CLEAR_MARKS}"
CLOSING_CHARACTERS = frozenset(_WIDE_CLOSING)
MARK_CHARACTERS = frozenset(_ALL_MARKS)

SENTENCE_END = re.compile(
    rf"(?:[{_ALL_MARKS}]+|(?<=[\u0370-\u03ff\u1f00-\u1fff])[;\u037e])[{_CLOSING}{_WIDE_CLOSING}]*$"
)
"""The end of a sentence before a space. A semicolon after Greek letters is a question mark."""

CLEAR_END = re.compile(rf"[{_CLEAR_MARKS}]+[{_WIDE_CLOSING}]*$")
"""The end of a sentence even without a space."""

CLAUSE_END = re.compile(rf"[,;:–—،؛၊፣՝，、；：][{_CLOSING}{_WIDE_CLOSING}]*$")
"""The end of a clause before a space."""

_CLAUSE = re.compile(r"[,;:–—،؛][\"'”’)\]]*\s|[，、；：၊፣]")
_LAST_WORD = re.compile(rf"([\w.'’]+)\.[{_CLOSING}]*$")
_LIST_NUMBER = re.compile(r"(?:^|[:;\n])\s*\(?\d{1,3}\.$")
_ORDINAL = re.compile(r"(?<![\w.,])(?:\d{1,2}|[IVX]{1,5})\.$")
# Words before a German ordinal: "am 3. Mai", "der 2. Versuch".
_BEFORE_ORDINAL = re.compile(
    r"\b(?:am|der|dem|den|des|das|die|vom|zum|zur|im|beim|ab|jeder|jeden|jedem|jede|ein|eine|einen|einem|einer|ihr|sein"
    r"|ihre|seine|mein|dein|unser|den|nach dem|seit dem)\s+(?:\d{1,2}|[IVX]{1,5})\.$",
    re.IGNORECASE,
)
# Languages that write ordinals with a full stop.
_ORDINAL_LANGUAGES = frozenset("de da nb nn no fi cs sk sl hr sr bs hu et lv is fo tr az pl lb".split())
# A full stop after these never ends a sentence.
_ABBREVIATIONS = frozenset(
    # English and Latin
    "mr mrs ms mx dr prof st mt vs e.g i.e eg ie cf al approx dept gen col capt sgt lt cmdr rev hon sen rep gov pres "
    "messrs mme mlle ph.d viz esp "
    # German
    "z.b z.t z.hd d.h u.a u.ä o.ä o.g u.u v.a i.d.r i.a m.e s.o s.u bzw ca vgl sog ggf evtl inkl exkl zzgl abzgl bspw "
    "hr fr frl dipl ing str abb kap tel geb gest verh mind max min nr hl wg "
    # French, Spanish, Italian, Portuguese, Dutch
    "p.ex c.-à-d sr sra srta dra ud uds p.ej núm pág sig sig.ra dott ing avv exmo exma dhr mevr bijv d.w.z o.a enz "
    # Russian, Polish, Czech
    "т.е т.к т.н г-н г-жа ул им напр np tzn tj tzv např mgr inż".split()
)
# A full stop after these ends a sentence unless a digit follows: "I said no." and "No. 5".
_BEFORE_NUMBERS = frozenset(
    "no nos vol fig figs p pp ch sec eq art abs bd kap s.v jan feb mar apr jun jul aug sep sept oct nov dec okt dez "
    "стр рис гл".split()
)
# Scripts that separate sentences, or phrases, by a space alone.
_SPACE_ENDS = (("\u0e00", "\u0eff"), ("\u1780", "\u17ff"), ("\u1000", "\u109f"))
_PHRASE_CHARACTERS = 60


def ends_sentence(before: str, character: str, language: str = "") -> bool:
    """Tell whether the space between `before` and the next `character` ends a sentence."""
    if _ends_phrase(before):
        return True
    if not SENTENCE_END.search(before) or character.islower() or character in MARK_CHARACTERS:
        return False
    if character in CLOSING_CHARACTERS or (character == "»" and before.count("«") > before.count("»")):
        return False
    if _LIST_NUMBER.search(before) or _is_ordinal(before, language):
        return False
    word = _LAST_WORD.search(before)
    return word is None or not _continues_after(word[1], character)


def _is_ordinal(before: str, language: str) -> bool:
    if not _ORDINAL.search(before):
        return False
    return language in _ORDINAL_LANGUAGES or _BEFORE_ORDINAL.search(before) is not None


def _continues_after(word: str, character: str) -> bool:
    """Tell whether a sentence goes on after `word`, a full stop and a space, with `character`."""
    word = word.lstrip("_'’")
    lower = word.lower()
    if lower in _ABBREVIATIONS:
        return True
    if lower in _BEFORE_NUMBERS:
        return character.isdigit()
    # Initials, as in J. K. Rowling and z. B.; "I" is a word. U.S. and U.K. may go on.
    parts = word.split(".")
    if any(len(part) != 1 or not part.isalpha() for part in parts):
        return False
    return word != "I" if len(parts) == 1 else word.isupper()


def _ends_phrase(before: str) -> bool:
    """Tell whether a long phrase in a script without sentence marks, such as Thai, ends before a space."""
    return len(before) >= _PHRASE_CHARACTERS and any(low <= before[-1] <= high for low, high in _SPACE_ENDS)


def find_long_cut(text: str) -> int:
    """Return where to cut a sentence that is too long: after its last clause or word, else between two characters."""
    third = len(text) // 3
    clauses = [match.end() for match in _CLAUSE.finditer(text)]
    if clauses and clauses[-1] > third:
        return clauses[-1]
    space = text.rfind(" ")
    if space > third:
        return space
    # The last character may get an accent, or be joined with the next one.
    cut = len(text) - 1
    while cut > third and _belongs_to_previous(text, cut):
        cut -= 1
    return cut if cut > third else len(text)


def _belongs_to_previous(text: str, index: int) -> bool:
    character = text[index]
    return unicodedata.category(character) in ("Mn", "Mc", "Me", "Cf", "Sk", "Cs") or text[index - 1] == "\u200d"
