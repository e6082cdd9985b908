"""Decide how much silence ends a turn, from how the speech sounds and from its words.

Neither signal is enough. Of sentences that stop in the middle, the end-of-turn model takes many for complete if no
filler ends them ("which river runs through the"): the words tell those. Whisper in turn puts a full stop behind half a
sentence and leaves out the "um" that the model hears. `python -m benchmarks turns` measures the rates.
"""

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from assistant.errors import VoiceError

if TYPE_CHECKING:
    from voice.audio.types import Samples
    from voice.stt.base import Transcript
    from voice.turns.interruption import InterruptionClassifier
    from voice.turns.utterance import Utterance

EndOfTurnModel = Callable[["Samples"], float]
"""Return the probability in [0, 1] that the turn in these samples, which end in a pause, is complete."""

# Seconds of silence that end a turn: both signals say complete, they disagree, both say incomplete.
SHORT_SILENCE, DEFAULT_SILENCE, LONG_SILENCE = 0.35, 0.8, 2.0

# More follows these words, whatever mark Whisper puts behind them.
_UNFINISHED = {
    "en": "and or but because if although unless whose the a an my your our their every than um uh er hmm",
    "de": "und oder aber weil dass obwohl denn sondern eine einen mein dein unser ähm äh hm",
    "fr": "et ou mais parce le mon ton notre votre euh hum",
    "es": "y o pero porque el las los mi tu eh em",
}
_UNFINISHED_WORDS = {language: frozenset(words.split()) for language, words in _UNFINISHED.items()}
# Alone and with a full stop these are a reaction. "Um" and the like start something even then.
_REACTIONS = frozenset({"hmm.", "hm.", "hum."})
_SINGLE_LETTER = re.compile(r"(?<!\S)[A-Z]\.$")
_UNFINISHED_MARKS = ("...", "…", ",", "-", "–", "—", ":", ";")
_QUESTION_MARKS = ("?", "？")
_SENTENCE_MARKS = (".", "!", "。", "！")

# Completion probabilities: complete sentences of the bundled voice seldom get less than the lower one; a final "um"
# gets 0.01.
_LIKELY, _UNLIKELY = 0.5, 0.1


class Endpointer:
    """Find the silence timeout of each pause, with the end-of-turn model on a thread of its own."""

    def __init__(self, model: EndOfTurnModel | None, classifier: "InterruptionClassifier") -> None:
        """Create an endpointer. Without a `model`, the words and silence alone decide."""
        self._model = model
        self._classifier = classifier
        self._executor = ThreadPoolExecutor(1, "end-of-turn")

    async def decide(self, samples: "Samples", utterance: "Utterance") -> float:
        """Decide after how many seconds of silence the turn ends, and note it in `utterance.end_of_turn`.

        Waits for the transcript: without words there is nothing to answer yet.

        Args:
            samples: Audio of the utterance up to its pause.
            utterance: Its transcription is in progress or done.
        """
        end_of_turn = utterance.end_of_turn
        assert end_of_turn is not None
        if self._model is not None:
            loop = asyncio.get_running_loop()
            end_of_turn.completion_probability = await loop.run_in_executor(self._executor, self._model, samples)
        try:
            transcript = await utterance.transcript()
        except VoiceError:
            # It is raised where the utterance is answered, unless the user speaks on and the next pause succeeds.
            return LONG_SILENCE
        if self._classifier.classify(transcript.text.strip(), utterance) == "turn":
            end_of_turn.silence_timeout = silence_timeout(transcript, end_of_turn.completion_probability)
        else:
            end_of_turn.silence_timeout = SHORT_SILENCE
        return end_of_turn.silence_timeout

    def close(self) -> None:
        """Wait for the model and end the thread."""
        self._executor.shutdown()


def silence_timeout(transcript: "Transcript", completion_probability: float | None) -> float:
    """Return the seconds of silence that end a turn with these words.

    Args:
        transcript: Words of the turn so far.
        completion_probability: Result of the end-of-turn model. None if there is no model: only words that need a
            continuation prolong the default then.
    """
    text = transcript.text.strip()
    if not text:
        return SHORT_SILENCE
    if is_unfinished(text, transcript.language):
        return LONG_SILENCE
    if completion_probability is None:
        return DEFAULT_SILENCE
    doubts = 0 if text.endswith(_QUESTION_MARKS) else 1 if text.endswith(_SENTENCE_MARKS) else 2
    doubts += 0 if completion_probability >= _LIKELY else 1 if completion_probability >= _UNLIKELY else 2
    return SHORT_SILENCE if doubts < 2 else DEFAULT_SILENCE if doubts == 2 else LONG_SILENCE


def is_unfinished(text: str, language: str = "en") -> bool:
    """Return True if `text` ends in a word or a mark that needs a continuation: "because", a comma, "um".

    A single capital letter is no such word ("I got an A."), and "Hmm." alone is an answer.
    """
    if text.endswith(_UNFINISHED_MARKS):
        return True
    if text.lower() in _REACTIONS or _SINGLE_LETTER.search(text):
        return False
    words = re.findall(r"[\w']+", text.lower())
    return bool(words) and words[-1] in _UNFINISHED_WORDS.get(language, frozenset())
