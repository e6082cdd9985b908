"""The voice head: nobody is told by one that heard them, and what is learned is written as the skill reads it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from skills.emotions import voice
from skills.emotions.sound import RATE, Floats
from skills.emotions.voice import VOICES, VoiceReader
from training.voices import ENCODER_WIDTH, PROSODY_WIDTH, Choice, Clips, choose, fit, left_out, write

WIDTH = ENCODER_WIDTH + PROSODY_WIDTH


def clips(speakers: int = 4, told_by: int = 0) -> Clips:
    """A clip of each label by each speaker, in two pieces; seven features from number `told_by` on say the label."""
    numbers = np.random.default_rng(0)
    labels = np.tile(np.arange(len(VOICES)), speakers)
    rows = np.zeros((2 * len(labels), WIDTH), np.float32)
    rows[:, told_by : told_by + len(VOICES)] = numbers.normal(0, 0.3, (len(rows), len(VOICES)))
    rows[np.arange(len(rows)), told_by + np.repeat(labels, 2)] += 6
    names = np.repeat([f"{number:02}" for number in range(speakers)], len(VOICES))
    return Clips(rows, np.repeat(np.arange(len(labels)), 2), labels, names)


def test_speakers_that_were_left_out_are_told_if_they_sound_like_the_others() -> None:
    heard = clips()
    folds = [[name] for name in sorted(set(heard.speakers.tolist()))]
    told = left_out(heard, folds, [Choice(1e-2, WIDTH)])
    assert (told.argmax(1).numpy() == heard.labels).all()


def test_what_only_one_speaker_does_is_not_learned_from_that_speaker() -> None:
    heard = clips()
    # The first speaker alone names every emotion by another number: told by the others, all is wrong.
    own = np.repeat(heard.speakers == "00", 2)
    heard.rows[own, : len(VOICES)] = np.roll(heard.rows[own, : len(VOICES)], 1, axis=1)
    told = left_out(heard, [["00"]], [Choice(1e-2, WIDTH)]).argmax(1).numpy()
    first = heard.speakers == "00"
    assert not (told[first] == heard.labels[first]).any()


def test_the_features_that_tell_are_chosen_without_the_speaker_to_be_judged() -> None:
    only_pitch = clips(told_by=ENCODER_WIDTH)
    choice = choose(only_pitch, [Choice(1e-2, ENCODER_WIDTH), Choice(1e-2, WIDTH)])
    assert choice.width == WIDTH


def test_the_head_is_read_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = clips()
    head = fit(torch.from_numpy(heard.rows), torch.from_numpy(heard.labels[heard.clips]), Choice(1e-2, ENCODER_WIDTH))
    path = tmp_path / "voice.safetensors"
    write(head, {"temperature": 1.0}, path)
    monkeypatch.setattr(voice, "WEIGHTS", path)

    def encode(samples: Floats) -> Floats:
        """The clip that speaks for the last label."""
        return heard.rows[-1:, :ENCODER_WIDTH]

    speech = np.random.default_rng(0).normal(0, 0.1, 2 * RATE).astype(np.float32)
    tone = VoiceReader(encode, lambda samples: [(0, samples.size)]).read(speech)
    assert tone is not None
    assert max(tone.probabilities, key=tone.probabilities.__getitem__) == VOICES[-1]
