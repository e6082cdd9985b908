"""Train the head that tells emotions from voices, on EmoDB, and judge it speaker by speaker.

    python -m training.voices --data DATA --work WORK

Three steps, in half a minute in all. Features: what `skills.emotions.voice` makes of each clip, kept in WORK. Figures:
each of the ten speakers is told by a head that never heard them; how strong its ridge is, and whether it hears pitch
and loudness beside the encoder, is chosen among its own nine by leaving out three at a time. The head that is written
to the weights of the skill has heard all ten, with the temperature that makes the ten left-out judgements likeliest.
"""

import argparse
import csv
import io
import tarfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from assistant import app, settings
from skills.emotions.sound import Floats
from skills.emotions.voice import VOICES, WEIGHTS, Encode, FindSpeech, features
from training.judging import fitted_temperature, judge, keep
from voice.recordings import open_recording
from voice.whisper import Whisper, find_speech

# What EmoDB calls the emotions.
NAMES = {"happiness": "joy"} | {name: name for name in VOICES if name != "joy"}

ENCODER_WIDTH = 512
PROSODY_WIDTH = 15
INNER_FOLDS = 3


class Clips(NamedTuple):
    """Features (pieces, width) of clips, which clip each piece is of, and each clip's label and speaker."""

    rows: Floats
    clips: NDArray[np.int64]
    labels: NDArray[np.int64]
    speakers: NDArray[np.str_]


class Choice(NamedTuple):
    """What is chosen without the speaker to be judged: the strength of the ridge, and the number of features used."""

    ridge: float
    width: int


CHOICES = tuple(
    Choice(ridge, width)
    for ridge in (1e-3, 3e-3, 1e-2, 3e-2)
    for width in (ENCODER_WIDTH, ENCODER_WIDTH + PROSODY_WIDTH)
)


class Head(NamedTuple):
    """A linear layer on standardized features."""

    mean: Tensor
    deviation: Tensor
    weight: Tensor
    bias: Tensor

    def logits(self, rows: Tensor) -> Tensor:
        """Logits (pieces, 7) of features (pieces, at least the head's width)."""
        return ((rows[:, : len(self.mean)] - self.mean) / self.deviation) @ self.weight.T + self.bias


def read_clips(data: Path, encode: Encode, hear: FindSpeech) -> Clips:
    """The features of every clip. One in which no speech is found is taken whole, so that none is left out."""
    folder = data / "emodb"
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as lines:
        rows = {row["file"]: row for row in csv.DictReader(lines)}
    found: list[Floats] = []
    clips: list[int] = []
    labels: list[int] = []
    speakers: list[str] = []
    with tarfile.open(folder / "wavs.tar") as archive:
        for member in archive:
            file = archive.extractfile(member) if Path(member.name).name in rows else None
            if file is None:
                continue
            row = rows[Path(member.name).name]
            with open_recording(io.BytesIO(file.read()), member.name) as recording:
                samples = np.concatenate(list(recording.blocks()))
            pieces, _ = features(samples, encode, hear)
            if not len(pieces):
                pieces, _ = features(samples, encode, lambda sound: [(0, sound.size)])
            found.append(pieces)
            clips += [len(labels)] * len(pieces)
            labels.append(VOICES.index(NAMES[row["label"]]))
            speakers.append(row["speaker"])
    return Clips(np.concatenate(found), np.array(clips), np.array(labels), np.array(speakers))


