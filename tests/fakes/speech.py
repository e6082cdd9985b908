"""Speech engines and an audio output that need no sound: loudness selects the words, and playing takes no time.

`speech(n)` is what the user says, and `FakeSpeechToText` transcribes it as its n-th text.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from assistant.errors import VoiceError
from tests.fakes.audio import Floats
from voice.audio.types import SAMPLE_RATE
from voice.stt.base import Segment, Transcript
from voice.turns.vad import FRAME_SAMPLES, UserTurnDetector

TTS_RATE = 1000


def speech(number: int, frames: int = 20) -> Floats:
    """Return so many frames of speech that is transcribed as text `number`."""
    return np.full(frames * FRAME_SAMPLES, 0.6 + number / 100, np.float32)


def silence(frames: int = 70) -> Floats:
    """Return silence; the default is longer than any pause may last."""
    return np.zeros(frames * FRAME_SAMPLES, np.float32)


def loudness_detector() -> UserTurnDetector:
    """Return a turn detector for which loud frames are speech."""
    return UserTurnDetector(lambda frame: float(np.abs(frame).max()))


class FakeSpeechToText:
    """Transcribes `speech(n)` as the n-th of `texts`; of several numbers in one utterance the highest counts."""

    languages = ("en", "de")

    def __init__(self, *texts: str) -> None:
        self.texts = texts
        self.requested_languages: list[str | None] = []
        self.durations: list[float] = []
        """Seconds of each transcribed piece of audio."""
        self.language_probability = 1.0
        self.language = "en"
        self.failures = 0
        """So many of the next transcriptions fail."""
        self.may_finish = threading.Event()
        """Cleared, transcriptions take until it is set again."""
        self.may_finish.set()

    def transcribe(self, samples: Floats, language: str | None = None) -> Transcript:
        self.requested_languages.append(language)
        self.durations.append(samples.size / SAMPLE_RATE)
        self.may_finish.wait(60)
        self.failures -= 1
        if self.failures >= 0 or not self.texts:
            raise VoiceError("Whisper failed.")
        text = self.texts[round(float(samples.max()) * 100) - 60]
        probability = self.language_probability if language is None else 1.0
        return Transcript((Segment(text, 0, 1),) if text else (), language or self.language, probability)

    def close(self) -> None:
        pass


class FakeTextToSpeech:
    """Speaks a tenth of a second for each word, and fails at sentences with "break"."""

    sample_rate = TTS_RATE

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self.may_start = threading.Event()
        """Cleared, sentences wait until it is set again."""
        self.may_start.set()

    def synthesize(self, sentence: str) -> Iterator[Floats]:
        if "break" in sentence:
            raise VoiceError("The voice broke.")
        self.sentences.append(sentence)
        self.may_start.wait(60)
        yield np.zeros(len(sentence.split()) * TTS_RATE // 10, np.float32)

    def close(self) -> None:
        pass


@dataclass
class FakeAudioOutput:
    """Plays at once what is added, up to `play_limit` seconds."""

    play_limit: float = float("inf")
    added_seconds: float = 0.0
    lost: bool = False
    paused: bool = False
    calls: list[str] = field(default_factory=list)
    """Names of the methods called, but for `add`."""

    @property
    def played_seconds(self) -> float:
        self._check()
        return min(self.added_seconds, self.play_limit)

    def add(self, samples: Floats) -> None:
        self._check()
        self.added_seconds += samples.size / TTS_RATE

    def pause(self) -> None:
        self.paused = True
        self.calls.append("pause")

    def resume(self) -> None:
        self.paused = False
        self.calls.append("resume")

    def clear(self) -> None:
        self.added_seconds = 0.0
        self.paused = False
        self.calls.append("clear")

    def _check(self) -> None:
        if self.lost:
            raise VoiceError("The speaker has gone.")
