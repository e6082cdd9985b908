"""Whether somebody who is silent is done, or thinks: judged by how it sounds and by the words.

Neither is enough. Of sentences that stop in the middle the network takes many for whole where no filler ends them
("which river runs through the"), which the words tell; and Whisper puts a full stop behind half a sentence, and leaves
out the "um" that the network hears. `python -m benchmarks turns` has the rates.
"""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voice.audio.types import Samples
    from voice.stt.base import Transcript

EndOfTurnModel = Callable[["Samples"], float]
"""Gives the probability that whoever speaks in these samples, up to their pause at the end, is done."""

# Seconds of silence after which a turn is over: where both signs say so, where they are at odds, where neither does.
SHORT_SILENCE, DEFAULT_SILENCE, LONG_SILENCE = 0.35, 0.8, 2.0

# After these something comes, whatever mark Whisper puts behind them.
_UNFINISHED = {
    "en": "and or but because if although unless whose the a an my your our their every than um uh er hmm",
    "de": "und oder aber weil dass obwohl denn sondern eine einen mein dein unser ähm äh hm",
    "fr": "et ou mais parce le mon ton notre votre euh hum",
    "es": "y o pero porque el las los mi tu eh em",
}
_UNFINISHED_WORDS = {language: frozenset(words.split()) for language, words in _UNFINISHED.items()}
# Said alone and with a full stop these are a reaction; "um" and its like are the beginning of something even so.
_REACTIONS = frozenset({"hmm.", "hm.", "hum."})
_LETTER = re.compile(r"(?<!\S)[A-Z]\.$")
_NO_END = ("...", "…", ",", "-", "–", "—", ":", ";")

# Sure of the contrary: whole sentences of the bundled voice seldom get less, and what ends in "um" gets 0.01.
_LIKELY, _UNLIKELY = 0.5, 0.1


def silence_timeout(heard: "Transcript", done: float | None) -> float:
    """Seconds of silence after which the turn with these words is over.

    `done` is the probability that it sounds like that, None where that is not known: silence alone decides then, but
    for words after which something must come.
    """
    text = heard.text.strip()
    if not text:
        return SHORT_SILENCE
    if is_unfinished(text, heard.language):
        return LONG_SILENCE
    if done is None:
        return DEFAULT_SILENCE
    doubts = 0 if text.endswith(("?", "？")) else 1 if text.endswith((".", "!", "。", "！")) else 2
    doubts += 0 if done >= _LIKELY else 1 if done >= _UNLIKELY else 2
    return SHORT_SILENCE if doubts < 2 else DEFAULT_SILENCE if doubts == 2 else LONG_SILENCE


def is_unfinished(text: str, language: str = "en") -> bool:
    """Whether `text` ends in a word or a mark after which something comes: "because", a comma, "um".

    A capital letter with a full stop is no such word ("I got an A."), and "Hmm." with nothing before it is an answer.
    """
    if text.endswith(_NO_END):
        return True
    if text.lower() in _REACTIONS or _LETTER.search(text):
        return False
    words = re.findall(r"[\w']+", text.lower())
    return bool(words) and words[-1] in _UNFINISHED_WORDS.get(language, frozenset())
