"""Train the face network of the emotion skill on FER-2013, and write its weights.

    python -m training.faces --data DATA --work WORK [--minutes N] [--threads N] [--begin WEIGHTS] [--export]

The learning rate schedule follows processor time, so that it completes on a busy machine too: a linear warm-up over the
first twentieth of `--minutes`, then a cosine to 0. Checkpoints are saved in WORK/faces/. The same command resumes from
the last one; another number of minutes stretches or shortens the rest of the schedule. `--begin` starts from existing
weights at half the learning rate. `--export` writes the weights of the last checkpoint without further training; with
`--begin` and no checkpoint, it writes those weights with a newly fitted temperature. Dev is the public test split of
FER-2013; `training.face_figures` evaluates on test.
"""

import argparse
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from assistant.atomic_files import replace_file
from skills.emotions.face import WEIGHTS
from skills.emotions.face_network import FACE_SIDE, FaceNetwork, face_logits, standardize
from skills.emotions.labels import EMOTIONS
from training.calibration import evaluate_classifier, fit_temperature, save_weights
from training.fer2013 import Faces, read_faces

TRAINING_FACES = 28_709
BATCH_SIZE = 64
PEAK_LEARNING_RATE = 0.06
WARMUP_FRACTION = 0.05
LABEL_SMOOTHING = 0.1
EMA_DECAY = 0.999
# (Progress from which it holds, side of the faces in pixels). Small faces cost less than half.
SIDE_SCHEDULE = ((0.0, 32), (0.25, 40), (0.7, FACE_SIDE))
CHECKPOINT_INTERVAL_SECS = 120
# Evaluating all of dev takes as long as an epoch: during training, every seventh face is enough.
DEV_STRIDE = 7


