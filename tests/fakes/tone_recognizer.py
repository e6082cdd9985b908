"""A recognizer that hears tones."""

from collections.abc import Iterable, Iterator

import numpy as np

from tests.fakes.audio import Floats
from voice.audio.types import SAMPLE_RATE
from voice.stt.base import Segment, Transcript, Word


class ToneRecognizer:
    """Transcribe each tone as "beep", so that the times of a transcript can be compared with those of the tones."""

    languages = ("en", "de")

    def __init__(self, detected: Iterable[str] = (), probabilities: Iterable[float] = ()) -> None:
        """`detected` and `probabilities` are the languages of chunks with tones, in order; then "en" with 0.9."""
        self._detected: Iterator[str] = iter(detected)
        self._probabilities: Iterator[float] = iter(probabilities)
        self.requested_languages: list[str | None] = []
        self.chunk_seconds: list[float] = []

    def transcribe(self, samples: Floats, language: str | None = None) -> Transcript:
        self.requested_languages.append(language)
        self.chunk_seconds.append(samples.size / SAMPLE_RATE)
        loud = np.flatnonzero(np.abs(np.concatenate([[0.0], samples, [0.0]])) > 0.01)
        if not loud.size:
            return Transcript(language=language or "en")
        gaps = np.flatnonzero(np.diff(loud) > SAMPLE_RATE // 10)
        starts = loud[np.concatenate([[0], gaps + 1])] / SAMPLE_RATE
        ends = loud[np.concatenate([gaps, [loud.size - 1]])] / SAMPLE_RATE
        segments = tuple(
            Segment("beep", start, end, (Word("beep", start, end, 1.0),))
            for start, end in zip(starts, ends, strict=True)
        )
        probability = 1.0 if language else next(self._probabilities, 0.9)
        return Transcript(segments, language or next(self._detected, "en"), probability)

    def close(self) -> None:
        pass
