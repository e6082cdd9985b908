"""Linear voice heads: evaluated on speakers on which they were not trained."""

import numpy as np

from tests.fakes.emotional_clips import clip_features
from training.voice_head import ENCODER_WIDTH, WIDTH, HeadConfig, choose_config, cross_validate


def test_held_out_speakers_who_sound_like_the_others_are_classified() -> None:
    clips = clip_features()
    folds = [[name] for name in clips.speaker_names]
    logits = cross_validate(clips, folds, [HeadConfig(1e-2, WIDTH)])
    assert (logits.argmax(1).numpy() == clips.labels).all()


def test_the_head_is_not_trained_on_the_held_out_speaker() -> None:
    clips = clip_features()
    # The first speaker's features say another label than those of the others.
    segments = np.repeat(clips.speakers == "00", 2)
    clips.features[segments, :7] = np.roll(clips.features[segments, :7], 1, axis=1)
    predictions = cross_validate(clips, [["00"]], [HeadConfig(1e-2, WIDTH)]).argmax(1).numpy()
    first = clips.speakers == "00"
    assert not (predictions[first] == clips.labels[first]).any()


def test_prosody_is_used_where_it_contains_the_label() -> None:
    clips = clip_features(first_column=ENCODER_WIDTH)
    config = choose_config(clips, [HeadConfig(1e-2, ENCODER_WIDTH), HeadConfig(1e-2, WIDTH)])
    assert config.width == WIDTH
