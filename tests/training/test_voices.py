"""The voice head: nobody is told by one that heard them, and what is learned is written as the skill reads it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from skills.emotions import voice
from skills.emotions.prosody import RATE, Floats
from skills.emotions.voice import VOICES, VoiceEmotionClassifier
from training.voices import (
    ENCODER_WIDTH,
    PROSODY_WIDTH,
    Choice,
    Clips,
    against_usual,
    choose,
    fit,
    heard_before,
    judge_usual,
    left_out,
    upset,
    write,
)

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
    shifted = heard_before(heard, np.random.default_rng(0))
    usual = fit(torch.from_numpy(shifted.rows), torch.from_numpy(shifted.labels[shifted.clips]), Choice(1e-2, WIDTH))
    write(head, usual, {"temperature": 1.0, "usual temperature": 1.0}, path)
    monkeypatch.setattr(voice, "WEIGHTS", path)

    def encode(samples: Floats) -> Floats:
        """The clip that speaks for the last label."""
        return heard.rows[-1:, :ENCODER_WIDTH]

    speech = np.random.default_rng(0).normal(0, 0.1, 2 * RATE).astype(np.float32)
    reader = VoiceEmotionClassifier(encode, lambda samples: [(0, samples.size)])
    tone = reader.classify(speech)
    assert tone is not None
    assert max(tone.probabilities, key=tone.probabilities.__getitem__) == VOICES[-1]
    calm = heard.rows[heard.labels[heard.clips] == VOICES.index("neutral")].mean(0)
    compared = reader.classify_against_baseline(heard.rows[-1], calm)
    assert max(compared, key=compared.__getitem__) == VOICES[-1]
    assert compared["surprise"] == 0
    assert sum(compared.values()) == pytest.approx(1, abs=1e-5)


def in_their_own_voice(heard: Clips) -> Clips:
    """Each speaker sounds altogether different from the others, far more than any emotion does."""
    numbers = np.random.default_rng(1)
    rows = heard.rows.copy()
    for speaker in set(heard.speakers.tolist()):
        rows[np.repeat(heard.speakers == speaker, 2)] += numbers.normal(0, 50, WIDTH).astype(np.float32)
    return heard._replace(rows=rows)


def doubled(heard: Clips) -> Clips:
    """Everybody says everything twice."""
    count = len(heard.labels)
    again = [np.concatenate([each, each]) for each in (heard.rows, heard.labels, heard.speakers)]
    return Clips(again[0], np.concatenate([heard.clips, heard.clips + count]), again[1], again[2])


def test_compared_with_how_they_usually_sound_strangers_are_understood() -> None:
    strange = doubled(in_their_own_voice(clips()))
    told = left_out(strange, [[name] for name in ("00", "01", "02", "03")], [Choice(3e-3, WIDTH)])
    alone = (told.argmax(1).numpy() == strange.labels).mean()
    _, figures = judge_usual(strange, np.random.default_rng(0))
    assert all(figures[earlier]["accuracy"] > 95 for earlier in ("1", "2", "5"))
    assert figures["taken for upset"]["upset"] > 95
    assert figures["taken for upset"]["others"] < 5
    assert alone < 0.7


def test_who_is_taken_for_upset_is_counted_beside_who_is_not() -> None:
    labels = torch.tensor([VOICES.index(name) for name in ("anger", "anger", "sadness", "boredom", "joy")])
    # The second is not sure enough, the third is upset in another way than it seems, and the fourth is not at all.
    said, sure = ("anger", "anger", "fear", "fear", "joy"), (0.9, 0.3, 0.9, 0.9, 0.9)
    rows = torch.tensor([[(1 - share) / 6] * len(VOICES) for share in sure])
    rows[range(5), [VOICES.index(name) for name in said]] = torch.tensor(sure)
    assert upset(rows, labels) == {"upset": 66.7, "others": 50.0}


def test_nobody_is_compared_with_what_is_to_be_judged() -> None:
    heard = clips(speakers=1)
    rows, kept = against_usual(heard, 5, np.random.default_rng(0))
    # The only neutral clip has nothing to be compared with.
    assert VOICES.index("neutral") not in heard.labels[kept]
    assert len(rows) == len(VOICES) - 1
