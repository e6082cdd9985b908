"""The emotion of an utterance, and the protocol of its detectors."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

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

    @property
    def distress(self) -> str:
        """Adjective such as "angry" if the user sounds distressed, else ""."""
        return _DISTRESS[self.label][0] if self.label in _DISTRESS and self.confidence >= MIN_CONFIDENCE else ""

    @property
    def instructions(self) -> str:
        """Instructions for the model if the user sounds distressed, else ""."""
        return f"The user sounds {self.distress}. {_DISTRESS[self.label][1]}" if self.distress else ""


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
