"""Parts and options of a spoken conversation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from assistant.events import Event
from assistant.messages import Image
from voice.emotion import EmotionDetector
from voice.stt.base import SpeechToText
from voice.tts.base import TextToSpeech
from voice.turns.endpointing import EndOfTurnModel

State = Literal["listening", "hearing", "thinking", "speaking", "muted"]
"""State of a spoken conversation: "hearing" while the user speaks, "muted" while only push-to-talk is listened to."""


@dataclass(frozen=True)
class SpeechEngines:
    """Engines of a spoken conversation; each is used on one thread at a time.

    Attributes:
        stt: Transcribes what the user says.
        tts: Speaks the replies.
        end_of_turn: Tells a pause from the end of a turn. Without it, the words and silence alone do.
        emotion: Detects the speaker's emotion, about which the model is instructed; None turns empathy mode off.
    """

    stt: SpeechToText
    tts: TextToSpeech
    end_of_turn: EndOfTurnModel | None = None
    emotion: EmotionDetector | None = None

    def close(self) -> None:
        """Free the memory of the speech engines. May be called twice."""
        self.stt.close()
        self.tts.close()


@dataclass(frozen=True)
class VoiceOptions:
    """Options of a spoken conversation.

    Attributes:
        language: Code of the spoken language; None keeps the first one that is detected with confidence.
        headphones: Whether the microphone cannot pick up the speaker: no echo is cancelled or suspected.
        call_log: File to which events are appended as JSON lines.
        audio_dir: Folder in which each utterance, and what was heard of each reply, is saved as a WAV file.
        record: Stereo WAV file of the whole call, or a folder for it.
    """

    language: str | None = None
    headphones: bool = False
    call_log: Path | None = None
    audio_dir: Path | None = None
    record: Path | None = None


@dataclass(frozen=True)
class FrontEnd:
    """Callbacks of the user interface, called on the event loop.

    Attributes:
        on_event: Receives what is said and written, as it happens.
        on_state: Receives each new state.
        take_images: Returns the images that go with the question just asked.
        pending_images: Returns the images that go with the next question, and leaves them where they are.
    """

    on_event: Callable[[Event], None]
    on_state: Callable[[State], None] = lambda _: None
    take_images: Callable[[], Sequence[Image]] = tuple
    pending_images: Callable[[], Sequence[Image]] = tuple
