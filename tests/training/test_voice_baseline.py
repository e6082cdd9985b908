"""The head that compares an utterance with earlier ones of the same speaker."""

import numpy as np
import torch

from skills.emotions.voice import VOICES
from tests.fakes.emotional_clips import clip_features, repeat_clips, shift_speakers
from training.voice_baseline import baseline_differences, distress_rates, evaluate_baseline_head
from training.voice_head import WIDTH, HeadConfig, cross_validate


def test_a_baseline_helps_with_speakers_who_sound_unlike_the_others() -> None:
    clips = repeat_clips(shift_speakers(clip_features()))
    logits = cross_validate(clips, [[name] for name in clips.speaker_names], [HeadConfig(3e-3, WIDTH)])
    accuracy_without = (logits.argmax(1).numpy() == clips.labels).mean()
    _, figures = evaluate_baseline_head(clips, np.random.default_rng(0))
    assert all(figures[size]["accuracy"] > 95 for size in ("1", "2", "5"))
    assert figures["taken for upset"]["upset"] > 95
    assert figures["taken for upset"]["others"] < 5
    assert accuracy_without < 0.7


def test_a_clip_is_not_part_of_its_own_baseline() -> None:
    clips = clip_features(speakers=1)
    differences, indices = baseline_differences(clips, 5, np.random.default_rng(0))
    # The only neutral clip has no other to be compared with.
    assert VOICES.index("neutral") not in clips.labels[indices]
    assert len(differences) == len(VOICES) - 1


def test_distress_rates_count_confident_predictions_of_any_distressed_label() -> None:
    labels = torch.tensor([VOICES.index(name) for name in ("anger", "anger", "sadness", "boredom", "joy")])
    # The second is below the confidence threshold, the third is another distressed label, the fourth is a false alarm.
    predicted, confidences = ("anger", "anger", "fear", "fear", "joy"), (0.9, 0.3, 0.9, 0.9, 0.9)
    probabilities = torch.tensor([[(1 - confidence) / 6] * len(VOICES) for confidence in confidences])
    probabilities[range(5), [VOICES.index(name) for name in predicted]] = torch.tensor(confidences)
    assert distress_rates(probabilities, labels) == {"upset": 66.7, "others": 50.0}
