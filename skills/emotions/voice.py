"""Emotion from the tone of a voice: what Whisper's encoder hears in it, and how loud and high it is, weighed by a head.

    samples ─▶ where somebody speaks ─▶ pieces of two seconds ─▶ features ─▶ a linear layer ─▶ probabilities, averaged

The head learned from ten people who acted seven moods in German (EmoDB). Nobody acted surprise there: its probability
is always 0. Boredom, which only EmoDB has, is told as well, and counts as neutral among `EMOTIONS`.

Of a single recording nobody knows how its speaker usually sounds, and the head takes half of all calm voices that are
unlike those of its actors for upset ones. So whoever has heard somebody speak before had better `compare`: a second
head learned how far the same actors were from their own neutral voice.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skills.emotions.labels import EMOTIONS
from skills.emotions.prosody import RATE, Floats, normalize_level, prosody

Encode = Callable[[Floats], Floats]
"""Takes mono sound of 16 kHz, at most 30 s, and returns the encoder's frames (50 a second, 512) of it."""

DetectSpeech = Callable[[Floats], Sequence[tuple[int, int]]]
"""Takes mono sound of 16 kHz and says from which sample to which somebody speaks, in order; nothing, if nobody does."""

WEIGHTS = Path(__file__).parent / "weights" / "voice.safetensors"

VOICES = ("anger", "boredom", "disgust", "fear", "joy", "neutral", "sadness")
"""What the head tells apart, in the order of its rows."""

# The length of the clips that it learned from; less than half a second is a syllable, in which nothing can be heard.
_PIECE = 2 * RATE
_SHORTEST = RATE // 2


@dataclass(frozen=True)
class VocalEmotion:
    """How somebody sounds. `probabilities` over `EMOTIONS` sum to 1; surprise, which was never heard, is 0.

    `boredom` is the part of neutral that sounds bored, and `seconds` how long somebody speaks in the recording.
    """

    probabilities: Mapping[str, float]
    boredom: float
    seconds: float


class VoiceEmotionClassifier:
    """Tells the tone of a voice. `encode` must be the encoder that the head was trained on: the bundled Whisper's."""

    def __init__(self, encode: Encode, detect_speech: DetectSpeech) -> None:
        from safetensors import safe_open

        self._encode = encode
        self._detect_speech = detect_speech
        with safe_open(WEIGHTS, "numpy") as file:
            self._mean, self._deviation = file.get_tensor("mean"), file.get_tensor("deviation")
            self._weight, self._bias = file.get_tensor("weight"), file.get_tensor("bias")
            self._usual_mean, self._usual_deviation = file.get_tensor("usual.mean"), file.get_tensor("usual.deviation")
            self._usual_weight, self._usual_bias = file.get_tensor("usual.weight"), file.get_tensor("usual.bias")
            figures = json.loads(file.metadata()["figures"])
            self._temperature = float(figures["temperature"])
            self._usual_temperature = float(figures["usual temperature"])

    def classify(self, samples: Floats) -> VocalEmotion | None:
        """The tone of mono `samples` of 16 kHz in [-1, 1]; None if nobody speaks in them for half a second."""
        rows, seconds = features(samples, self._encode, self._detect_speech)
        if not len(rows):
            return None
        logits = ((rows - self._mean) / self._deviation) @ self._weight.T + self._bias
        return _tone(softmax(logits / self._temperature).mean(0), seconds)

    def extract_features(self, samples: Floats) -> Floats | None:
        """The features (width,) of how somebody sounds in `samples`, for `compare`; None where `read` tells nothing."""
        rows, _ = features(samples, self._encode, self._detect_speech)
        return rows.mean(0) if len(rows) else None

    def classify_against_baseline(self, heard: Floats, usual: Floats) -> Mapping[str, float]:
        """The probabilities over `EMOTIONS` of a voice `heard` that usually sounds as `usual`: features (width,) both.

        `usual` is the mean of at least two utterances in which they were calm.
        """
        logits = ((heard - usual - self._usual_mean) / self._usual_deviation) @ self._usual_weight.T + self._usual_bias
        return _tone(softmax(logits[None] / self._usual_temperature)[0], 0.0).probabilities


def _tone(shares: Floats, seconds: float) -> VocalEmotion:
    """The tone with these probabilities (7,) of `VOICES`."""
    found = dict(zip(VOICES, map(float, shares), strict=True))
    boredom = found.pop("boredom")
    found["neutral"] += boredom
    return VocalEmotion({emotion: found.get(emotion, 0.0) for emotion in EMOTIONS}, boredom, seconds)


def features(samples: Floats, encode: Encode, detect_speech: DetectSpeech) -> tuple[Floats, float]:
    """A row of features for each two seconds in which somebody speaks, and how many seconds that is in all.

    What is shorter than half a second, or silence, has no row: (0, width).
    """
    spans = detect_speech(samples) if samples.size >= _SHORTEST else ()
    speech = np.concatenate([samples[start:end] for start, end in spans]) if spans else samples[:0]
    seconds = len(speech) / RATE
    if len(speech) < _SHORTEST or not speech.any():
        return np.zeros((0, 0), np.float32), seconds
    speech = normalize_level(speech)
    pieces = np.array_split(speech, max(1, round(len(speech) / _PIECE)))
    return np.stack([np.concatenate([encode(piece).mean(0), prosody(piece)]) for piece in pieces]), seconds


def softmax(logits: Floats) -> Floats:
    """Probabilities (count, labels) of logits (count, labels)."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True), np.float32)
