"""The networks of MTCNN (Zhang et al. 2016), a cascade of three that finds faces, on its published weights.

image ─▶ pyramid ─▶ ProposalNet ─▶ squares of 24 pixels ─▶ RefineNet ─▶ squares of 48 pixels ─▶ OutputNet ─▶ boxes

Each network says of a square how likely it holds a face and how to move its sides. Between them, overlapping squares
are suppressed. The weights are those of `face_weights`.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PROPOSAL_SIDE, REFINE_SIDE, OUTPUT_SIDE = 12, 24, 48
"""Side in pixels of what each network looks at."""

# Each level of the pyramid is this much smaller than the one before.
_PYRAMID_STEP = 0.709
_PROPOSAL_STRIDE = 2
# Least probability after each network. Chosen on the even photos of benchmarks/face_photos.json: with 0.9 in the end,
# 90 % of faces over 40 pixels are found, and something in 1 % of photos without faces.
_THRESHOLDS = (0.5, 0.4, 0.9)
# Overlaps from which the less likely of two boxes is dropped: in one level, between levels, and of refined boxes.
_LEVEL_OVERLAP, _PROPOSAL_OVERLAP, _REFINED_OVERLAP = 0.5, 0.7, 0.7
# In the end the overlap is measured by the smaller box: a box inside another is dropped.
_FINAL_OVERLAP = 0.5
# An image of a crowd has some hundred proposals. More are noise, and only the likeliest are kept: in the image pyramid,
# of its proposals, and of what is refined.
_MAX_BOXES, _MAX_PROPOSALS, _MAX_REFINED = 2000, 1000, 200


class ProposalNet(nn.Module):
    """Fully convolutional: say of each 12 x 12 square, two pixels apart, whether it holds a face."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 10, 3), nn.PReLU(10)
        self.conv2, self.prelu2 = nn.Conv2d(10, 16, 3), nn.PReLU(16)
        self.conv3, self.prelu3 = nn.Conv2d(16, 32, 3), nn.PReLU(32)
        self.conv4_1, self.conv4_2 = nn.Conv2d(32, 2, 1), nn.Conv2d(32, 4, 1)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities (batch, height, width) and shifts of the sides (batch, 4, height, width)."""
        maps = F.max_pool2d(self.prelu1(self.conv1(pixels)), 2, 2, ceil_mode=True)
        maps = self.prelu3(self.conv3(self.prelu2(self.conv2(maps))))
        return self.conv4_1(maps).softmax(1)[:, 1], self.conv4_2(maps)


class RefineNet(nn.Module):
    """Judge squares of 24 x 24 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 28, 3), nn.PReLU(28)
        self.conv2, self.prelu2 = nn.Conv2d(28, 48, 3), nn.PReLU(48)
        self.conv3, self.prelu3 = nn.Conv2d(48, 64, 2), nn.PReLU(64)
        self.dense4, self.prelu4 = nn.Linear(576, 128), nn.PReLU(128)
        self.dense5_1, self.dense5_2 = nn.Linear(128, 2), nn.Linear(128, 4)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities (batch,) and shifts of the sides (batch, 4)."""
        maps = F.max_pool2d(self.prelu1(self.conv1(pixels)), 3, 2, ceil_mode=True)
        maps = F.max_pool2d(self.prelu2(self.conv2(maps)), 3, 2, ceil_mode=True)
        features = self.prelu4(self.dense4(_flatten(self.prelu3(self.conv3(maps)))))
        return self.dense5_1(features).softmax(1)[:, 1], self.dense5_2(features)


class OutputNet(nn.Module):
    """Judge squares of 48 x 48 pixels. Its third output, five landmarks, is not used here."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 32, 3), nn.PReLU(32)
        self.conv2, self.prelu2 = nn.Conv2d(32, 64, 3), nn.PReLU(64)
        self.conv3, self.prelu3 = nn.Conv2d(64, 64, 3), nn.PReLU(64)
        self.conv4, self.prelu4 = nn.Conv2d(64, 128, 2), nn.PReLU(128)
        self.dense5, self.prelu5 = nn.Linear(1152, 256), nn.PReLU(256)
        self.dense6_1, self.dense6_2, self.dense6_3 = nn.Linear(256, 2), nn.Linear(256, 4), nn.Linear(256, 10)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities (batch,) and shifts of the sides (batch, 4)."""
        maps = F.max_pool2d(self.prelu1(self.conv1(pixels)), 3, 2, ceil_mode=True)
        maps = F.max_pool2d(self.prelu2(self.conv2(maps)), 3, 2, ceil_mode=True)
        maps = F.max_pool2d(self.prelu3(self.conv3(maps)), 2, 2, ceil_mode=True)
        features = self.prelu5(self.dense5(_flatten(self.prelu4(self.conv4(maps)))))
        return self.dense6_1(features).softmax(1)[:, 1], self.dense6_2(features)


class FaceCascade:
    """Find faces in RGB images."""

    def __init__(self, proposal: ProposalNet, refine: RefineNet, output: OutputNet) -> None:
        self._networks = (proposal.eval(), refine.eval(), output.eval())

    @classmethod
    def load(cls, paths: Sequence[Path]) -> "FaceCascade":
        """Load the state dicts of the three networks in order. Nothing but tensors is read from the files."""
        networks = (ProposalNet(), RefineNet(), OutputNet())
        for network, path in zip(networks, paths, strict=True):
            network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        return cls(*networks)

    @torch.inference_mode()
    def find(self, pixels: Tensor, min_side: int) -> list[list[float]]:
        """Return the faces of an image, likeliest first.

        Args:
            pixels: RGB bytes (3, height, width).
            min_side: Side of the smallest squares that are looked at, in pixels.

        Returns:
            Left, top, right, bottom (pixels, perhaps outside of the image) and probability of each face.
        """
        proposal, refine, output = self._networks
        image = (pixels.float() - 127.5)[None] / 128
        rows = _propose(proposal, image, min_side)
        rows = _suppress(_judge(refine, image, rows, REFINE_SIDE, _THRESHOLDS[1]), _REFINED_OVERLAP)[:_MAX_REFINED]
        rows = _judge(output, image, rows, OUTPUT_SIDE, _THRESHOLDS[2], mirrored=True)
        found: list[list[float]] = _suppress(rows, _FINAL_OVERLAP, of_smaller=True).tolist()
        return found


def _propose(network: nn.Module, image: Tensor, min_side: int) -> Tensor:
    """Return squares of all sizes that may hold a face."""
    height, width = image.shape[2:]
    scale = PROPOSAL_SIDE / min_side
    found = [image.new_empty((0, 5))]
    while min(height, width) * scale >= PROPOSAL_SIDE:
        size = (math.ceil(height * scale), math.ceil(width * scale))
        probability, shifts = network(F.interpolate(image, size, mode="area"))
        likeliest = probability[0].flatten().topk(min(_MAX_BOXES, probability.numel()))
        places = likeliest.indices[likeliest.values >= _THRESHOLDS[0]]
        y, x = places // probability.shape[2], places % probability.shape[2]
        corner = torch.stack([x, y], 1) * _PROPOSAL_STRIDE
        # The sides are rounded up, so the scales of the two directions differ a little.
        ratio = torch.tensor([width / size[1], height / size[0]])
        squares = torch.cat([corner * ratio, (corner + PROPOSAL_SIDE) * ratio, probability[0, y, x, None]], 1)
        kept = _indices_kept(squares, _LEVEL_OVERLAP)
        found.append(_shift(squares[kept], shifts[0, :, y[kept], x[kept]].T))
        scale *= _PYRAMID_STEP
    return _suppress(torch.cat(found), _PROPOSAL_OVERLAP)[:_MAX_PROPOSALS]


def _judge(
    network: nn.Module, image: Tensor, rows: Tensor, side: int, threshold: float, *, mirrored: bool = False
) -> Tensor:
    """Return the boxes that a network takes for faces, moved as it says, with its probabilities.

    With `mirrored`, the judgement of each square and of its mirror image are averaged. On photos, 87 % of faces are
    found that way, and 83 % without, at the same number of false ones.
    """
    if not len(rows):
        return rows
    squares = _square(rows)
    crops = _crop(image, squares[:, :4], side)
    probability, shifts = network(crops)
    if mirrored:
        other, other_shifts = network(crops.flip(3))
        # Left and right change places, and their signs.
        other_shifts = other_shifts[:, [2, 1, 0, 3]] * torch.tensor([-1.0, 1.0, -1.0, 1.0])
        probability = ((probability.logit(1e-6) + other.logit(1e-6)) / 2).sigmoid()
        shifts = (shifts + other_shifts) / 2
    kept = probability >= threshold
    return _shift(torch.cat([squares[kept, :4], probability[kept, None]], 1), shifts[kept])


def _crop(image: Tensor, squares: Tensor, side: int) -> Tensor:
    """Return squares of the image (count, 3, side, side); what lies outside of the image is grey.

    Each pixel is the mean of four samples, which nearly is the mean of all pixels below it, and all squares are cut out
    by one operation: one for each square took 20 times as long on a busy machine.
    """
    count = len(squares)
    fine = 2 * side
    steps = (torch.arange(fine) + 0.5) / fine
    corner, size = squares[:, :2], squares[:, 2:4] - squares[:, :2]
    # Positions (count, fine) in pixels, scaled to [-1, 1] over the image as `grid_sample` wants them.
    x, y = ((corner[:, axis, None] + size[:, axis, None] * steps) * 2 / image.shape[3 - axis] - 1 for axis in (0, 1))
    grid = torch.stack([x[:, None].expand(count, fine, fine), y[:, :, None].expand(count, fine, fine)], 3)
    # One tall picture of all squares: a batch would copy the image for each of them.
    tall = F.grid_sample(image, grid.view(1, count * fine, fine, 2), padding_mode="zeros", align_corners=False)
    samples = tall.view(3, count, fine, fine).transpose(0, 1)
    return F.avg_pool2d(samples, 2)


def _shift(rows: Tensor, shifts: Tensor) -> Tensor:
    """Move the sides of boxes by fractions of their width and height."""
    size = (rows[:, 2:4] - rows[:, :2]).repeat(1, 2)
    return torch.cat([rows[:, :4] + shifts * size, rows[:, 4:]], 1)


def _square(rows: Tensor) -> Tensor:
    """Enlarge boxes to squares around their centres."""
    centre = (rows[:, :2] + rows[:, 2:4]) / 2
    half = (rows[:, 2:4] - rows[:, :2]).max(1, keepdim=True).values.clamp(min=1) / 2
    return torch.cat([centre - half, centre + half, rows[:, 4:]], 1)


def _suppress(rows: Tensor, max_overlap: float, *, of_smaller: bool = False) -> Tensor:
    return rows[_indices_kept(rows, max_overlap, of_smaller=of_smaller)]


def _indices_kept(rows: Tensor, max_overlap: float, *, of_smaller: bool = False) -> Tensor:
    """Return indices of the boxes to keep, likeliest first (non-maximum suppression).

    Args:
        rows: Boxes with probabilities (count, 5).
        max_overlap: A box that overlaps a likelier one by more is dropped.
        of_smaller: Measure the overlap by the smaller box instead of by the union of both.
    """
    order = rows[:, 4].argsort(descending=True, stable=True)[:_MAX_BOXES]
    boxes = rows[order, :4]
    low = torch.maximum(boxes[:, None, :2], boxes[:, :2])
    high = torch.minimum(boxes[:, None, 2:], boxes[:, 2:])
    shared = (high - low).clamp(min=0).prod(2)
    area = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)
    smaller = torch.minimum(area[:, None], area)
    whole = smaller if of_smaller else area[:, None] + area - shared
    overlaps = shared > max_overlap * whole
    is_kept = torch.ones(len(order), dtype=torch.bool)
    for index in range(len(order)):
        if is_kept[index]:
            is_kept[index + 1 :] &= ~overlaps[index, index + 1 :]
    return order[is_kept]


def _flatten(maps: Tensor) -> Tensor:
    """Flatten maps as the weights expect it: column by column, with the channels innermost."""
    return maps.permute(0, 3, 2, 1).flatten(1)
