"""How much words, face and voice are to count beside each other, and whether the three together beat the best of them.

    python -m training.fusion --data DATA --work WORK --decoder WORK/decoder

No data set here has all three of one person. So comments of GoEmotions, faces of FER-2013 and clips of EmoDB that carry
the same label are put together at random, and one of the three is degraded: the face to 8 pixels square, the voice
under noise as loud as itself, the text to its first three words. Weights are fitted on the dev splits (for voices: five
of the ten speakers), the table is that of the test splits (the other five), and each voice is judged by a head that
never heard its speaker. Surprise is left out, because nobody in EmoDB acts it. Writes `skills/emotions/fusion.json`.

Early fusion is one linear layer on what all three heads look at, trained on the dev triples. As these are made by
chance, it can learn nothing of how words, face and voice of one person belong together, which would be its advantage.
"""

import argparse
import csv
import io
import json
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from assistant import settings
from parley.factory.voice import assemble_whisper
from skills.emotions.face import FaceEmotionClassifier
from skills.emotions.face_network import face_logits, standardize
from skills.emotions.fusion import MIN_PROBABILITY, log_likelihood_ratios
from skills.emotions.labels import EMOTIONS
from skills.emotions.probabilities import softmax
from skills.emotions.text import TextHead, hash_ngrams
from skills.emotions.voice import VOICES, features
from training.calibration import fitted_temperature
from training.emotion_states import States, read_comments
from training.emotion_text import FINE, grouped
from training.faces import read_faces
from training.recipe import SEED
from training.voices import CHOICES, NAMES, fit
from voice.audio.decode import open_audio
from voice.stt.whisper import Whisper

OUT = Path(__file__).parents[1] / "skills" / "emotions" / "fusion.json"
LABELS = tuple(name for name in EMOTIONS if name != "surprise")
MODALITIES = ("text", "face", "voice")
POOL = 60
TRIPLES = 300
RESAMPLES = 2000

Floats = NDArray[np.float32]


class Pool(NamedTuple):
    """Examples of one modality and split: labels, and of the clean and the degraded ones probabilities and features."""

    labels: NDArray[np.int64]
    clean: Floats
    degraded: Floats
    clean_features: Floats
    degraded_features: Floats


class Triples(NamedTuple):
    """Probabilities (modalities, triples, 7) and features by modality, the labels, and which modality is degraded."""

    probabilities: Floats
    features: list[Floats]
    labels: NDArray[np.int64]
    degraded: NDArray[np.int64]


