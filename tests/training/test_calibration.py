"""Temperature scaling and weight files."""

import hashlib
from pathlib import Path

import pytest
import torch

from training.calibration import calibration_error, fit_temperature, save_weights


def test_the_temperature_corrects_overconfident_logits() -> None:
    generator = torch.Generator().manual_seed(0)
    calibrated = torch.randn(4000, 3, generator=generator)
    labels = torch.multinomial(calibrated.softmax(1), 1, generator=generator)[:, 0]
    overconfident = 4 * calibrated
    temperature = fit_temperature(overconfident, labels)
    assert temperature == pytest.approx(4, rel=0.1)
    before, after = overconfident.softmax(1), (overconfident / temperature).softmax(1)
    assert calibration_error(after, labels) < 0.05 < calibration_error(before, labels)


def test_weights_are_saved_without_a_model_card(tmp_path: Path) -> None:
    save_weights({"one": torch.ones(2)}, {"temperature": 1.0}, tmp_path / "new" / "head.safetensors")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["head.safetensors"]


def test_the_model_card_gets_the_digest_of_the_new_weights(tmp_path: Path) -> None:
    weights, card = tmp_path / "head.safetensors", tmp_path / "head.md"
    card.write_text(f"SHA-256 {'0' * 64}")
    save_weights({"one": torch.ones(2)}, {}, weights)
    assert card.read_text() == f"SHA-256 {hashlib.sha256(weights.read_bytes()).hexdigest()}"
