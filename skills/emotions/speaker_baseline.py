"""Emotion of the speaker in a conversation: from the words, and from the difference to the speaker's usual voice.

    words   ─▶ text head ────────────────────────────┐
                                                     ├─▶ fuse ─▶ EmotionEstimate ─▶ if calm, update the baseline
    samples ─▶ features - baseline ─▶ baseline head ─┘

An unknown voice says little: on its own it is judged upset as often as not. The first calm utterances are therefore
judged by their words alone.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from skills.emotions.fusion import Modality, fuse
from skills.emotions.probabilities import most_likely
from skills.emotions.text import classify_text

if TYPE_CHECKING:
    from skills.emotions.prosody import Floats
    from skills.emotions.text import HiddenStates
    from skills.emotions.voice import VoiceEmotionClassifier

MIN_BASELINE_UTTERANCES = 2
"""Calm utterances after which the voice is judged."""


class EmotionEstimate(NamedTuple):
    """The likeliest of `EMOTIONS`, its probability, and the same of each modality."""

    label: str
    confidence: float
    parts: Mapping[str, tuple[str, float]]


class SpeakerBaseline:
    """Estimate the emotion of one speaker's utterances. Not thread-safe."""

    def __init__(self, classifier: "VoiceEmotionClassifier", hidden_states: "HiddenStates") -> None:
        self._classifier = classifier
        self._hidden_states = hidden_states
        self._baseline: Floats | None = None
        self._utterances = 0

    def estimate(self, words: str, samples: "Floats") -> "tuple[EmotionEstimate | None, Floats | None]":
        """Estimate the emotion of an utterance.

        Args:
            words: Transcript; "" if it cannot be judged, such as in another language than English.
            samples: Mono samples at 16 kHz.

        Returns:
            The estimate, None if neither words nor voice can be judged; and the features of the voice, for `update`.
        """
        features = self._classifier.extract_features(samples)
        found: dict[Modality, Mapping[str, float]] = {}
        if words.strip():
            found["text"] = classify_text(words, self._hidden_states).probabilities
        if features is not None and self._baseline is not None and self._utterances >= MIN_BASELINE_UTTERANCES:
            found["voice"] = self._classifier.classify_against_baseline(features, self._baseline)
        if not found:
            return None, features
        parts: dict[str, tuple[str, float]] = {source: most_likely(each) for source, each in found.items()}
        return EmotionEstimate(*most_likely(fuse(found)), parts), features

    def update(self, features: "Floats") -> None:
        """Add the voice of a calm utterance to the baseline."""
        self._utterances += 1
        total = 0 if self._baseline is None else self._baseline * (self._utterances - 1)
        self._baseline = ((total + features) / self._utterances).astype("f4")
