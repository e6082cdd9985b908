"""The network that tells emotions from a face: a small residual one (He et al. 2015) on 48 grey pixels square.

1x48x48 ─▶ 32x48x48 ─▶ 48x24x24, one block ─▶ 96x12x12, two blocks ─▶ 192x6x6, one block ─▶ mean ─▶ 7 logits
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skills.emotions.labels import EMOTIONS

FACE_SIDE = 48
"""Pixels of a face from side to side, as FER-2013 has them."""

# How faces are looked at: turned by so many radians either way, from nearer and from farther.
TTA_VIEWS = ((0.1, 1.0), (-0.1, 1.0), (0.0, 0.9), (0.0, 1.1))

_WIDTHS = (32, 48, 96, 192)
_BLOCKS = (1, 2, 1)


class FaceNetwork(nn.Module):
    """Logits over `EMOTIONS` (batch, 7), of faces (batch, 1, 48, 48) as `standardized` makes them."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [_Unit(1, _WIDTHS[0]), nn.ReLU()]
        for before, width, blocks in zip(_WIDTHS, _WIDTHS[1:], _BLOCKS, strict=False):
            layers += [_Unit(before, width, stride=2), nn.ReLU(), *(_Block(width) for _ in range(blocks))]
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(_WIDTHS[-1], len(EMOTIONS))
        # Colours innermost, as processors like it: 1.1 times as fast in bfloat16, and up to 3.4 in float32.
        for weight in self.features.parameters():
            if weight.ndim == 4:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)

    def forward(self, faces: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(faces).mean((2, 3)))
        return logits


class _Unit(nn.Sequential):
    """A convolution of three pixels square, normalized over the batch."""

    def __init__(self, before: int, width: int, stride: int = 1) -> None:
        super().__init__(nn.Conv2d(before, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width))


class _Block(nn.Module):
    """Two units beside a way straight through."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _Unit(width, width)
        self.second = _Unit(width, width)

    def forward(self, maps: Tensor) -> Tensor:
        return F.relu(maps + self.second(F.relu(self.first(maps))))


def standardize(faces: Tensor) -> Tensor:
    """Grey faces (batch, height, width) of bytes as (batch, 1, height, width), each of mean 0 and deviation 1.

    So light and contrast of a photo do not matter. A face of one grey alone becomes zeros.
    """
    pixels = faces.float()
    centred = pixels - pixels.mean((1, 2), keepdim=True)
    return (centred / centred.square().mean((1, 2), keepdim=True).sqrt().clamp(min=1.0)).unsqueeze(1)


@torch.no_grad()
def face_logits(network: nn.Module, pixels: Tensor) -> Tensor:
    """Logits (count, 7) of grey faces (count, 48, 48): averaged over some views of each and their mirror images.

    The network learned from faces that were turned and stretched, never from the pixels themselves: of FER-2013's dev
    faces it tells 66.3 % by these and their mirror images, and 68.4 % by the views.
    """
    network.eval()
    found = []
    for part in pixels.split(64):
        faces = standardize(part)
        seen = torch.cat([warp_view(faces, turn, width) for turn, width in TTA_VIEWS])
        seen = torch.cat([seen, seen.flip(3)]).contiguous(memory_format=torch.channels_last)
        found.append(network(seen).view(-1, len(part), len(EMOTIONS)).mean(0))
    return torch.cat(found)


def warp_view(faces: Tensor, turn: float, width: float) -> Tensor:
    """Faces (batch, 1, side, side) turned by so many radians, and of them a square that is so many times as wide."""
    rows = [
        [width * math.cos(turn), -width * math.sin(turn), 0.0],
        [width * math.sin(turn), width * math.cos(turn), 0.0],
    ]
    grid = F.affine_grid(torch.tensor(rows).expand(len(faces), 2, 3), list(faces.shape), align_corners=False)
    return F.grid_sample(faces, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
