"""Events of a spoken conversation for those who watch it, such as the call log; times are event-loop times in seconds.

Front ends receive `assistant.events`: transcripts, text, notices. The events here say why and when those happened.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assistant.errors import ParleyError
from assistant.events import Event
from voice.emotion import DetectedEmotion
from voice.spoken_reply import SpokenReply
from voice.stt.base import Transcript
from voice.turns.interruption import Decision
from voice.turns.utterance import Utterance

if TYPE_CHECKING:
    from assistant.messages import Message


@dataclass(frozen=True)
class ReplyPaused:
    """The user speaks over a reply, which pauses until it is known whether they mean to interrupt it."""

    utterance: Utterance


@dataclass(frozen=True)
class UtteranceClassified:
    """An utterance was transcribed, and it is decided whether it is answered."""

    utterance: Utterance
    transcript: Transcript
    decision: Decision
    at: float


@dataclass(frozen=True)
class EmotionDetected:
    """The emotion of an utterance that is about to be answered."""

    utterance: Utterance
    emotion: DetectedEmotion


@dataclass(frozen=True)
class SpeechStarted:
    """The first audio of the reply to `utterance` is played."""

    utterance: Utterance


@dataclass(frozen=True)
class SpeechFailed:
    """Voice or output have failed: the reply goes on in writing."""

    error: ParleyError


@dataclass(frozen=True)
class ReplyEnded:
    """A reply is over.

    Attributes:
        utterance: What it answers.
        reply: As written and spoken.
        kept: The message that the conversation keeps; None if the turn left no trace.
        failure: What the model raised, in a sentence for people.
    """

    utterance: Utterance
    reply: SpokenReply
    kept: "Message | None"
    failure: str | None


VoiceEvent = ReplyPaused | UtteranceClassified | EmotionDetected | SpeechStarted | SpeechFailed | ReplyEnded

Publish = Callable[[Event | VoiceEvent], None]
"""Passes an event on to front end and observers."""
