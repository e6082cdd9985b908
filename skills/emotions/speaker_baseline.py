"""How somebody seems to feel who is spoken with: by their words, and by how far their voice is from its usual sound.

    words ─▶ text head ─┐
                        ├─▶ fuse ─▶ EmotionEstimate ─ calm? ─▶ that is how they usually sound
    sound ─▶ features ─ minus the usual ones ─▶ voice head ─┘

A voice that was never heard before says little: by itself it is taken for upset as often as not. So the first calm
utterances are judged by their words alone.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from skills.emotions.fusion import Modality, fuse
from skills.emotions.text import classify_text

if TYPE_CHECKING:
    from skills.emotions.prosody import Floats
    from skills.emotions.text import States
    from skills.emotions.voice import VoiceEmotionClassifier

MIN_BASELINE_UTTERANCES = 2
"""After how many calm utterances a voice is judged."""


class EmotionEstimate(NamedTuple):
    """The likeliest of `EMOTIONS`, its probability, and likewise for each modality that was gone by."""

    label: str
    confidence: float
    parts: Mapping[str, tuple[str, float]]


class SpeakerBaseline:
    """Somebody whose utterances are heard one after the other. Not thread-safe."""

    def __init__(self, voices: "VoiceEmotionClassifier", states: "States") -> None:
        self._voices = voices
        self._states = states
        self._usual: Floats | None = None
        self._calm = 0

    def estimate(self, words: str, samples: "Floats") -> "tuple[EmotionEstimate | None, Floats | None]":
        """What an utterance sounds like: mono `samples` of 16 kHz, and `words`, "" where they cannot be judged.

        None, if there is nothing to go by. Also the features of the voice, for `remember`. Raises what the models do.
        """
        heard = self._voices.extract_features(samples)
        found: dict[Modality, Mapping[str, float]] = {}
        if words.strip():
            found["text"] = classify_text(words, self._states).probabilities
        if heard is not None and self._usual is not None and self._calm >= MIN_BASELINE_UTTERANCES:
            found["voice"] = self._voices.classify_against_baseline(heard, self._usual)
        if not found:
            return None, heard
        fused = fuse(found)
        parts: dict[str, tuple[str, float]] = {
            source: _likeliest(probabilities) for source, probabilities in found.items()
        }
        return EmotionEstimate(*_likeliest(fused), parts), heard

    def update(self, heard: "Floats") -> None:
        """That is how they sound when they are calm."""
        self._calm += 1
        before = 0 if self._usual is None else self._usual * (self._calm - 1)
        self._usual = ((before + heard) / self._calm).astype("f4")


def _likeliest(probabilities: Mapping[str, float]) -> tuple[str, float]:
    label = max(probabilities, key=probabilities.__getitem__)
    return label, float(probabilities[label])
