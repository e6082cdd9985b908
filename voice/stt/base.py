"""The protocol of speech recognizers, and transcripts with times."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from voice.audio.types import Samples


@dataclass(frozen=True)
class Word:
    """One word with its punctuation. `start` and `end` in seconds; `probability` is the engine's confidence."""

    text: str
    start: float
    end: float
    probability: float


@dataclass(frozen=True)
class Segment:
    """A phrase or sentence, as the engine divides the audio. `start` and `end` in seconds.

    `channel` names the channel of a recording in which each channel has its own speaker, such as "left".
    """

    text: str
    start: float
    end: float
    words: tuple[Word, ...] = ()
    channel: str = ""


@dataclass(frozen=True)
class Transcript:
    """The text of some audio; no segments if nobody spoke.

    Attributes:
        segments: In order of time.
        language: A code like "en"; "" if none was given and nothing was said.
        language_probability: Confidence of the language detection, 1 if the language was given.
    """

    segments: tuple[Segment, ...] = ()
    language: str = ""
    language_probability: float = 0.0

    @property
    def text(self) -> str:
        """The text of all segments, in one line."""
        return " ".join(segment.text for segment in self.segments)


MIN_LANGUAGE_PROBABILITY = 0.8
"""Probability from which a detected language is kept for what follows. Short clips and noise pass for any language."""


class SpeechToText(Protocol):
    """A speech recognizer. Synchronous and not thread-safe: the owner calls it from one thread at a time."""

    @property
    def languages(self) -> Sequence[str]:
        """Codes of the supported languages, "en" among them."""
        ...

    def transcribe(self, samples: "Samples", language: str | None = None) -> Transcript:
        """Transcribe audio of any length, also of none, in one go. For files see `voice.stt.long_form`.

        Args:
            samples: 16 kHz mono.
            language: Code of the spoken language; None detects it.

        Raises:
            VoiceError: The language is not supported, or the engine fails.
        """
        ...

    def close(self) -> None:
        """Free the memory. May be called twice."""
        ...


def shift_segment(segment: Segment, seconds: float) -> Segment:
    """Move a segment and its words later by `seconds`."""
    words = tuple(replace(word, start=word.start + seconds, end=word.end + seconds) for word in segment.words)
    return replace(segment, start=segment.start + seconds, end=segment.end + seconds, words=words)


def join_transcripts(transcripts: Sequence[Transcript]) -> Transcript:
    """Join the parts of one utterance, with the language of the most confident detection."""
    surest = max(transcripts, key=lambda transcript: transcript.language_probability)
    return replace(surest, segments=tuple(segment for transcript in transcripts for segment in transcript.segments))
