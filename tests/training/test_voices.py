"""The written voice heads, as the emotion skill loads them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from skills.emotions import voice
from skills.emotions.prosody import RATE, Floats
from skills.emotions.voice import VOICES, VoiceEmotionClassifier
from tests.fakes.emotional_clips import clip_features
from training.voice_baseline import fit_baseline_head
from training.voice_head import ENCODER_WIDTH, HeadConfig, fit_head
from training.voices import write


@pytest.fixture
def written_heads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train heads on made-up clips, and let the skill load them."""
    clips = clip_features()
    labels = torch.from_numpy(clips.labels[clips.clip_indices])
    head = fit_head(torch.from_numpy(clips.features), labels, HeadConfig(1e-2, ENCODER_WIDTH))
    path = tmp_path / "voice.safetensors"
    baseline_head = fit_baseline_head(clips, np.random.default_rng(0))
    write(head, baseline_head, {"temperature": 1.0, "usual temperature": 1.0}, path)
    monkeypatch.setattr(voice, "WEIGHTS", path)


def encode_last_label(samples: Floats) -> Floats:
    """Return the encoder's features of a clip with the last label."""
    return clip_features().features[-1:, :ENCODER_WIDTH]


@pytest.mark.usefixtures("written_heads")
def test_the_skill_classifies_a_voice_with_the_written_head() -> None:
    classifier = VoiceEmotionClassifier(encode_last_label, lambda samples: [(0, samples.size)])
    speech = np.random.default_rng(0).normal(0, 0.1, 2 * RATE).astype(np.float32)
    emotion = classifier.classify(speech)
    assert emotion is not None
    assert max(emotion.probabilities, key=emotion.probabilities.__getitem__) == VOICES[-1]


@pytest.mark.usefixtures("written_heads")
def test_the_skill_compares_a_voice_with_a_baseline_by_the_written_head() -> None:
    classifier = VoiceEmotionClassifier(encode_last_label, lambda samples: [(0, samples.size)])
    clips = clip_features()
    is_neutral = clips.labels[clips.clip_indices] == VOICES.index("neutral")
    probabilities = classifier.classify_against_baseline(clips.features[-1], clips.features[is_neutral].mean(0))
    assert max(probabilities, key=probabilities.__getitem__) == VOICES[-1]
    assert probabilities["surprise"] == 0
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