def augment(faces: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Mirror, rotate, shift, stretch and partly hide faces at random.

    Args:
        faces: Standardized faces (batch, 1, 48, 48).
        side: Side of the result in pixels.
        generator: Source of randomness.

    Returns:
        Faces (batch, 1, side, side).
    """
    count = len(faces)

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(count, generator=generator) * (high - low) + low

    angle = uniform(-0.26, 0.26)
    zoom_x = uniform(0.8, 1.15)
    zoom_y = zoom_x * uniform(0.92, 1.09)
    mirror = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    matrices = torch.stack(
        [
            torch.stack([mirror * zoom_x * angle.cos(), -zoom_y * angle.sin(), uniform(-0.2, 0.2)], 1),
            torch.stack([mirror * zoom_x * angle.sin(), zoom_y * angle.cos(), uniform(-0.2, 0.2)], 1),
        ],
        1,
    )
    grid = F.affine_grid(matrices, [count, 1, side, side], align_corners=False)
    warped = F.grid_sample(faces, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    # In about a third of the faces, hide a square between a quarter and half of the width.
    x, y, radius = uniform(0, 1), uniform(0, 1), uniform(0.12, 0.25) * (uniform(0, 1) < 0.35)
    centers = (torch.arange(side) + 0.5) / side
    hidden_columns = ((centers - x[:, None]).abs() < radius[:, None])[:, None, None, :]
    hidden_rows = ((centers - y[:, None]).abs() < radius[:, None])[:, None, :, None]
    return warped.masked_fill(hidden_columns & hidden_rows, 0.0)


def learning_rate(progress: float, peak: float = PEAK_LEARNING_RATE) -> float:
    """Return the learning rate at `progress` of the training time, from 0 to 1: linear warm-up, then cosine to 0."""
    if progress < WARMUP_FRACTION:
        return peak * (0.05 + 0.95 * progress / WARMUP_FRACTION)
    return peak * 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - WARMUP_FRACTION) / (1 - WARMUP_FRACTION))))


def face_side(progress: float) -> int:
    """Return the side of the faces in pixels at `progress` of the training time."""
    return next(side for start, side in reversed(SIDE_SCHEDULE) if progress >= start)


@dataclass
class Trainer:
    """State of a training run.

    Attributes:
        network: The network that is trained.
        ema: Exponential moving average of its weights, which is what is evaluated and exported.
        optimizer: SGD with momentum.
        generator: Source of randomness for batches and augmentation.
        steps: Batches so far.
        seconds: Processor time so far.
        peak: Highest learning rate.
    """

    network: FaceNetwork
    ema: FaceNetwork
    optimizer: torch.optim.SGD
    generator: torch.Generator
    steps: int = 0
    seconds: float = 0.0
    peak: float = PEAK_LEARNING_RATE

    @classmethod
    def new(cls, seed: int = 0, initial_weights: Path | None = None) -> "Trainer":
        """Start with random weights, or with those of a safetensors file at half the learning rate."""
        torch.manual_seed(seed)
        network = FaceNetwork()
        if initial_weights is not None:
            network.load_state_dict({name: tensor.float() for name, tensor in load_file(initial_weights).items()})
        ema = FaceNetwork().requires_grad_(requires_grad=False)
        ema.load_state_dict(network.state_dict())
        # No weight decay on biases and normalization.
        decayed = [weight for weight in network.parameters() if weight.ndim > 1]
        others = [weight for weight in network.parameters() if weight.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": 5e-4}, {"params": others, "weight_decay": 0.0}]
        optimizer = torch.optim.SGD(groups, PEAK_LEARNING_RATE, momentum=0.9, nesterov=True)
        peak = PEAK_LEARNING_RATE if initial_weights is None else PEAK_LEARNING_RATE / 2
        return cls(network, ema, optimizer, torch.Generator().manual_seed(seed), peak=peak)

    def step(self, pixels: Tensor, labels: Tensor, progress: float) -> float:
        """Train on one batch of `Faces` and return its loss."""
        faces = augment(standardize(pixels), face_side(progress), self.generator)
        self.network.train()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(progress, self.peak)
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.network(faces.contiguous(memory_format=torch.channels_last)).float()
        loss = F.cross_entropy(logits, labels, label_smoothing=LABEL_SMOOTHING)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.steps += 1
        self._update_ema()
        return float(loss.detach())

    @torch.no_grad()
    def _update_ema(self) -> None:
        """Move the average towards the weights. The decay is smaller early on, to forget the initial weights."""
        decay = min(EMA_DECAY, (1 + self.steps) / (10 + self.steps))
        for average, current in zip(self.ema.state_dict().values(), self.network.state_dict().values(), strict=True):
            if average.is_floating_point():
                average.lerp_(current, 1 - decay)
            else:
                average.copy_(current)

    def save(self, path: Path) -> None:
        """Write a checkpoint atomically: a kill at any moment leaves the previous one intact."""
        state = {
            "network": self.network.state_dict(),
            "average": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "steps": self.steps,
            "seconds": self.seconds,
            "peak": self.peak,
        }
        with replace_file(path) as file:
            torch.save(state, file)

    def resume(self, path: Path) -> None:
        """Continue from a checkpoint."""
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.ema.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.steps, self.seconds, self.peak = state["steps"], state["seconds"], state["peak"]


def batches(faces: Faces, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield pixels and labels of shuffled batches without end, each face once per epoch."""
    while True:
        for indices in torch.randperm(len(faces.labels), generator=generator).split(BATCH_SIZE):
            if len(indices) == BATCH_SIZE or len(faces.labels) < BATCH_SIZE:
                yield faces.pixels[indices], faces.labels[indices]


def train(trainer: Trainer, faces: Faces, dev: Faces, *, minutes: float, checkpoint: Path) -> None:
    """Train until `minutes` of processor time have passed, those of resumed runs included.

    Saves a checkpoint and prints loss and dev accuracy every `CHECKPOINT_INTERVAL_SECS` and at the end.
    """
    started = time.process_time() - trainer.seconds
    last_checkpoint = trainer.seconds
    losses: list[float] = []
    for pixels, labels in batches(faces, trainer.generator):
        trainer.seconds = time.process_time() - started
        progress = trainer.seconds / (60 * minutes)
        is_done = progress >= 1
        if is_done or trainer.seconds - last_checkpoint > CHECKPOINT_INTERVAL_SECS:
            last_checkpoint = trainer.seconds
            trainer.save(checkpoint)
            _print_progress(trainer, faces, dev, sum(losses) / max(1, len(losses)))
            losses = []
        if is_done:
            return
        losses.append(trainer.step(pixels, labels, progress))


def _print_progress(trainer: Trainer, faces: Faces, dev: Faces, loss: float) -> None:
    predictions = face_logits(trainer.ema, dev.pixels[::DEV_STRIDE]).argmax(1)
    accuracy = (predictions == dev.labels[::DEV_STRIDE]).float().mean()
    epochs = trainer.steps * BATCH_SIZE / len(faces.labels)
    print(f"{trainer.seconds / 60:6.1f} min, {epochs:5.2f} epochs: loss {loss:.3f}, dev {accuracy:.4f}", flush=True)


def export(trainer: Trainer, dev: Faces, path: Path = WEIGHTS) -> None:
    """Write the averaged weights in float16, with the temperature fitted on `dev`."""
    tensors = {
        name: tensor.half().contiguous() if tensor.is_floating_point() else tensor
        for name, tensor in trainer.ema.state_dict().items()
    }
    network = FaceNetwork()
    network.load_state_dict(tensors)
    logits = face_logits(network, dev.pixels)
    temperature = fit_temperature(logits, dev.labels)
    dev_figures = evaluate_classifier("dev", (logits / temperature).softmax(1), dev.labels, EMOTIONS)
    figures: dict[str, Any] = {"temperature": round(temperature, 4), "dev": dev_figures}
    minutes, epochs = round(trainer.seconds / 60, 1), round(trainer.steps * BATCH_SIZE / TRAINING_FACES, 1)
    # Without a step, the weights of `--begin` only got a new temperature: their model card says how they were trained.
    if trainer.steps:
        figures |= {"minutes": minutes, "rounds": epochs}
    save_weights(tensors, figures, path)
    print(f"{minutes} minutes of processor time, {epochs} epochs, temperature {temperature:.3f}: {path}", flush=True)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=25, help="processor time; default: 25")
    parser.add_argument("--threads", type=int, help="threads of torch")
    parser.add_argument("--begin", type=Path, help="safetensors file to start from")
    parser.add_argument("--export", action="store_true", help="write the last checkpoint without training")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    checkpoint = arguments.work / "faces" / "checkpoint.pt"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    trainer = Trainer.new(initial_weights=arguments.begin)
    if checkpoint.exists():
        trainer.resume(checkpoint)
    dev = read_faces(arguments.data, "dev")
    if not arguments.export:
        faces = read_faces(arguments.data, "train")
        train(trainer, faces, dev, minutes=arguments.minutes, checkpoint=checkpoint)
    export(trainer, dev)


if __name__ == "__main__":
    main()
