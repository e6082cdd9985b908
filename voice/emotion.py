"""The emotion of an utterance, and the protocol of its detectors.

Angry words are enough: who says "this is outrageous" in a calm voice is upset. The voice alone is enough too, but it
has to be surer, because voices are often misjudged.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self

from assistant.models.base import ChatModel

if TYPE_CHECKING:
    from voice.audio.types import Samples

# Label: (adjective, instruction).
_DISTRESS = {
    "anger": ("angry", "Be kind and calm."),
    "disgust": ("put off", "Be kind, and take it seriously."),
    "fear": ("afraid", "Be kind, calm and reassuring."),
    "sadness": ("sad", "Be kind and warm."),
}

MIN_CONFIDENCE = 0.5
"""Confidence from which a distressed label counts as distress."""

MIN_WORDS_CONFIDENCE = 1 / 3
"""Confidence from which a distressed label of the words alone does, whatever the voice says."""


@dataclass(frozen=True)
class DetectedEmotion:
    """Emotion of one utterance.

    Attributes:
        label: One of the seven labels of the emotion skill.
        confidence: Confidence of the label, 0 to 1.
        parts: Label and confidence from each of "text" and "voice" that was used.
    """

    label: str
    confidence: float
    parts: Mapping[str, tuple[str, float]] = field(default_factory=dict)

    @classmethod
    def from_parts(cls, label: str, confidence: float, parts: Mapping[str, tuple[str, float]]) -> Self:
        """Return the emotion of an utterance by the rule for calls: distressed words decide, else the fused label.

        Args:
            label: Label of all parts together.
            confidence: Its confidence.
            parts: As in the attributes.
        """
        if _is_distressed(parts.get("text")):
            label, confidence = parts["text"]
        return cls(label, confidence, parts)

    @property
    def distress(self) -> str:
        """Adjective such as "angry" if the user sounds distressed, else ""."""
        if self.label not in _DISTRESS:
            return ""
        words = self.parts.get("text")
        by_words = words is not None and words[0] == self.label and _is_distressed(words)
        return _DISTRESS[self.label][0] if by_words or self.confidence >= MIN_CONFIDENCE else ""

    @property
    def instructions(self) -> str:
        """Instructions for the model if the user sounds distressed, else ""."""
        return f"The user sounds {self.distress}. {_DISTRESS[self.label][1]}" if self.distress else ""


def _is_distressed(words: tuple[str, float] | None) -> bool:
    return words is not None and words[0] in _DISTRESS and words[1] >= MIN_WORDS_CONFIDENCE


class EmotionDetector(Protocol):
    """Detects the emotion of the utterances of one user, whose usual voice it learns."""

    def prepare(self, model: ChatModel) -> None:
        """Start with a new user. Loads what is needed beside `model`, which is not called. Raises `ParleyError`."""
        ...

    def detect(self, model: ChatModel, text: str, samples: "Samples") -> DetectedEmotion | None:
        """Return the emotion of an utterance; None if there is too little to tell. Runs on the thread of `model`.

        Args:
            model: May be called.
            text: Transcript; "" in a language that is not supported, where only the voice counts.
            samples: 16 kHz mono.

        Raises:
            ParleyError: A model failed.
        """
        ...