def fit(rows: Tensor, labels: Tensor, choice: Choice) -> Head:
    """Multinomial logistic regression with a ridge, to its optimum; in double precision, to be always the same."""
    rows = rows[:, : choice.width].double()
    mean, deviation = rows.mean(0), rows.std(0) + 1e-6
    standard = (rows - mean) / deviation
    weight = torch.zeros(len(VOICES), choice.width, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(len(VOICES), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        off = F.cross_entropy(standard @ weight.T + bias, labels) + choice.ridge * weight.square().sum()
        off.backward()
        return off

    optimizer.step(loss)
    return Head(*(each.detach().float() for each in (mean, deviation, weight, bias)))


def left_out(clips: Clips, folds: Sequence[Sequence[str]], choices: Sequence[Choice]) -> Tensor:
    """Logits (clips, 7) of each clip by a head that heard none of its fold's speakers; the mean over its pieces.

    With several `choices`, each fold takes the one that is best within its own training speakers.
    """
    rows, labels = torch.from_numpy(clips.rows), torch.from_numpy(clips.labels)
    told = torch.full((len(labels), len(VOICES)), torch.nan)
    for fold in folds:
        inside = ~np.isin(clips.speakers, fold)
        heard = torch.from_numpy(inside[clips.clips])
        choice = choices[0] if len(choices) == 1 else choose(_only(clips, inside), choices)
        if len(choices) > 1:
            print(f"without {' '.join(fold)}: ridge {choice.ridge:g}, {choice.width} features", flush=True)
        head = fit(rows[heard], labels[clips.clips][heard], choice)
        logits = head.logits(rows[~heard])
        for clip in np.flatnonzero(~inside):
            told[clip] = logits[torch.from_numpy(clips.clips[~heard.numpy()] == clip)].mean(0)
    return told


def choose(clips: Clips, choices: Sequence[Choice]) -> Choice:
    """The choice under which left-out speakers of `clips` are told best."""
    speakers = sorted(set(clips.speakers.tolist()))
    folds = [speakers[start::INNER_FOLDS] for start in range(INNER_FOLDS)]
    labels = torch.from_numpy(clips.labels)
    return min(choices, key=lambda choice: float(F.cross_entropy(left_out(clips, folds, [choice]), labels)))


def _only(clips: Clips, chosen: NDArray[np.bool_]) -> Clips:
    """Those clips that are `chosen`, numbered anew."""
    numbers = np.cumsum(chosen) - 1
    kept = chosen[clips.clips]
    return Clips(clips.rows[kept], numbers[clips.clips[kept]], clips.labels[chosen], clips.speakers[chosen])


def write(head: Head, figures: dict[str, Any], path: Path = WEIGHTS) -> None:
    """Write the head where the skill looks for it. Features it does not use get a weight of 0."""
    unused = ENCODER_WIDTH + PROSODY_WIDTH - len(head.mean)
    tensors = {
        "mean": F.pad(head.mean, (0, unused)),
        "deviation": F.pad(head.deviation, (0, unused), value=1.0),
        "weight": F.pad(head.weight, (0, unused)),
        "bias": head.bias,
    }
    keep({name: each.contiguous() for name, each in tensors.items()}, figures, path)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    kept = arguments.work / "voices.npz"
    if kept.exists():
        clips = Clips(**np.load(kept))
    else:
        whisper = Whisper.load(str(app.assemble_whisper(settings.load({}).settings)), device="cpu")
        clips = read_clips(arguments.data, whisper.encode, find_speech)
        arguments.work.mkdir(parents=True, exist_ok=True)
        np.savez(kept, **clips._asdict())

    labels = torch.from_numpy(clips.labels)
    speakers = sorted(set(clips.speakers.tolist()))
    told = left_out(clips, [[speaker] for speaker in speakers], CHOICES)
    probabilities = torch.empty_like(told)
    for speaker in speakers:
        own = torch.from_numpy(clips.speakers == speaker)
        probabilities[own] = (told[own] / fitted_temperature(told[~own], labels[~own])).softmax(1)
    figures = judge("Each speaker by a head that never heard them", probabilities, labels, VOICES)
    usual, count = Counter(clips.labels.tolist()).most_common(1)[0]
    print(f"always {VOICES[usual]}: accuracy {100 * count / len(labels):.1f}")

    choice = choose(clips, CHOICES)
    print(f"shipped: ridge {choice.ridge:g}, {choice.width} features")
    head = fit(torch.from_numpy(clips.rows), labels[clips.clips], choice)
    write(head, {"temperature": round(fitted_temperature(told, labels), 4), "speakers left out": figures})


if __name__ == "__main__":
    main()
