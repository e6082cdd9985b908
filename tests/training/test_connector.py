"""Losses, learning rate and checkpoints of stage 3."""

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from training.connector import Optimization, learning_rate_factor, step_loss
from training.packed_sequences import REWARD, Batch
from training.recipe import Recipe
from training.trainer import Trainer

RECIPE = Recipe(steps=100, warmup=10)


class OneParameterTrainer:
    """A model of one weight."""

    def __init__(self) -> None:
        self.weight = torch.nn.Parameter(torch.tensor([2.0]))

    def parameter_groups(self) -> list[dict[str, Any]]:
        return [{"params": [self.weight], "lr": 0.1}]

    def loss(self) -> Tensor:
        return (self.weight**2).sum()


def optimization(model: OneParameterTrainer) -> Optimization:
    return Optimization(cast("Trainer", model), RECIPE)


def batch(tasks: list[str], weights: list[float]) -> Batch:
    empty = torch.empty(0)
    return Batch(empty, empty, empty, empty, empty, empty, torch.tensor(weights), tasks, empty)


def test_the_learning_rate_warms_up_and_decays_to_a_twentieth() -> None:
    factors = [learning_rate_factor(step, RECIPE) for step in range(RECIPE.steps + 1)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[10] == pytest.approx(1)
    assert factors[-1] == pytest.approx(0.05)
    assert factors[:10] == sorted(factors[:10])
    assert factors[10:] == sorted(factors[10:], reverse=True)


def test_the_loss_is_a_weighted_mean() -> None:
    loss = step_loss(torch.tensor([1.0, 4.0]), batch(["caption", "there"], [1.0, 2.0]), 0.5)
    assert loss.item() == pytest.approx((1 + 8) / 3)


def test_rewarded_answers_are_added_by_their_advantages() -> None:
    losses = torch.tensor([1.0, 2.0, 3.0])
    loss = step_loss(losses, batch(["caption", REWARD, REWARD], [1.0, 1.5, -1.5]), 0.5)
    assert loss.item() == pytest.approx(1 + 0.5 * (2 * 1.5 - 3 * 1.5) / 2)


def test_a_resumed_run_continues_like_an_uninterrupted_one(tmp_path: Path) -> None:
    uninterrupted = OneParameterTrainer()
    first_run = optimization(uninterrupted)
    for _ in range(3):
        first_run.update(uninterrupted.loss())
    first_run.save(tmp_path / "checkpoint.pt")
    resumed = OneParameterTrainer()
    second_run = optimization(resumed)
    second_run.load(tmp_path / "checkpoint.pt")
    assert second_run.step == 3
    for run, model in ((first_run, uninterrupted), (second_run, resumed)):
        run.update(model.loss())
    assert resumed.weight.item() == pytest.approx(uninterrupted.weight.item())
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]
