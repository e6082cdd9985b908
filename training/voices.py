"""Train the head that tells emotions from voices, on EmoDB, and judge it speaker by speaker.

    python -m training.voices --data DATA --work WORK

Three steps, in half a minute in all. Features: what `skills.emotions.voice` makes of each clip, kept in WORK. Figures:
each of the ten speakers is told by a head that never heard them; how strong its ridge is, and whether it hears pitch
and loudness beside the encoder, is chosen among its own nine by leaving out three at a time. The head that is written
to the weights of the skill has heard all ten, with the temperature that makes the ten left-out judgements likeliest.

A second head learns how a clip differs from the mean of some neutral ones by the same speaker, which is how somebody
is judged who has been heard before. It is judged in the same way, and written beside the first.
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

from assistant import settings
from parley.factory.voice import assemble_whisper
from skills.emotions.prosody import Floats
from skills.emotions.speaker_baseline import MIN_BASELINE_UTTERANCES
from skills.emotions.voice import VOICES, WEIGHTS, DetectSpeech, Encode, features
from training.calibration import fitted_temperature, judge, keep
from training.recipe import SEED
from voice.audio.decode import open_audio
from voice.empathy import DetectedEmotion
from voice.stt.whisper import Whisper, detect_speech

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


# Of how many earlier clips the second head learns: of several, since it is to judge after two and after twenty.
DRAWS = (1, 2, 3, 5, 8)
# The weakest ridge was best for the second head as well; it is chosen on all ten speakers, and so are the draws.
USUAL_CHOICE = Choice(3e-3, ENCODER_WIDTH + PROSODY_WIDTH)


class Head(NamedTuple):
    """A linear layer on standardized features."""

    mean: Tensor
    deviation: Tensor
    weight: Tensor
    bias: Tensor

    def logits(self, rows: Tensor) -> Tensor:
        """Logits (pieces, 7) of features (pieces, at least the head's width)."""
        return ((rows[:, : len(self.mean)] - self.mean) / self.deviation) @ self.weight.T + self.bias


def read_clips(data: Path, encode: Encode, hear: DetectSpeech) -> Clips:
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
            with open_audio(io.BytesIO(file.read()), member.name) as recording:
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


def against_usual(clips: Clips, earlier: int, rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
    """How each clip differs from the mean of `earlier` other neutral ones by its speaker: (clips, width), and its clip.

    A clip of somebody who has said nothing else neutrally is left out.
    """
    means = np.stack([clips.rows[clips.clips == clip].mean(0) for clip in range(len(clips.labels))])
    neutral = clips.labels == VOICES.index("neutral")
    rows, kept = [], []
    for clip, speaker in enumerate(clips.speakers):
        others = np.flatnonzero(neutral & (clips.speakers == speaker) & (np.arange(len(neutral)) != clip))
        if len(others):
            rows.append(means[clip] - means[rng.choice(others, min(earlier, len(others)), replace=False)].mean(0))
            kept.append(clip)
    return np.stack(rows), np.array(kept)


def heard_before(clips: Clips, rng: np.random.Generator) -> Clips:
    """Each clip as it differs from what was said neutrally before, `DRAWS` times over: from one clip, two, and more."""
    drawn = [against_usual(clips, earlier, rng) for earlier in DRAWS]
    rows, numbers = (np.concatenate(each) for each in zip(*drawn, strict=True))
    return Clips(rows, numbers, clips.labels, clips.speakers)


def judge_usual(clips: Clips, rng: np.random.Generator) -> tuple[float, dict[str, Any]]:
    """Print and return how well the second head tells speakers that it never heard, by how many clips came before.

    Each clip is judged as it differs from so many neutral ones. Also the temperature after `MIN_BASELINE_UTTERANCES` of them.
    """
    labels = torch.from_numpy(clips.labels)
    told = {earlier: torch.full((len(labels), len(VOICES)), torch.nan) for earlier in (1, MIN_BASELINE_UTTERANCES, 5)}
    for speaker in sorted(set(clips.speakers.tolist())):
        own = clips.speakers == speaker
        learned = heard_before(_only(clips, ~own), rng)
        head = fit(torch.from_numpy(learned.rows), torch.from_numpy(learned.labels[learned.clips]), USUAL_CHOICE)
        for earlier, logits in told.items():
            rows, kept = against_usual(_only(clips, own), earlier, rng)
            logits[np.flatnonzero(own)[kept]] = head.logits(torch.from_numpy(rows))
    temperature = fitted_temperature(told[MIN_BASELINE_UTTERANCES], labels)
    figures: dict[str, Any] = {
        str(earlier): judge(
            f"Unheard speakers, after {earlier} neutral clips", (logits / temperature).softmax(1), labels, VOICES
        )
        for earlier, logits in told.items()
    }
    figures["taken for upset"] = upset((told[MIN_BASELINE_UTTERANCES] / temperature).softmax(1), labels)
    return temperature, figures


def upset(probabilities: Tensor, labels: Tensor) -> dict[str, float]:
    """Print and return, in percent, who is taken for upset in a conversation: of the upset, and of all others.

    Rows of `probabilities` (clips, 7) are over `VOICES`. Who is told so at random is so as often if they are not.
    """
    told, really = [], []
    for row, label in zip(probabilities, labels.tolist(), strict=True):
        share, place = row.max(0)
        told.append(bool(DetectedEmotion(VOICES[place], float(share)).distress))
        really.append(bool(DetectedEmotion(VOICES[label], 1.0).distress))
    taken, true = np.array(told), np.array(really)
    figures = {"upset": 100 * float(taken[true].mean()), "others": 100 * float(taken[~true].mean())}
    print(
        f"taken for upset: {figures['upset']:.1f} % of the upset, {figures['others']:.1f} % of the others", flush=True
    )
    return {who: round(share, 1) for who, share in figures.items()}


def write(head: Head, usual: Head, figures: dict[str, Any], path: Path = WEIGHTS) -> None:
    """Write both heads where the skill looks for them. Features that one does not use get a weight of 0."""
    tensors: dict[str, Tensor] = {}
    for prefix, each in (("", head), ("usual.", usual)):
        unused = ENCODER_WIDTH + PROSODY_WIDTH - len(each.mean)
        tensors |= {
            f"{prefix}mean": F.pad(each.mean, (0, unused)),
            f"{prefix}deviation": F.pad(each.deviation, (0, unused), value=1.0),
            f"{prefix}weight": F.pad(each.weight, (0, unused)),
            f"{prefix}bias": each.bias,
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
        whisper = Whisper.load(str(assemble_whisper(settings.load({}).settings)), device="cpu")
        clips = read_clips(arguments.data, whisper.encode, detect_speech)
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
    rng = np.random.default_rng(SEED)
    usual_temperature, usual_figures = judge_usual(clips, rng)
    learned = heard_before(clips, rng)
    usual = fit(torch.from_numpy(learned.rows), labels[learned.clips], USUAL_CHOICE)
    about = {
        "temperature": round(fitted_temperature(told, labels), 4),
        "usual temperature": round(usual_temperature, 4),
        "speakers left out": figures,
        "speakers left out, by neutral clips before": usual_figures,
    }
    write(head, usual, about)


if __name__ == "__main__":
    main()
