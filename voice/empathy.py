"""How somebody seems to feel as they speak, and what the model is told about it: for a conversation that is to be kind.

    words and sound of an utterance ─▶ EmotionDetector ─▶ DetectedEmotion ─▶ the log
                                                 └─ distress ─▶ instructions, for the reply to this utterance alone

Off unless it is asked for: nobody should be judged by their voice without knowing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from assistant.models.base import ChatModel

if TYPE_CHECKING:
    from voice.audio.types import Samples

_UPSET = {
    "anger": ("angry", "Be kind and calm."),
    "disgust": ("put off", "Be kind, and take it seriously."),
    "fear": ("afraid", "Be kind, calm and reassuring."),
    "sadness": ("sad", "Be kind and warm."),
}

SURE = 0.5
"""Nobody is called distress by less than this."""

LONGEST_SECONDS = 15
"""The end of an utterance, which says how somebody feels now; each two seconds of it take 15 ms to be heard."""


@dataclass(frozen=True)
class DetectedEmotion:
    """What an utterance sounds like: one of the seven labels of the skill emotion, and how sure that is, from 0 to 1.

    `parts` has the label and the confidence of each of "text" and "voice" that was gone by.
    """

    label: str
    confidence: float
    parts: Mapping[str, tuple[str, float]] = field(default_factory=dict)

    @property
    def distress(self) -> str:
        """How they seem, as in "you seem angry"; "" if they do not seem distress."""
        return _UPSET[self.label][0] if self.label in _UPSET and self.confidence >= SURE else ""

    @property
    def instructions(self) -> str:
        """What the model is told about it; "" if they do not seem distress."""
        return f"The user sounds {self.distress}. {_UPSET[self.label][1]}" if self.distress else ""


class EmotionDetector(Protocol):
    """Tells a mood from each utterance of somebody."""

    def prepare(self, model: ChatModel) -> None:
        """Begin to listen to somebody: load what is needed beside `model`, which is not asked anything.

        Raises `ParleyError`.
        """
        ...

    def __call__(self, model: ChatModel, words: str, samples: "Samples") -> DetectedEmotion | None:
        """The mood in mono `samples` of 16 kHz and their `words`; None if there is too little to tell.

        Without `words` (in a language that they cannot be judged in) by the sound alone. Called on the thread of
        `model`, which may be asked. Raises `ParleyError`.
        """
        ...
