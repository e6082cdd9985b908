"""Train the network that tells emotions from faces, on FER-2013, and write it to the weights of the emotion skill.

    python -m training.faces --data DATA --work WORK [--minutes N] [--threads N] [--begin WEIGHTS] [--export]

`--minutes` of processor time shape the schedule: the rate rises over their first twentieth and falls to nothing by
their end, however little of a busy machine there is to be had. Checkpoints are kept in WORK/faces/; the same command
goes on from the last, and another number of minutes stretches or shortens what remains. `--begin` starts from weights
that were written before, at half the rate. `--export` writes what the last checkpoint holds without training on, and
with `--begin` and no checkpoint those weights with a temperature fitted anew. Dev is
FER-2013's public test split; `training.face_figures` judges on test.
"""

import argparse
import csv
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from skills.emotions.face import WEIGHTS
from skills.emotions.face_network import FACE_SIDE, FaceNetwork, face_logits, standardize
from skills.emotions.labels import EMOTIONS
from training.calibration import fitted_temperature, judge, keep

# What FER-2013 calls the emotions.
NAMES = {
    "angry": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "joy",
    "neutral": "neutral",
    "sad": "sadness",
    "surprise": "surprise",
}
SPLITS = {"train": "train", "dev": "validation", "test": "test"}

TRAINING_FACES = 28_709
BATCH = 64
PEAK_RATE = 0.06
WARM_UP = 0.05
SMOOTHING = 0.1
AVERAGE = 0.999
# From which part of the time on faces have how many pixels: small ones cost less than half.
SIDES = ((0.0, 32), (0.25, 40), (0.7, FACE_SIDE))
SECONDS_BETWEEN_CHECKPOINTS = 120
# Looking at all of dev would take as long as a round of training does: every seventh face is enough on the way.
DEV_STRIDE = 7


@dataclass(frozen=True)
class Faces:
    """Grey faces (count, 48, 48) as bytes, and which of `EMOTIONS` each shows (count)."""

    pixels: Tensor
    labels: Tensor


def read_faces(data: Path, split: str) -> Faces:
    """The faces of "train", "dev" or "test", cut out of the sheets they are kept on."""
    folder = data / "fer2013"
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row["split"] == SPLITS[split]]
    sheets: dict[str, Tensor] = {}
    pixels = torch.empty(len(rows), FACE_SIDE, FACE_SIDE, dtype=torch.uint8)
    for place, row in enumerate(rows):
        if row["sheet"] not in sheets:
            sheet = Image.open(folder / f"sheet{int(row['sheet']):02d}.webp").convert("L")
            sheets[row["sheet"]] = torch.frombuffer(bytearray(sheet.tobytes()), dtype=torch.uint8).view(
                sheet.height, sheet.width
            )
        left, top = int(row["x"]), int(row["y"])
        pixels[place] = sheets[row["sheet"]][top : top + FACE_SIDE, left : left + FACE_SIDE]
    return Faces(pixels, torch.tensor([EMOTIONS.index(NAMES[row["label"]]) for row in rows]))


