"""What was said and when, and the protocol of the engines that find it out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from voice.audio.types import Samples


@dataclass(frozen=True)
class Word:
    """One word with its punctuation. `start` and `end` in seconds; `probability` is how sure the engine is of it."""

    text: str
    start: float
    end: float
    probability: float


@dataclass(frozen=True)
class Segment:
    """A phrase or sentence, as the engine divides what it hears. `start` and `end` in seconds."""

    text: str
    start: float
    end: float
    words: tuple[Word, ...] = ()


@dataclass(frozen=True)
class Transcript:
    """What was said, nothing if nobody spoke.

    `language` is a code like "en", and "" where none was given and nothing was said; `language_probability` is how
    sure the engine is of that, 1 where it was given.
    """

    segments: tuple[Segment, ...] = ()
    language: str = ""
    language_probability: float = 0.0

    @property
    def text(self) -> str:
        """All of it, in one line."""
        return " ".join(segment.text for segment in self.segments)


SURE_LANGUAGE = 0.8
"""From this probability on a language that was detected is kept: short clips and noise are taken for any."""


class SpeechToText(Protocol):
    """An engine that listens. Synchronous and not thread-safe: its owner calls it from one thread at a time."""

    @property
    def languages(self) -> Sequence[str]:
        """The codes of the languages it knows, "en" among them."""
        ...

    def transcribe(self, samples: "Samples", language: str | None = None) -> Transcript:
        """What is said in `samples` (16 kHz mono), in `language` or, if that is None, in the one it detects.

        Any length is fine, none included, but all of it is worked on at once; see `voice.stt.long_form` for more than
        minutes. Raises `VoiceError` for a language it does not know and where the engine fails.
        """
        ...

    def close(self) -> None:
        """Free its memory. Calling it twice is fine."""
        ...


def shifted(segment: Segment, seconds: float) -> Segment:
    """`segment` as it is timed in a recording of which it came `seconds` after the beginning."""
    words = tuple(replace(word, start=word.start + seconds, end=word.end + seconds) for word in segment.words)
    return replace(segment, start=segment.start + seconds, end=segment.end + seconds, words=words)


def joined(transcripts: Sequence[Transcript]) -> Transcript:
    """Parts of one utterance as a whole, in the language that is surest."""
    surest = max(transcripts, key=lambda transcript: transcript.language_probability)
    return replace(surest, segments=tuple(segment for transcript in transcripts for segment in transcript.segments))
