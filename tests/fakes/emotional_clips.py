"""Features of made-up clips, as training extracts them from EmoDB."""

import numpy as np

from skills.emotions.voice import VOICES
from training.emodb import ClipFeatures
from training.voice_head import WIDTH


def clip_features(speakers: int = 4, first_column: int = 0) -> ClipFeatures:
    """Return one clip of each label by each speaker ("00", "01", …), in two segments.

    Args:
        speakers: Number of speakers.
        first_column: First of the seven features that contain the label. All others are 0.
    """
    rng = np.random.default_rng(0)
    labels = np.tile(np.arange(len(VOICES)), speakers)
    features = np.zeros((2 * len(labels), WIDTH), np.float32)
    features[:, first_column : first_column + len(VOICES)] = rng.normal(0, 0.3, (len(features), len(VOICES)))
    features[np.arange(len(features)), first_column + np.repeat(labels, 2)] += 6
    names = np.repeat([f"{number:02}" for number in range(speakers)], len(VOICES))
    return ClipFeatures(features, np.repeat(np.arange(len(labels)), 2), labels, names)


def repeat_clips(clips: ClipFeatures) -> ClipFeatures:
    """Return every clip twice."""
    features, labels, speakers = (
        np.concatenate([each, each]) for each in (clips.features, clips.labels, clips.speakers)
    )
    indices = np.concatenate([clips.clip_indices, clips.clip_indices + len(clips.labels)])
    return ClipFeatures(features, indices, labels, speakers)


def shift_speakers(clips: ClipFeatures) -> ClipFeatures:
    """Return the clips with an offset for each speaker, which is far larger than the differences between labels."""
    rng = np.random.default_rng(1)
    features = clips.features.copy()
    for speaker in clips.speaker_names:
        features[np.repeat(clips.speakers == speaker, 2)] += rng.normal(0, 50, WIDTH).astype(np.float32)
    return clips._replace(features=features)
