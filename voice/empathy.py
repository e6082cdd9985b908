"""Empathy mode: detect the user's emotion from each utterance, and instruct the model when they sound distressed.

    transcript and audio ─▶ EmotionDetector ─▶ DetectedEmotion ─▶ EmotionDetected, for the call log
                                                               └─ distress ─▶ instructions, for this turn alone

Off unless it is asked for: nobody should be judged by their voice without knowing.
"""

import asyncio
from collections.abc import Callable

from assistant.conversation.session import Session
from assistant.errors import ParleyError
from assistant.events import Notice
from voice.audio.types import SAMPLE_RATE
from voice.emotion import DetectedEmotion, EmotionDetector
from voice.events import EmotionDetected, Publish
from voice.stt.base import Transcript
from voice.turns.utterance import Utterance

MAX_SECONDS = 15
"""The end of a longer utterance is used: it tells how the user feels now. Each 2 s take 15 ms to analyse."""


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
