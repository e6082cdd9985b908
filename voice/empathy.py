"""Empathy mode: detect the user's emotion from each utterance, and instruct the model when they sound distressed.

    transcript and audio ─▶ EmotionDetector ─▶ DetectedEmotion ─▶ EmotionDetected, for the call log
                                                               └─ distress ─▶ instructions, for this turn alone

Off unless it is asked for: nobody should be judged by their voice without knowing.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from assistant.conversation.session import Session
from assistant.errors import ParleyError
from assistant.events import Notice
from assistant.models.base import ChatModel
from voice.audio.types import SAMPLE_RATE
from voice.events import EmotionDetected, Publish
from voice.stt.base import Transcript
from voice.turns.utterance import Utterance

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

MAX_SECONDS = 15
"""The end of a longer utterance is used: it tells how the user feels now. Each 2 s take 15 ms to analyse."""


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


class EmpathyMode:
    """Instruct the model about the user's emotion. After a failure the conversation goes on without."""

    def __init__(self, detector: EmotionDetector, session: Session, publish: Publish) -> None:
        self._detector: EmotionDetector | None = detector
        self._session = session
        self._publish = publish

    async def prepare(self) -> None:
        """Load what the detector needs."""
        if self._detector is not None:
            try:
                await asyncio.to_thread(self._detector.prepare, self._session.model)
            except ParleyError as error:
                self._give_up(error)

    def turn_instructions(self, utterance: Utterance, transcript: Transcript) -> Callable[[], str] | None:
        """Return a function for the model's thread that detects the emotion and returns instructions for the turn."""
        detector, loop = self._detector, asyncio.get_running_loop()
        if detector is None:
            return None
        # The classifier of texts knows English only.
        text = transcript.text.strip() if transcript.language == "en" else ""
        samples = utterance.samples[-MAX_SECONDS * SAMPLE_RATE :]

        def instruct() -> str:
            try:
                emotion = detector.detect(self._session.model, text, samples)
            except ParleyError as error:
                loop.call_soon_threadsafe(self._give_up, error)
                return ""
            if emotion is None:
                return ""
            loop.call_soon_threadsafe(self._report, utterance, emotion)
            return emotion.instructions

        return instruct

    def _report(self, utterance: Utterance, emotion: DetectedEmotion) -> None:
        self._publish(EmotionDetected(utterance, emotion))
        if emotion.distress:
            self._publish(Notice(f"You sound {emotion.distress}: the model is told."))

    def _give_up(self, error: ParleyError) -> None:
        self._detector = None
        self._publish(Notice(f"{error} The conversation goes on without knowing how you feel."))
