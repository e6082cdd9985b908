"""How good a classifier is and how much its probabilities are worth, for the networks of the emotion skill."""

import datetime as dt
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from skills.evaluation.calibration import expected_calibration_error
from skills.evaluation.pairs import Pair
from skills.evaluation.report import as_table
from skills.evaluation.scores import Bootstrap, evaluate


def fitted_temperature(logits: Tensor, labels: Tensor) -> float:
    """By what logits (count, labels) are divided so that the right labels become likeliest (Guo et al. 2017)."""
    logarithm = torch.zeros((), requires_grad=True)
    optimizer = torch.optim.LBFGS([logarithm], max_iter=50, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        off = F.cross_entropy(logits / logarithm.exp(), labels)
        off.backward()
        return off

    optimizer.step(loss)
    return float(logarithm.detach().exp())


def calibration_error(probabilities: Tensor, labels: Tensor) -> float:
    """The expected calibration error of the likeliest label of each row of `probabilities`."""
    sure, said = probabilities.max(1)
    return expected_calibration_error(sure.tolist(), (said == labels).tolist())


def judge(what: str, probabilities: Tensor, labels: Tensor, names: Sequence[str]) -> dict[str, Any]:
    """Print the table of accuracy, F1 and confusion, and return what is worth keeping of it."""
    said = [names[place] for place in probabilities.argmax(1).tolist()]
    pairs = [Pair(one, (names[right],)) for one, right in zip(said, labels.tolist(), strict=True)]
    report = evaluate("emotion", pairs, Bootstrap(samples=200))
    error = calibration_error(probabilities, labels)
    print(f"\n{what}\n{as_table(report)}\nexpected calibration error {error:.3f}", flush=True)
    figures = {figure.name: round(figure.value, 1) for figure in report.metrics[:2]}
    return {"count": len(pairs), **figures, "calibration error": round(error, 4)}


def keep(tensors: dict[str, Tensor], figures: dict[str, Any], path: Path) -> None:
    """Write weights with `figures` and the day as their metadata, and their digest into the model card beside them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    today = dt.datetime.now(dt.UTC).date().isoformat()
    save_file(tensors, path, {"figures": json.dumps(figures | {"date": today})})
    card = path.with_suffix(".md")
    if card.exists():
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        card.write_text(re.sub(r"\b[0-9a-f]{64}\b", digest, card.read_text(encoding="utf-8")), encoding="utf-8")
