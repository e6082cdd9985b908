"""What is an interruption and what is not: listeners' noises, and Parley's own voice coming back from the speaker."""

import re
from difflib import SequenceMatcher

_BACKCHANNELS = frozenset(
    "mm mmm hm hmm mhm mmhm mmhmm uhhuh uh huh um ah oh aha yeah yes yep ok okay right sure wow nice i see".split()
)
# How people begin who correct what they hear, in its own words.
_OBJECTIONS = frozenset("no not nope but wait stop why what actually".split())
# Of the words heard, how many may stand in the same order in what was just said before they are taken for an echo.
_ECHO = 0.7


def is_backchannel(text: str) -> bool:
    """Whether `text` only says that somebody listens: "mm-hm", "okay", "yes, I see"."""
    words = _words(text)
    return len(words) <= 3 and all(word in _BACKCHANNELS for word in words)


def is_echo(text: str, said: str) -> bool:
    """Whether `text` is mostly a part of `said`. A single word never is: people say "stop" in answer to "stop"."""
    words = _words(text)
    if len(words) < 2:
        return False
    matcher = SequenceMatcher(None, words, _words(said), autojunk=False)
    # Its words stand together in what was said; scattered ones are any conversation's.
    blocks = matcher.get_matching_blocks()
    if words[0] in _OBJECTIONS and blocks[0].a > 0:
        return False
    together = sum(block.size for block in blocks if block.size > 1 or len(words) < 4)
    return together >= _ECHO * len(words)


def _words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.lower().replace("’", "'").replace("-", ""))
