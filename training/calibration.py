"""Temperature scaling, evaluation and weight files of the emotion classifiers."""

import datetime as dt
import hashlib
import json
import re
from collections.abc import Callable, Sequence
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


def minimize(loss: Callable[[], Tensor], parameters: Sequence[Tensor], *, max_iterations: int) -> None:
    """Minimize a smooth loss on the full data set with L-BFGS. Changes `parameters` in place.

    Args:
        loss: Return the loss (a scalar) at the current parameters.
        parameters: Leaf tensors that require gradients.
        max_iterations: Stop after so many iterations if the optimum is not reached before.
    """
    optimizer = torch.optim.LBFGS(list(parameters), max_iter=max_iterations, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    optimizer.step(closure)


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """Return the temperature that minimizes the cross-entropy of logits / temperature (Guo et al. 2017).

    Args:
        logits: (count, classes).
        labels: Class indices (count,).
    """
    log_temperature = torch.zeros((), requires_grad=True)
    minimize(lambda: F.cross_entropy(logits / log_temperature.exp(), labels), [log_temperature], max_iterations=50)
    return float(log_temperature.detach().exp())


def calibration_error(probabilities: Tensor, labels: Tensor) -> float:
    """Return the expected calibration error of the likeliest class.

    Args:
        probabilities: (count, classes).
        labels: Class indices (count,).
    """
    confidences, predictions = probabilities.max(1)
    return expected_calibration_error(confidences.tolist(), (predictions == labels).tolist())


def evaluate_classifier(title: str, probabilities: Tensor, labels: Tensor, names: Sequence[str]) -> dict[str, Any]:
    """Print accuracy, F1, confusion matrix and calibration error under `title`.

    Args:
        title: Heading of the printed table.
        probabilities: (count, classes).
        labels: Class indices (count,).
        names: Names of the classes.

    Returns:
        Count, accuracy, macro-F1 and calibration error, for the metadata of the weights.
    """
    predictions = [names[index] for index in probabilities.argmax(1).tolist()]
    pairs = [Pair(predicted, (names[label],)) for predicted, label in zip(predictions, labels.tolist(), strict=True)]
    report = evaluate("emotion", pairs, Bootstrap(samples=200))
    error = calibration_error(probabilities, labels)
    print(f"\n{title}\n{as_table(report)}\nexpected calibration error {error:.3f}", flush=True)
    figures = {metric.name: round(metric.value, 1) for metric in report.metrics[:2]}
    return {"count": len(pairs), **figures, "calibration error": round(error, 4)}


def save_weights(tensors: dict[str, Tensor], figures: dict[str, Any], path: Path) -> None:
    """Write weights with `figures` and today's date as metadata, and update the SHA-256 in the model card beside them.

    A missing model card is not created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    today = dt.datetime.now(dt.UTC).date().isoformat()
    save_file(tensors, path, {"figures": json.dumps(figures | {"date": today})})
    card = path.with_suffix(".md")
    if card.exists():
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        card.write_text(re.sub(r"\b[0-9a-f]{64}\b", digest, card.read_text(encoding="utf-8")), encoding="utf-8")