def disturbed(faces: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Faces (batch, 1, 48, 48) mirrored, turned, moved, stretched and partly hidden, as (batch, 1, side, side)."""
    count = len(faces)

    def between(low: float, high: float) -> Tensor:
        return torch.rand(count, generator=generator) * (high - low) + low

    turn = between(-0.26, 0.26)
    stretch = between(0.8, 1.15)
    tall = stretch * between(0.92, 1.09)
    mirror = torch.where(between(0, 1) < 0.5, -1.0, 1.0)
    rows = torch.stack(
        [
            torch.stack([mirror * stretch * turn.cos(), -tall * turn.sin(), between(-0.2, 0.2)], 1),
            torch.stack([mirror * stretch * turn.sin(), tall * turn.cos(), between(-0.2, 0.2)], 1),
        ],
        1,
    )
    grid = F.affine_grid(rows, [count, 1, side, side], align_corners=False)
    seen = F.grid_sample(faces, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    # A quarter of the width to half of it is hidden in every third face.
    across, down, size = between(0, 1), between(0, 1), between(0.12, 0.25) * (between(0, 1) < 0.35)
    line = (torch.arange(side) + 0.5) / side
    hidden = ((line - across[:, None]).abs() < size[:, None])[:, None, None, :] & (
        (line - down[:, None]).abs() < size[:, None]
    )[:, None, :, None]
    return seen.masked_fill(hidden, 0.0)


def rate_at(progress: float, peak: float = PEAK_RATE) -> float:
    """The learning rate when `progress` of the time, from 0 to 1, is over, at `peak` at most."""
    if progress < WARM_UP:
        return peak * (0.05 + 0.95 * progress / WARM_UP)
    return peak * 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - WARM_UP) / (1 - WARM_UP))))


def side_at(progress: float) -> int:
    """How many pixels wide the faces are when `progress` of the time is over."""
    return next(side for since, side in reversed(SIDES) if progress >= since)


@dataclass
class Trainer:
    """A network on its way, with the mean of its late weights, which is what is kept."""

    network: FaceNetwork
    average: FaceNetwork
    optimizer: torch.optim.SGD
    generator: torch.Generator
    steps: int = 0
    seconds: float = 0.0
    peak: float = PEAK_RATE

    @classmethod
    def new(cls, seed: int = 0, begin: Path | None = None) -> "Trainer":
        """With weights by chance, or with those in the file `begin`, which are changed half as fast."""
        torch.manual_seed(seed)
        network = FaceNetwork()
        if begin is not None:
            network.load_state_dict({name: each.float() for name, each in load_file(begin).items()})
        average = FaceNetwork().requires_grad_(requires_grad=False)
        average.load_state_dict(network.state_dict())
        decayed = [weight for weight in network.parameters() if weight.ndim > 1]
        others = [weight for weight in network.parameters() if weight.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": 5e-4}, {"params": others, "weight_decay": 0.0}]
        optimizer = torch.optim.SGD(groups, PEAK_RATE, momentum=0.9, nesterov=True)
        peak = PEAK_RATE if begin is None else PEAK_RATE / 2
        return cls(network, average, optimizer, torch.Generator().manual_seed(seed), peak=peak)

    def step(self, pixels: Tensor, labels: Tensor, progress: float) -> float:
        """Learn from one batch; returns its loss."""
        faces = disturbed(standardize(pixels), side_at(progress), self.generator)
        self.network.train()
        for group in self.optimizer.param_groups:
            group["lr"] = rate_at(progress, self.peak)
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.network(faces.contiguous(memory_format=torch.channels_last)).float()
        loss = F.cross_entropy(logits, labels, label_smoothing=SMOOTHING)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.steps += 1
        self._follow()
        return float(loss.detach())

    @torch.no_grad()
    def _follow(self) -> None:
        """Draw the mean a little towards the weights; early on it forgets sooner what it began with."""
        kept = min(AVERAGE, (1 + self.steps) / (10 + self.steps))
        for mean, now in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(now, 1 - kept)
            else:
                mean.copy_(now)

    def save(self, path: Path) -> None:
        """Write all that going on needs, so that a kill at any moment leaves the last checkpoint whole."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "steps": self.steps,
            "seconds": self.seconds,
            "peak": self.peak,
        }
        torch.save(state, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint."""
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.steps, self.seconds, self.peak = state["steps"], state["seconds"], state["peak"]


def batches(faces: Faces, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches without end, every face once in each round."""
    while True:
        for chosen in torch.randperm(len(faces.labels), generator=generator).split(BATCH):
            if len(chosen) == BATCH or len(faces.labels) < BATCH:
                yield faces.pixels[chosen], faces.labels[chosen]


def train(trainer: Trainer, faces: Faces, dev: Faces, *, minutes: float, checkpoint: Path) -> None:
    """Train until `minutes` of processor time are over, earlier ones included; prints what dev says now and then."""
    started = time.process_time() - trainer.seconds
    told = trainer.seconds
    losses: list[float] = []
    for pixels, labels in batches(faces, trainer.generator):
        trainer.seconds = time.process_time() - started
        progress = trainer.seconds / (60 * minutes)
        over = progress >= 1
        if over or trainer.seconds - told > SECONDS_BETWEEN_CHECKPOINTS:
            told = trainer.seconds
            trainer.save(checkpoint)
            said = face_logits(trainer.average, dev.pixels[::DEV_STRIDE]).argmax(1)
            right = (said == dev.labels[::DEV_STRIDE]).float().mean()
            rounds = trainer.steps * BATCH / len(faces.labels)
            loss = sum(losses) / max(1, len(losses))
            print(
                f"{trainer.seconds / 60:6.1f} min, {rounds:5.2f} rounds: loss {loss:.3f}, dev {right:.4f}", flush=True
            )
            losses = []
        if over:
            return
        losses.append(trainer.step(pixels, labels, progress))


def export(trainer: Trainer, dev: Faces, path: Path = WEIGHTS) -> None:
    """Write the mean weights in half precision, with the temperature that makes the right labels of dev likeliest."""
    halves = {
        name: each.half().contiguous() if each.is_floating_point() else each
        for name, each in trainer.average.state_dict().items()
    }
    network = FaceNetwork()
    network.load_state_dict(halves)
    logits = face_logits(network, dev.pixels)
    temperature = fitted_temperature(logits, dev.labels)
    figures = judge("dev", (logits / temperature).softmax(1), dev.labels, EMOTIONS)
    minutes, rounds = round(trainer.seconds / 60, 1), round(trainer.steps * BATCH / TRAINING_FACES, 1)
    about: dict[str, Any] = {"temperature": round(temperature, 4), "minutes": minutes, "rounds": rounds, "dev": figures}
    if not trainer.steps:
        # Weights that are only given another temperature were trained at another time: their card says how.
        about = {name: about[name] for name in ("temperature", "dev")}
    keep(halves, about, path)
    print(f"{minutes} minutes of processor time, {rounds} rounds, temperature {temperature:.3f}: {path}", flush=True)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=25)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--begin", type=Path)
    parser.add_argument("--export", action="store_true")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    checkpoint = arguments.work / "faces" / "checkpoint.pt"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    trainer = Trainer.new(begin=arguments.begin)
    if checkpoint.exists():
        trainer.resume(checkpoint)
    dev = read_faces(arguments.data, "dev")
    if not arguments.export:
        faces = read_faces(arguments.data, "train")
        train(trainer, faces, dev, minutes=arguments.minutes, checkpoint=checkpoint)
    export(trainer, dev)


if __name__ == "__main__":
    main()
