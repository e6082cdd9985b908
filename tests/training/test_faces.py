"""Face training, on patterns that a network can learn in seconds."""

import json
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors import safe_open

from skills.emotions.face_network import FACE_SIDE, FaceNetwork, face_logits, standardize
from skills.emotions.labels import EMOTIONS
from training import faces
from training.faces import Trainer, augment, batches, export, face_side, learning_rate, train
from training.fer2013 import Faces

# In 20 steps, two of three seeds learn the patterns perfectly.
STEPS = 40


def patterns(count: int, seed: int = 0) -> Faces:
    """Noise that is bright at the top for joy, and bright at the bottom for sadness."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 120, (count, FACE_SIDE, FACE_SIDE), np.uint8)
    is_joy = rng.integers(0, 2, count).astype(bool)
    pixels[is_joy, :20] += 110
    pixels[~is_joy, 28:] += 110
    labels = np.where(is_joy, EMOTIONS.index("joy"), EMOTIONS.index("sadness"))
    return Faces(torch.from_numpy(pixels), torch.from_numpy(labels))


@pytest.fixture(scope="module")
def trained() -> Trainer:
    trainer = Trainer.new()
    known = patterns(16)
    for step in range(STEPS):
        trainer.step(known.pixels, known.labels, step / STEPS)
    return trainer


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processor time that advances by a minute with every reading."""
    minutes = iter(range(1_000))
    monkeypatch.setattr(faces, "time", SimpleNamespace(process_time=lambda: 60.0 * next(minutes)))


def accuracy(network: FaceNetwork, unseen: Faces) -> float:
    return float((face_logits(network, unseen.pixels).argmax(1) == unseen.labels).float().mean())


def test_training_generalizes_to_unseen_faces(trained: Trainer) -> None:
    assert accuracy(trained.ema, patterns(32, seed=1)) > 0.9


@pytest.mark.usefixtures("clock")
def test_training_stops_after_its_minutes_and_resumes_from_the_checkpoint(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.pt"
    known, dev = patterns(8), patterns(8, seed=1)
    trainer = Trainer.new()
    train(trainer, known, dev, minutes=3, checkpoint=checkpoint)
    assert trainer.steps == 2

    resumed = Trainer.new(seed=1)
    resumed.resume(checkpoint)
    assert resumed.steps == 2
    assert torch.equal(resumed.ema.head.weight, trainer.ema.head.weight)
    train(resumed, known, dev, minutes=5, checkpoint=checkpoint)
    assert resumed.steps == 3
    assert resumed.seconds >= 5 * 60


def test_exported_weights_classify_like_the_averaged_network(trained: Trainer, tmp_path: Path) -> None:
    dev = patterns(32, seed=1)
    path = tmp_path / "face.safetensors"
    export(trained, dev, path)
    with safe_open(path, "pt") as file:
        figures = json.loads(file.metadata()["figures"])
        network = FaceNetwork()
        network.load_state_dict({name: file.get_tensor(name).float() for name in file.keys()})  # noqa: SIM118
    assert figures["dev"]["accuracy"] > 90
    assert {"temperature", "minutes", "rounds", "date"} <= figures.keys()
    # float16 weights change logits of about 10 by 0.003.
    torch.testing.assert_close(
        face_logits(network, dev.pixels), face_logits(trained.ema, dev.pixels), rtol=0.01, atol=0.05
    )


def test_training_can_begin_with_exported_weights_at_a_lower_rate(trained: Trainer, tmp_path: Path) -> None:
    dev = patterns(32, seed=1)
    path = tmp_path / "face.safetensors"
    export(trained, dev, path)
    begun = Trainer.new(initial_weights=path)
    assert accuracy(begun.network, dev) > 0.9
    assert begun.peak < Trainer.new().peak

    begun.save(tmp_path / "checkpoint.pt")
    resumed = Trainer.new()
    resumed.resume(tmp_path / "checkpoint.pt")
    assert resumed.peak == begun.peak


def test_weights_exported_without_training_keep_no_training_time(trained: Trainer, tmp_path: Path) -> None:
    path = tmp_path / "face.safetensors"
    export(trained, patterns(8), path)
    export(Trainer.new(initial_weights=path), patterns(8), path)
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["figures"]).keys() == {"temperature", "dev", "date"}


def test_each_epoch_contains_each_face_once() -> None:
    numbered = Faces(torch.arange(2 * faces.BATCH_SIZE), torch.arange(2 * faces.BATCH_SIZE))
    epoch = list(islice(batches(numbered, torch.Generator().manual_seed(0)), 2))
    assert sorted(label for _, labels in epoch for label in labels.tolist()) == numbered.labels.tolist()


def test_the_learning_rate_rises_and_falls() -> None:
    peak = faces.PEAK_LEARNING_RATE
    assert learning_rate(0) < learning_rate(0.02) < learning_rate(faces.WARMUP_FRACTION) == pytest.approx(peak)
    assert peak > learning_rate(0.5) > learning_rate(0.9) > learning_rate(1)
    assert learning_rate(1) == learning_rate(1.1) == pytest.approx(0, abs=1e-9)


def test_faces_grow_during_training() -> None:
    assert [face_side(progress) for progress in (0, 0.5, 1)] == [32, 40, 48]


def test_augmented_faces_differ_from_each_other() -> None:
    same = standardize(patterns(1).pixels.repeat(8, 1, 1))
    augmented = augment(same, 40, torch.Generator().manual_seed(0))
    assert augmented.shape == (8, 1, 40, 40)
    assert all(not torch.equal(augmented[0], other) for other in augmented[1:])
    assert augmented.isfinite().all()


def test_a_uniform_grey_face_has_finite_logits() -> None:
    flat = torch.full((1, FACE_SIDE, FACE_SIDE), 77, dtype=torch.uint8)
    assert not standardize(flat).any()
    assert face_logits(FaceNetwork(), flat).isfinite().all()
