"""Names and product words that a recognizer is told of before it listens, because nobody could spell them by ear.

They come from the settings and from the instructions of the conversation:

    "You are a polite agent of the kettle maker Hottie."     Hottie
    "Answer as Klara. You sell the AeroPress Go 2."           Klara, AeroPress Go 2
"""

import re
from collections.abc import Callable, Iterable, Sequence

from assistant.text_cleaning import clean_line

MAX_PROMPT_TOKENS = 120
"""Whisper reads up to 223 tokens before the speech. More of them cost time, and words among many are heard less."""

MAX_NAMES = 20
"""So many names of the instructions are used."""

_MAX_INSTRUCTION_CHARACTERS = 20_000
_MAX_NAME_WORDS = 4
_WORD = re.compile(r"[^\W_]+(?:['’.&-][^\W_]+)*")
# Behind these a sentence starts, where a word is capitalised whether or not it is a name.
_SENTENCE_START = re.compile(r"""(?:^|[.!?:;…])[\s"'“”„«»()\[\]*•>-]*(?:\d+[.)]\s*)?$""")
_ORDINARY = frozenset(
    "yes no okay i i'm i'll i've i'd you ai ok english german french spanish italian chinese japanese monday tuesday "
    "wednesday thursday friday saturday sunday january february march april may june july august september october "
    "november december markdown json yaml html internet web god mr mrs ms dr sir madam user assistant".split()
)
# Every noun is capitalised in German: there, only words of a form that no noun has are taken.
_GERMAN = re.compile(r"\b(?:der|die|das|und|ist|bist|nicht|ein|eine|einen|sie|antworte|auf)\b", re.IGNORECASE)
_MIN_GERMAN_WORDS = 3


def names_in(instructions: str) -> tuple[str, ...]:
    """Return the names in instructions: capitalised words within sentences, with the capitals and numbers behind them.

    A word counts once, in the order of the text. Headings, words in capitals only ("NEVER") and everyday words that
    English capitalises are left out.
    """
    text = instructions[:_MAX_INSTRUCTION_CHARACTERS]
    is_name = _has_inner_capital if len(_GERMAN.findall(text)) >= _MIN_GERMAN_WORDS else _is_capitalised
    names: dict[str, str] = {}
    for line in text.splitlines():
        if not line.lstrip().startswith("#"):
            for name in _names_in_line(line, is_name):
                names.setdefault(name.lower(), name)
    return tuple(names.values())[:MAX_NAMES]


def _names_in_line(line: str, is_name: Callable[[str], bool]) -> Iterable[str]:
    name = ""
    name_end = 0
    for match in _WORD.finditer(line):
        word = match[0].removesuffix("'s").removesuffix("’s")
        follows = bool(name) and line[name_end : match.start()] == " " and name.count(" ") < _MAX_NAME_WORDS - 1
        if name and not follows:
            yield name
            name = ""
        may_start = _has_inner_capital(word) or not _starts_sentence(line, match.start())
        if (is_name(word) and may_start) or (follows and word.isdigit()):
            name = f"{name} {word}".strip()
            # The genitive in "Klara's Hottie" ends a name: what follows is another one.
            name_end = match.start() + len(word)
        elif name:
            yield name
            name = ""
    if name:
        yield name


def _starts_sentence(line: str, position: int) -> bool:
    # A line may be thousands of words long: a few characters before the word decide. "x" stands for those before them.
    before = line[max(0, position - 12) : position]
    return _SENTENCE_START.search(before if position <= 12 else f"x{before}") is not None


def _is_capitalised(word: str) -> bool:
    is_plain = word[0].isupper() and not word.isupper() and word.lower().replace("’", "'") not in _ORDINARY
    return is_plain or _has_inner_capital(word)


def _has_inner_capital(word: str) -> bool:
    """Tell whether a word has both cases behind its first character, or capitals and digits: AeroPress, XR500."""
    inner = any(character.isupper() for character in word[1:]) and any(character.islower() for character in word)
    return inner or (word[0].isupper() and word.isupper() and any(character.isdigit() for character in word))


def hot_word_prompt(words: Iterable[str], count_tokens: Callable[[str], int]) -> str:
    """Return the text that a recognizer is given: the words, separated by commas, as many as fit.

    Args:
        words: The most important first; control characters and repeated words are left out.
        count_tokens: Returns how many tokens a text has.
    """
    prompt = ""
    used = set()
    for word in words:
        line = clean_line(word, 60)
        if not line or line.lower() in used:
            continue
        longer = f"{prompt}, {line}" if prompt else line
        if count_tokens(f" {longer}.") > MAX_PROMPT_TOKENS:
            break
        used.add(line.lower())
        prompt = longer
    return f"{prompt}." if prompt else ""


def repeats_prompt(words: Sequence[str], prompt_words: Sequence[str]) -> bool:
    """Tell whether recognized `words` are three or more of the prompt's and nothing else: nobody says that."""
    return len(words) >= 3 and set(words) <= set(prompt_words)
