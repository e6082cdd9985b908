"""EfficientNet-Lite as plain convolutions: the vision tower of the bundled model.

The architecture is that of Tan & Le, "EfficientNet" (2019), in the Lite variants of the TensorFlow TPU
repository: ReLU6 instead of swish, no squeeze-and-excite, stem and head not widened. Batch norms are folded into the
convolutions when the weights are read, so that a forward pass consists of convolutions and clamps.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BATCH_NORM_EPS = 1e-3
HEAD_WIDTH = 1280
IMAGENET_CLASSES = 1000


@dataclass(frozen=True)
class Stage:
    """A sequence of blocks with the same kernel and expansion. Only the first has a stride."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    width: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
STEM_WIDTH = 32


@dataclass(frozen=True)
class Variant:
    """A published scaling: width and depth multipliers, and the image size in pixels used in training."""

    width: float
    depth: float
    image_size: int


VARIANTS = {
    "lite0": Variant(1.0, 1.0, 224),
    "lite1": Variant(1.0, 1.1, 240),
    "lite2": Variant(1.1, 1.2, 260),
}


def scaled_width(width: int, multiplier: float) -> int:
    """Return `width` times `multiplier`, rounded to a multiple of 8, but never down by more than a tenth."""
    scaled = width * multiplier
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding: output side ceil(side / stride), an odd pixel of padding last."""

    def forward(self, input: Tensor) -> Tensor:
        if self.stride[0] == 1:
            return F.conv2d(input, self.weight, self.bias, 1, self.kernel_size[0] // 2, 1, self.groups)
        pads = []
        for side in (input.shape[-1], input.shape[-2]):
            total = max((math.ceil(side / self.stride[0]) - 1) * self.stride[0] + self.kernel_size[0] - side, 0)
            pads += [total // 2, total - total // 2]
        return F.conv2d(F.pad(input, pads), self.weight, self.bias, self.stride, 0, 1, self.groups)


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution, projection, and a residual connection if the shapes agree."""

    def __init__(self, width_in: int, width_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = width_in * expansion
        self.expand = SameConv2d(width_in, hidden, 1) if expansion != 1 else None
        self.depthwise = SameConv2d(hidden, hidden, kernel, stride, groups=hidden)
        self.project = SameConv2d(hidden, width_out, 1)
        self.residual = stride == 1 and width_in == width_out

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu6(self.expand(x)) if self.expand is not None else x
        hidden = self.project(F.relu6(self.depthwise(hidden)))
        projected: Tensor = x + hidden if self.residual else hidden
        return projected


class EfficientNetLite(nn.Module):
    """The network: pixels (batch, 3, side, side), normalised as (x - 127) / 128, to a feature map and class logits."""

    def __init__(self, variant: str) -> None:
        super().__init__()
        scale = VARIANTS[variant]
        self.stem = SameConv2d(3, STEM_WIDTH, 3, 2)
        blocks = []
        width_in = STEM_WIDTH
        for index, stage in enumerate(STAGES):
            width_out = scaled_width(stage.width, scale.width)
            fixed_depth = index in (0, len(STAGES) - 1)
            repeats = stage.repeats if fixed_depth else math.ceil(stage.repeats * scale.depth)
            for repeat in range(repeats):
                stride = stage.stride if repeat == 0 else 1
                blocks.append(InvertedResidual(width_in, width_out, stage.kernel, stride, stage.expansion))
                width_in = width_out
        self.blocks = nn.ModuleList(blocks)
        self.neck_width = width_in
        self.head = SameConv2d(width_in, HEAD_WIDTH, 1)
        self.classifier = nn.Linear(HEAD_WIDTH, IMAGENET_CLASSES)

    def neck(self, pixel_values: Tensor) -> Tensor:
        """Return the last block's feature map (batch, neck_width, side / 32, side / 32)."""
        x = F.relu6(self.stem(pixel_values))
        for block in self.blocks:
            x = block(x)
        return x

    def features(self, neck: Tensor) -> Tensor:
        """Return the head's feature map (batch, 1280, rows, columns), given the last block's."""
        return F.relu6(self.head(neck))

    def class_logits(self, features: Tensor) -> Tensor:
        """Return ImageNet logits (batch, 1000), given the head's feature map."""
        logits: Tensor = self.classifier(features.mean((2, 3)))
        return logits


def fold_published_weights(published: dict[str, Tensor]) -> dict[str, Tensor]:
    """Convert a published state dict to one of `EfficientNetLite`, with batch norms folded into convolutions."""
    folded: dict[str, Tensor] = {}

    def fold(target: str, convolution: str, norm: str) -> None:
        scale = published[f"{norm}.weight"] / torch.sqrt(published[f"{norm}.running_var"] + BATCH_NORM_EPS)
        folded[f"{target}.weight"] = published[f"{convolution}.weight"] * scale[:, None, None, None]
        folded[f"{target}.bias"] = published[f"{norm}.bias"] - published[f"{norm}.running_mean"] * scale

    fold("stem", "_conv_stem", "_bn0")
    fold("head", "_conv_head", "_bn1")
    depth = 1 + max(int(name.split(".")[1]) for name in published if name.startswith("_blocks."))
    for index in range(depth):
        source, target = f"_blocks.{index}", f"blocks.{index}"
        for ours, convolution, norm in (
            ("expand", "_expand_conv", "_bn0"),
            ("depthwise", "_depthwise_conv", "_bn1"),
            ("project", "_project_conv", "_bn2"),
        ):
            if f"{source}.{convolution}.weight" in published:
                fold(f"{target}.{ours}", f"{source}.{convolution}", f"{source}.{norm}")
    folded["classifier.weight"] = published["_fc.weight"]
    folded["classifier.bias"] = published["_fc.bias"]
    return folded
