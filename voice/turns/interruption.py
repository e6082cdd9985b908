"""Tell interruptions from backchannels ("mm-hm") and from the echo of the reply in the microphone."""

import re
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from voice.turns.utterance import Utterance

Decision = Literal["turn", "nothing", "echo", "backchannel"]
"""Kind of an utterance. Only a turn is answered."""

_BACKCHANNELS = frozenset(
    "mm mmm hm hmm mhm mmhm mmhmm uhhuh uh huh um ah oh aha yeah yes yep ok okay right sure wow nice i see".split()
)
# First words of people who correct the reply with its own words.
_OBJECTIONS = frozenset("no not nope but wait stop why what actually".split())
# Share of the words that must stand in the same order in the reply for an echo.
_MIN_ECHO_SHARE = 0.7
_MAX_BACKCHANNEL_WORDS = 3


class InterruptionClassifier:
    """Decide whether an utterance is a turn."""

    def __init__(self, *, headphones: bool = False) -> None:
        """Create a classifier. With `headphones` the microphone cannot pick up the reply: nothing is an echo."""
        self._headphones = headphones

    def classify(self, text: str, utterance: "Utterance") -> Decision:
        """Classify `utterance`, whose transcript is `text`."""
        if not text:
            return "nothing"
        if utterance.push_to_talk:
            return "turn"
        reply = utterance.interrupted_reply
        if reply is not None and not self._headphones and is_echo(text, reply.spoken_text):
            return "echo"
        return "backchannel" if utterance.over_reply and is_backchannel(text) else "turn"


def is_backchannel(text: str) -> bool:
    """Return True if `text` only signals listening: "mm-hm", "okay", "yes, I see"."""
    words = _words(text)
    return len(words) <= _MAX_BACKCHANNEL_WORDS and all(word in _BACKCHANNELS for word in words)


def is_echo(text: str, spoken: str) -> bool:
    """Return True if `text` mostly repeats a part of `spoken`.

    A single word is never an echo: people say "stop" in answer to "stop".
    """
    words = _words(text)
    if len(words) < 2:
        return False
    matcher = SequenceMatcher(None, words, _words(spoken), autojunk=False)
    blocks = matcher.get_matching_blocks()
    if words[0] in _OBJECTIONS and blocks[0].a > 0:
        return False
    # Scattered single words occur in any conversation; an echo repeats runs of words.
    matched = sum(block.size for block in blocks if block.size > 1 or len(words) < 4)
    return matched >= _MIN_ECHO_SHARE * len(words)


def _words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.lower().replace("’", "'").replace("-", ""))