def some_of_each(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Indices of at most `POOL` of each of `LABELS`."""
    chosen = []
    for name in LABELS:
        found = np.flatnonzero(labels == EMOTIONS.index(name))
        chosen.append(rng.choice(found, min(POOL, len(found)), replace=False))
    return np.concatenate(chosen)


def text_pool(data: Path, split: str, states: Callable[[Sequence[str]], Any], rng: np.random.Generator) -> Pool:
    """Comments that have one of the seven alone; degraded, their first three words."""
    texts, fine = read_comments(data, split)
    basic = grouped(fine)
    labels = np.where(basic.sum(1) == 1, basic.argmax(1), -1)
    chosen = some_of_each(labels, rng)
    head = TextHead.load()

    def read(said: Sequence[str]) -> tuple[Floats, Floats]:
        pooled = states(said).astype(np.float32).reshape(len(said), -1)
        inner = np.maximum((pooled - head.mean) / head.deviation @ head.hidden.T + head.hidden_bias, 0)
        return softmax(head.logits(pooled, [hash_ngrams(text) for text in said])[:, FINE:]), inner

    clean, degraded = (read([" ".join(texts[index].split()[:words]) for index in chosen]) for words in (1000, 3))
    return Pool(labels[chosen], clean[0], degraded[0], clean[1], degraded[1])


@torch.no_grad()
def face_pool(data: Path, split: str, rng: np.random.Generator) -> Pool:
    """Faces; degraded, of 8 pixels square, enlarged again."""
    faces = read_faces(data, split)
    chosen = some_of_each(faces.labels.numpy(), rng)
    pixels = faces.pixels[torch.from_numpy(chosen)]
    small = F.interpolate(pixels[:, None].float(), (8, 8), mode="area")
    blurred = F.interpolate(small, pixels.shape[1:], mode="bilinear")[:, 0].round().to(torch.uint8)
    reader = FaceEmotionClassifier.load()

    def read(seen: Tensor) -> tuple[Floats, Floats]:
        maps = reader.network.features(standardize(seen).contiguous(memory_format=torch.channels_last))
        shares = (face_logits(reader.network, seen) / reader.temperature).softmax(1)
        return shares.numpy(), maps.mean((2, 3)).numpy()

    clean, degraded = read(pixels), read(blurred)
    return Pool(faces.labels.numpy()[chosen], clean[0], degraded[0], clean[1], degraded[1])


def voice_pools(data: Path, work: Path) -> dict[str, Pool]:
    """Clips of five speakers as dev and of the other five as test; degraded, under white noise as loud as the voice."""
    rows, labels, speakers = _voice_rows(data, work)
    told = torch.zeros(2, len(labels), len(VOICES))
    for speaker in sorted(set(speakers.tolist())):
        own = speakers == speaker
        head = fit(torch.from_numpy(rows[0, ~own]), torch.from_numpy(labels[~own]), CHOICES[-3])
        for number in range(2):
            told[number, own] = head.logits(torch.from_numpy(rows[number, own]))
    shares = (told / fitted_temperature(told[0], torch.from_numpy(labels))).softmax(2).numpy()
    seven = np.zeros((2, len(labels), len(EMOTIONS)), np.float32)
    seven_labels = np.zeros(len(labels), np.int64)
    for place, name in enumerate(VOICES):
        group = EMOTIONS.index("neutral" if name == "boredom" else name)
        seven[:, :, group] += shares[:, :, place]
        seven_labels[labels == place] = group
    halves = {"dev": sorted(set(speakers.tolist()))[::2], "test": sorted(set(speakers.tolist()))[1::2]}
    found = {}
    for split, own in halves.items():
        chosen = np.isin(speakers, own)
        found[split] = Pool(seven_labels[chosen], seven[0, chosen], seven[1, chosen], rows[0, chosen], rows[1, chosen])
    return found


def _voice_rows(data: Path, work: Path) -> tuple[Floats, NDArray[np.int64], NDArray[np.str_]]:
    """Features (clean and noisy, clips, width), the mean over each clip's pieces; labels by `VOICES`; speakers."""
    kept = work / "emotion" / "voices-noisy.npz"
    if not kept.exists():
        whisper = Whisper.load(str(assemble_whisper(settings.load({}).settings)), device="cpu")
        rng = np.random.default_rng(SEED)
        folder = data / "emodb"
        with (folder / "labels.csv").open(newline="", encoding="utf-8") as lines:
            known = {row["file"]: row for row in csv.DictReader(lines)}
        clean: list[Floats] = []
        noisy: list[Floats] = []
        labels: list[int] = []
        speakers: list[str] = []
        with tarfile.open(folder / "wavs.tar") as archive:
            for member in archive:
                row = known.get(Path(member.name).name)
                file = archive.extractfile(member) if row else None
                if row is None or file is None:
                    continue
                with open_audio(io.BytesIO(file.read()), member.name) as recording:
                    samples = np.concatenate(list(recording.blocks()))
                loudness = float(np.sqrt(np.square(samples).mean()))
                noise = rng.normal(0, loudness, samples.size).astype(np.float32)
                for each, sound in ((clean, samples), (noisy, samples + noise)):
                    each.append(features(sound, whisper.encode, lambda heard: [(0, heard.size)])[0].mean(0))
                labels.append(VOICES.index(NAMES[row["label"]]))
                speakers.append(row["speaker"])
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(kept, rows=np.stack([clean, noisy]), labels=np.array(labels), speakers=np.array(speakers))
    found = np.load(kept)
    return found["rows"], found["labels"], found["speakers"]


def triples(pools: Sequence[Pool], rng: np.random.Generator) -> Triples:
    """`TRIPLES` of each label, put together at random, one modality of each degraded at random."""
    labels = np.repeat([EMOTIONS.index(name) for name in LABELS], TRIPLES)
    degraded = rng.integers(0, len(MODALITIES), len(labels))
    probabilities, inputs = [], []
    for number, pool in enumerate(pools):
        chosen = np.array([rng.choice(np.flatnonzero(pool.labels == label)) for label in labels])
        spoiled = (degraded == number)[:, None]
        probabilities.append(np.where(spoiled, pool.degraded[chosen], pool.clean[chosen]))
        inputs.append(np.where(spoiled, pool.degraded_features[chosen], pool.clean_features[chosen]))
    return Triples(np.stack(probabilities), inputs, labels, degraded)


def evidences(each: Triples, priors: Floats) -> NDArray[np.float64]:
    """What each modality says by itself, in logarithms (modalities, triples, 7)."""
    return np.stack([log_likelihood_ratios(*pair) for pair in zip(each.probabilities, priors, strict=True)])


def fitted_weights(dev: Triples, priors: Floats) -> Floats:
    """The weights (modalities) that make the labels of `dev` likeliest."""
    logs = torch.from_numpy(evidences(dev, priors)).float()
    labels = torch.from_numpy(dev.labels)
    logarithms = torch.zeros(len(MODALITIES), requires_grad=True)
    optimizer = torch.optim.LBFGS([logarithms], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy((logarithms.exp()[:, None, None] * logs).sum(0), labels)
        loss.backward()
        return loss

    optimizer.step(closure)
    weights: Floats = logarithms.exp().detach().numpy()
    return weights


def early(dev: Triples, test: Triples) -> NDArray[np.int64]:
    """The labels that one linear layer on all features gives to `test`, trained on `dev`."""
    joined, seen = (np.concatenate(each.features, 1) for each in (dev, test))
    mean, deviation = joined.mean(0), joined.std(0) + 1e-3
    x, y = (torch.from_numpy((each - mean) / deviation).float() for each in (joined, seen))
    weight = torch.zeros(x.shape[1], len(EMOTIONS), requires_grad=True)
    labels = torch.from_numpy(dev.labels)
    optimizer = torch.optim.LBFGS([weight], max_iter=40, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(x @ weight, labels) + 1e-2 * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return (y @ weight).argmax(1).numpy()


def table(said: dict[str, NDArray[np.int64]], test: Triples, rng: np.random.Generator) -> dict[str, Any]:
    """Print and return the accuracy of each, by what is degraded, and how far the fused one is ahead of the best."""
    rights = {name: guess == test.labels for name, guess in said.items()}
    rows = [("everything", np.ones(len(test.labels), bool))]
    rows += [(f"{name} degraded", test.degraded == number) for number, name in enumerate(MODALITIES)]
    figures: dict[str, Any] = {}
    print(f"{'accuracy, %':16}" + "".join(f"{name:>10}" for name in rights) + "   fused ahead of the best one")
    for what, inside in rows:
        shares = {name: 100 * float(right[inside].mean()) for name, right in rights.items()}
        best = max(MODALITIES, key=shares.__getitem__)
        gain = (rights["fused"][inside].astype(float) - rights[best][inside]) * 100
        drawn = [gain[rng.integers(0, len(gain), len(gain))].mean() for _ in range(RESAMPLES)]
        low, high = np.percentile(drawn, [2.5, 97.5])
        print(
            f"{what:16}" + "".join(f"{share:10.1f}" for share in shares.values())
            + f"   {gain.mean():+.1f} ({low:+.1f} to {high:+.1f}, {best})",
            flush=True,
        )  # fmt: skip
        figures[what] = {
            **{name: round(share, 1) for name, share in shares.items()},
            "ahead": [round(float(each), 1) for each in (gain.mean(), low, high)],
        }
    return figures


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--decoder", type=Path, required=True, help="the folder of the dequantized decoder")
    arguments = parser.parse_args()
    rng = np.random.default_rng(SEED)
    voices = voice_pools(arguments.data, arguments.work)
    states = States(arguments.decoder)
    made = {}
    for split in ("dev", "test"):
        pools = [
            text_pool(arguments.data, split, states, rng),
            face_pool(arguments.data, split, rng),
            voices[split],
        ]
        made[split] = triples(pools, rng)
    priors = _priors(arguments.data, voices)
    weights = fitted_weights(made["dev"], priors)
    logs = evidences(made["test"], priors)
    said = {name: logs[number].argmax(1) for number, name in enumerate(MODALITIES)}
    said["fused"] = (weights[:, None, None] * logs).sum(0).argmax(1)
    said["early"] = early(made["dev"], made["test"])
    figures = table(said, made["test"], rng)
    found = {
        name: {"weight": round(float(weights[number]), 4), "prior": [round(float(each), 4) for each in priors[number]]}
        for number, name in enumerate(MODALITIES)
    }
    OUT.write_text(json.dumps({**found, "test": figures}, indent=2) + "\n")


def _priors(data: Path, voices: dict[str, Pool]) -> Floats:
    """How common each emotion was where each modality learned, (modalities, 7)."""
    basic = grouped(read_comments(data, "train")[1])
    faces = np.bincount(read_faces(data, "train").labels.numpy(), minlength=len(EMOTIONS))
    clips = np.bincount(np.concatenate([pool.labels for pool in voices.values()]), minlength=len(EMOTIONS))
    shares = [(basic / basic.sum(1, keepdims=True)).mean(0), faces / faces.sum(), clips / clips.sum()]
    priors: Floats = np.maximum(np.stack(shares), MIN_PROBABILITY).astype(np.float32)
    return priors


if __name__ == "__main__":
    main()
