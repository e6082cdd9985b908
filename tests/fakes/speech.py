"""Ears, a voice and a speaker that say in samples what they mean, at once."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from assistant.errors import VoiceError
from tests.fakes.audio import Floats
from voice.audio.types import HEARING_RATE
from voice.stt.base import Segment, Transcript

RATE = 1000


class Ears:
    """Understands utterances by their loudness: the number of the sentence in `sentences`."""

    languages = ("en", "de")

    def __init__(self, *sentences: str) -> None:
        self.sentences = sentences
        self.asked: list[str | None] = []
        self.heard_seconds: list[float] = []
        self.language_probability = 1.0
        self.language = "en"

    def transcribe(self, samples: Floats, language: str | None = None) -> Transcript:
        self.asked.append(language)
        self.heard_seconds.append(samples.size / HEARING_RATE)
        if not self.sentences:
            raise VoiceError("Whisper failed.")
        text = self.sentences[round(float(samples.max()) * 100) - 60]
        probability = self.language_probability if language is None else 1.0
        return Transcript((Segment(text, 0, 1),) if text else (), language or self.language, probability)

    def close(self) -> None:
        pass


class Voice:
    """Speaks a tenth of a second for each word."""

    sample_rate = RATE

    def __init__(self) -> None:
        self.said: list[str] = []

    def synthesize(self, sentence: str) -> Iterator[Floats]:
        if "break" in sentence:
            raise VoiceError("The voice broke.")
        self.said.append(sentence)
        yield np.zeros(len(sentence.split()) * RATE // 10, np.float32)

    def close(self) -> None:
        pass


@dataclass
class Speaker:
    """Plays in no time at all what it is let play, in seconds."""

    limit: float = 1e9
    added: float = 0.0
    lost: bool = False
    paused: bool = False
    log: list[str] = field(default_factory=list)

    @property
    def played(self) -> float:
        self._check()
        return min(self.added, self.limit)

    def add(self, samples: Floats) -> None:
        self._check()
        self.added += samples.size / RATE

    def _check(self) -> None:
        if self.lost:
            raise VoiceError("The speaker has gone.")

    def pause(self) -> None:
        self.paused = True
        self.log.append("pause")

    def resume(self) -> None:
        self.paused = False
        self.log.append("resume")

    def empty(self) -> None:
        self.added = 0.0
        self.paused = False
        self.log.append("empty")
