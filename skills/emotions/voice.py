"""Emotion from the tone of voice: Whisper's encoder and prosody, classified by a linear head.

    samples ─▶ detect speech ─▶ two-second segments ─▶ features ─▶ linear layer ─▶ softmax, averaged over segments

The head was trained on ten actors who performed seven moods in German (EmoDB). They did not act surprise, so its
probability is always 0. Boredom exists only in EmoDB; it is reported separately and counts as neutral.

From a single recording the head mistakes half of all calm voices that are unlike its actors' for upset ones. Where
earlier utterances of the speaker are known, use `classify_against_baseline`: a second head was trained on the
difference from the speaker's own neutral voice.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skills.emotions.labels import EMOTIONS
from skills.emotions.probabilities import softmax
from skills.emotions.prosody import RATE, Floats, normalize_level, prosody

Encode = Callable[[Floats], Floats]
"""Encoder: mono samples at 16 kHz, at most 30 s, to frames (50 per second, 512)."""

DetectSpeech = Callable[[Floats], Sequence[tuple[int, int]]]
"""Voice activity detector: mono samples at 16 kHz to (start, end) samples of speech, in order."""

WEIGHTS = Path(__file__).parent / "weights" / "voice.safetensors"

VOICES = ("anger", "boredom", "disgust", "fear", "joy", "neutral", "sadness")
"""Labels of the heads, in the order of their rows."""

# Length of the training clips.
_SEGMENT_SAMPLES = 2 * RATE
# Less is a syllable, too short to judge.
_MIN_SPEECH_SAMPLES = RATE // 2


@dataclass(frozen=True)
class VocalEmotion:
    """Emotion in a voice.

    Attributes:
        probabilities: Of each of `EMOTIONS`; they sum to 1, and that of surprise is 0.
        boredom: Part of "neutral" that sounds bored.
        seconds: Duration of speech in the recording.
    """

    probabilities: Mapping[str, float]
    boredom: float
    seconds: float


@dataclass(frozen=True)
class _LinearHead:
    """A linear classifier over standardized features: weight (labels, width), bias (labels,), and a temperature."""

    mean: Floats
    deviation: Floats
    weight: Floats
    bias: Floats
    temperature: float

    def probabilities(self, rows: Floats) -> Floats:
        """Return probabilities (count, labels) of features (count, width)."""
        logits = ((rows - self.mean) / self.deviation) @ self.weight.T + self.bias
        return softmax(logits / self.temperature)


class VoiceEmotionClassifier:
    """Classify the tone of voice."""

    def __init__(self, encode: Encode, detect_speech: DetectSpeech) -> None:
        """Load both heads.

        Args:
            encode: Encoder of the bundled Whisper, on which the heads were trained.
            detect_speech: Voice activity detector.
        """
        self._encode = encode
        self._detect_speech = detect_speech
        self._head = _load_head("", "temperature")
        self._baseline_head = _load_head("usual.", "usual temperature")

    def classify(self, samples: Floats) -> VocalEmotion | None:
        """Classify mono samples at 16 kHz in [-1, 1]. Returns None for less than half a second of speech."""
        rows, seconds = features(samples, self._encode, self._detect_speech)
        return _to_emotion(self._head.probabilities(rows).mean(0), seconds) if len(rows) else None

    def extract_features(self, samples: Floats) -> Floats | None:
        """Return the mean features (width,) of an utterance, or None where `classify` does."""
        rows, _ = features(samples, self._encode, self._detect_speech)
        return rows.mean(0) if len(rows) else None

    def classify_against_baseline(self, utterance: Floats, baseline: Floats) -> Mapping[str, float]:
        """Return the probability of each of `EMOTIONS`, given how the speaker usually sounds.

        Args:
            utterance: Features (width,) of the utterance.
            baseline: Mean features (width,) of at least two calm utterances of the same speaker.
        """
        return _to_emotion(self._baseline_head.probabilities((utterance - baseline)[None])[0], 0.0).probabilities


def features(samples: Floats, encode: Encode, detect_speech: DetectSpeech) -> tuple[Floats, float]:
    """Return features (segments, width) of every two seconds of speech, and the seconds of speech.

    There is no segment in silence or in less than half a second of speech.
    """
    spans = detect_speech(samples) if samples.size >= _MIN_SPEECH_SAMPLES else ()
    speech = np.concatenate([samples[start:end] for start, end in spans]) if spans else samples[:0]
    seconds = len(speech) / RATE
    if len(speech) < _MIN_SPEECH_SAMPLES or not speech.any():
        return np.zeros((0, 0), np.float32), seconds
    speech = normalize_level(speech)
    segments = np.array_split(speech, max(1, round(len(speech) / _SEGMENT_SAMPLES)))
    return np.stack([np.concatenate([encode(each).mean(0), prosody(each)]) for each in segments]), seconds


def _load_head(prefix: str, temperature: str) -> _LinearHead:
    """Load the head whose tensors have names with `prefix`."""
    from safetensors import safe_open

    with safe_open(WEIGHTS, "numpy") as file:
        return _LinearHead(
            mean=file.get_tensor(f"{prefix}mean"),
            deviation=file.get_tensor(f"{prefix}deviation"),
            weight=file.get_tensor(f"{prefix}weight"),
            bias=file.get_tensor(f"{prefix}bias"),
            temperature=float(json.loads(file.metadata()["figures"])[temperature]),
        )


def _to_emotion(probabilities: Floats, seconds: float) -> VocalEmotion:
    """Map probabilities (7,) of `VOICES` to `EMOTIONS`."""
    found = dict(zip(VOICES, map(float, probabilities), strict=True))
    boredom = found.pop("boredom")
    found["neutral"] += boredom
    return VocalEmotion({emotion: found.get(emotion, 0.0) for emotion in EMOTIONS}, boredom, seconds)
