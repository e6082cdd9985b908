"""The network that classifies faces: a small residual network (He et al. 2015) on 48 x 48 grey pixels.

1x48x48 ─▶ 32x48x48 ─▶ 48x24x24, one block ─▶ 96x12x12, two blocks ─▶ 192x6x6, one block ─▶ mean ─▶ 7 logits
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skills.emotions.labels import EMOTIONS

FACE_SIDE = 48
"""Side of a face in pixels, as in FER-2013."""

# Test-time augmentation: (rotation in radians, zoom) of each view.
TTA_VIEWS = ((0.1, 1.0), (-0.1, 1.0), (0.0, 0.9), (0.0, 1.1))

_WIDTHS = (32, 48, 96, 192)
_BLOCKS = (1, 2, 1)


class FaceNetwork(nn.Module):
    """Map standardized faces (batch, 1, 48, 48) to logits (batch, 7) over `EMOTIONS`."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [_ConvNorm(1, _WIDTHS[0]), nn.ReLU()]
        for before, width, blocks in zip(_WIDTHS, _WIDTHS[1:], _BLOCKS, strict=False):
            layers += [_ConvNorm(before, width, stride=2), nn.ReLU(), *(_Block(width) for _ in range(blocks))]
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(_WIDTHS[-1], len(EMOTIONS))
        # Channels last: 1.1 times as fast on CPU in bfloat16, and up to 3.4 times in float32.
        for weight in self.features.parameters():
            if weight.ndim == 4:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)

    def forward(self, faces: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(faces).mean((2, 3)))
        return logits


class _ConvNorm(nn.Sequential):
    """3 x 3 convolution with batch normalization."""

    def __init__(self, before: int, width: int, stride: int = 1) -> None:
        super().__init__(nn.Conv2d(before, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width))


class _Block(nn.Module):
    """Residual block of two convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _ConvNorm(width, width)
        self.second = _ConvNorm(width, width)

    def forward(self, maps: Tensor) -> Tensor:
        return F.relu(maps + self.second(F.relu(self.first(maps))))


def standardize(faces: Tensor) -> Tensor:
    """Scale each face to mean 0 and standard deviation 1, so that light and contrast do not matter.

    Args:
        faces: Grey bytes (batch, height, width).

    Returns:
        Floats (batch, 1, height, width); zeros for a face of a single grey.
    """
    pixels = faces.float()
    centred = pixels - pixels.mean((1, 2), keepdim=True)
    return (centred / centred.square().mean((1, 2), keepdim=True).sqrt().clamp(min=1.0)).unsqueeze(1)


@torch.no_grad()
def face_logits(network: nn.Module, pixels: Tensor) -> Tensor:
    """Return logits (count, 7) of grey faces (count, 48, 48), averaged over `TTA_VIEWS` and their mirror images.

    Training only saw rotated and scaled faces, never the original pixels. Accuracy on FER-2013's dev split is 66.3 %
    on original faces with mirror images, and 68.4 % on the views.
    """
    network.eval()
    logits = []
    for part in pixels.split(64):
        faces = standardize(part)
        views = torch.cat([warp_view(faces, rotation, zoom) for rotation, zoom in TTA_VIEWS])
        views = torch.cat([views, views.flip(3)]).contiguous(memory_format=torch.channels_last)
        logits.append(network(views).view(-1, len(part), len(EMOTIONS)).mean(0))
    return torch.cat(logits)


def warp_view(faces: Tensor, rotation: float, zoom: float) -> Tensor:
    """Rotate faces (batch, 1, side, side) by radians, and cut out a square `zoom` times as wide."""
    rows = [
        [zoom * math.cos(rotation), -zoom * math.sin(rotation), 0.0],
        [zoom * math.sin(rotation), zoom * math.cos(rotation), 0.0],
    ]
    grid = F.affine_grid(torch.tensor(rows).expand(len(faces), 2, 3), list(faces.shape), align_corners=False)
    return F.grid_sample(faces, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
