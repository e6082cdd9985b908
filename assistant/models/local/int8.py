"""Linear layers with int8 weights for the CPU, for models that transformers runs.

    row of activations -> 16-bit integers = two bytes each -> 8 x 8 bit products in 32-bit sums -> scaled back

Each row has its own scale. torch's own dynamic quantization uses one for the whole call and rounds activations to
8 bits, which many families do not survive: a few of their channels are a hundred times as large as the others.
"""

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

_MAX_ACTIVATION = 32512.0
"""The integer that a row's largest activation becomes: both bytes of it, and of its negative, stay within 8 bits."""
_ZERO_POINT = 128
"""The byte that stands for zero. Bytes are unsigned, because the kernel has a slow path for signed ones on many
processors: 7 ms instead of 20 µs for 64 rows of 64."""
_OFFSET = 257.0 * _ZERO_POINT
_MIN_SCALE = torch.finfo(torch.float32).tiny * _MAX_ACTIVATION
_NO_POST_OP: tuple[Any, ...] = (None, 1.0, 0, torch.float32, "none", [], "")
"""Arguments of the kernel after the weights: no bias, and a float32 result without further operations."""


@cache
def max_exact_weight() -> int:
    """Return the largest absolute int8 weight for which this processor's kernel adds exactly; 0 if there is none.

    127 where products are summed in 32 bits (VNNI, AMX and similar). Older processors add pairs of products in 16 bits,
    which saturate; 7-bit weights (63) keep them exact. Measured with the worst case instead of deduced from a name.
    """
    in_features, out_features = 256, 32
    sign = torch.tensor([1, -1])
    for largest in (127, 63):
        weight = sign.repeat(out_features // 2)[:, None] * torch.full((out_features, in_features), largest)
        weight = weight.to(torch.int8)
        limbs = torch.tensor([0, 255])[:, None].expand(2, in_features).to(torch.uint8).contiguous()
        expected = (limbs.double() - _ZERO_POINT) @ weight.double().T
        try:
            result = _OneDnnMatmul(weight, torch.ones(out_features))(limbs)
        except (AttributeError, NotImplementedError, RuntimeError):
            return 0  # This build of torch has no oneDNN.
        if torch.equal(result.double(), expected):
            return largest
    return 0


class _OneDnnMatmul:
    """Bytes (rows, in_features) uint8 times packed int8 weights, scaled per output: float32 (rows, out_features)."""

    def __init__(self, weight: Tensor, scale: Tensor) -> None:
        self._matmul: Callable[..., Tensor] = torch.ops.onednn.qlinear_pointwise.default
        # Packed for two rows, the bytes of one token: decoding speed matters most, and it reads every weight.
        self._weight = torch.ops.onednn.qlinear_prepack(weight, [2, weight.shape[1]])
        self._scale = scale
        self._zero_points = torch.zeros(weight.shape[0], dtype=torch.int64)

    def __call__(self, limbs: Tensor) -> Tensor:
        return self._matmul(limbs, 1.0, _ZERO_POINT, self._weight, self._scale, self._zero_points, *_NO_POST_OP)


class Int8Linear(nn.Module):
    """An `nn.Linear` with each row of its weight rounded to int8 by its own scale."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.data.float()
        largest = max_exact_weight()
        scale = (weight.abs().amax(1) / (largest or 127)).clamp_min(_MIN_SCALE)
        quantized = (weight / scale[:, None]).round_().to(torch.int8)
        bias: Tensor | None = linear.bias
        self._bias = None if bias is None else bias.data.float()
        self._multiply: Callable[[Tensor], Tensor] = (
            _TwoByteMatmul(quantized, scale) if largest else partial(_multiply_by_int8, quantized, scale)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in_features) of any floating dtype to (..., out_features) of the same dtype."""
        result = self._multiply(x.reshape(-1, x.shape[-1]).float())
        if self._bias is not None:
            result += self._bias
        return result.view(*x.shape[:-1], -1).to(x.dtype)


class _TwoByteMatmul:
    """float32 (tokens, in_features), in two bytes each, times int8 weights: float32 (tokens, out_features)."""

    def __init__(self, weight: Tensor, scale: Tensor) -> None:
        # Tensors, because a Python number is converted to one in each call, which takes longer than the product.
        self._factor = torch.tensor(_MAX_ACTIVATION)
        self._offset = torch.tensor(_OFFSET)
        self._matmul = _OneDnnMatmul(weight, scale / self._factor)

    def __call__(self, x: Tensor) -> Tensor:
        tokens, in_features = x.shape
        largest = x.abs().amax(-1, keepdim=True).clamp_min_(_MIN_SCALE)
        # Truncated, not rounded: half a unit in 32,512 is not worth an operation.
        integers = (x * torch.div(self._factor, largest)).add_(self._offset).to(torch.uint16)
        limbs = integers.view(torch.uint8).view(tokens, in_features, 2).transpose(1, 2)
        low, high = self._matmul(limbs.reshape(2 * tokens, in_features)).view(tokens, 2, -1).unbind(1)
        return torch.add(low, high, alpha=256).mul_(largest)


def _multiply_by_int8(weight: Tensor, scale: Tensor, x: Tensor) -> Tensor:
    """Multiply by torch's own kernel for int8 weights, where there is no oneDNN."""
    product: Tensor = torch._weight_int8pack_mm(x, weight, scale)  # noqa: SLF001 - has no public name
    return product


def quantize_linears(module: nn.Module) -> None:
    """Replace every `nn.Linear` inside `module` by an `Int8Linear`.

    One at a time, so that both forms of a model are never in memory together.
    """
    for parent, name, linear in list(_linears(module)):
        setattr(parent, name, Int8Linear(linear))


def _linears(module: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Linear]]:
    for parent in module.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.Linear):
                yield parent, name, child
