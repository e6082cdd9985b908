"""Linear layers with int8 weights for the CPU, in which a token's result never depends on the tokens beside it.

    row of activations ─▶ 16-bit integers = two 8-bit digits ─▶ 8 x 8 bit products in 32-bit sums, exact ─▶ scaled back

Every row is scaled by itself, integer sums come out the same in whatever order a kernel adds them, and what follows
is one rounding per element. So a token read in a prompt of a hundred has bit for bit the result it had when it was
decoded alone, which is what lets a prompt cache promise that warm output equals cold output. torch's own dynamic
quantization takes one activation scale for the whole call and cannot promise that; it also rounds activations to
8 bits, which moves the pocket model's predictions eight times further from float32 than two digits do.
"""

import math
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

_LARGEST = 32512.0
"""What the largest activation of a row becomes: both digits of it, and of its negative, stay within 8 bits."""
_ZERO_DIGIT = 128
"""What stands for zero in a digit. Digits travel unsigned: for signed ones the kernel has a slow path on many
processors, measured at 7 ms against 20 µs for 64 rows of 64."""
_ZERO = 257.0 * _ZERO_DIGIT
_TINY = torch.finfo(torch.float32).tiny * _LARGEST
_NO_POST_OP: tuple[Any, ...] = (None, 1.0, 0, torch.float32, "none", [], "")
"""Arguments of the kernel after the weights: no bias, and a float32 result neither quantized nor passed on."""


@cache
def max_exact_weight() -> int:
    """The largest absolute int8 weight for which this processor's kernel adds exactly; 0 if there is none.

    127 where products are summed in 32 bits (VNNI, AMX, and the like). Older processors add pairs of products in
    16 bits, which saturate; 7-bit weights keep them exact. Tried with the worst case rather than deduced from a name.
    """
    columns, rows = 256, 32
    sign = torch.tensor([1, -1])
    for widest in (127, 63):
        weight = (sign.repeat(rows // 2)[:, None] * torch.full((rows, columns), widest)).to(torch.int8)
        digits = torch.tensor([0, 255])[:, None].expand(2, columns).to(torch.uint8).contiguous()
        expected = (digits.double() - _ZERO_DIGIT) @ weight.double().T
        try:
            found = _Kernel(weight, torch.ones(rows))(digits)
        except (AttributeError, NotImplementedError, RuntimeError):
            return 0  # This build of torch has no oneDNN.
        if torch.equal(found.double(), expected):
            return widest
    return 0


class _Kernel:
    """Digits (rows, columns) times packed int8 weights, each output scaled, as float32 (rows, outputs)."""

    def __init__(self, weight: Tensor, scale: Tensor) -> None:
        self._multiply: Callable[..., Tensor] = torch.ops.onednn.qlinear_pointwise.default
        # Packed for two rows, the digits of one token: people wait for decoding, which reads every weight for them.
        self._weight = torch.ops.onednn.qlinear_prepack(weight, [2, weight.shape[1]])
        self._scale = scale
        self._zero_points = torch.zeros(weight.shape[0], dtype=torch.int64)

    def __call__(self, digits: Tensor) -> Tensor:
        return self._multiply(digits, 1.0, _ZERO_DIGIT, self._weight, self._scale, self._zero_points, *_NO_POST_OP)


class Int8LinearFn:
    """`rows @ weight.T` with each row of `weight` (outputs, inputs) rounded to int8 by its own scale.

    float32 (tokens, inputs) to (tokens, outputs). Where inputs are known never to exceed `bound` in absolute value,
    that is the scale of every row; otherwise each row's largest value is, which costs five more small operations.
    """

    def __init__(self, weight: Tensor, bound: float = math.inf) -> None:
        weight = weight.float()
        scale = (weight.abs().amax(1) / max_exact_weight()).clamp_min(_TINY)
        whole = (weight / scale[:, None]).round_().to(torch.int8)
        self._inputs = weight.shape[1]
        self._bounded = bound < math.inf
        # Tensors, because a Python number is made into one at every call, which takes longer than the product.
        self._factor = torch.tensor(_LARGEST / bound if self._bounded else _LARGEST)
        self._zero = torch.tensor(_ZERO)
        self._kernel = _Kernel(whole, scale / self._factor)

    def __call__(self, rows: Tensor) -> Tensor:
        if self._bounded:
            return self._integers(rows * self._factor)
        largest = rows.abs().amax(-1, keepdim=True).clamp_min_(_TINY)
        return self._integers(rows * torch.div(self._factor, largest)).mul_(largest)

    def _integers(self, scaled: Tensor) -> Tensor:
        count = scaled.shape[0]
        # Cut rather than rounded: half a unit in 32,512 is not worth an operation.
        digits = scaled.add_(self._zero).to(torch.uint16).view(torch.uint8).view(count, self._inputs, 2)
        products = self._kernel(digits.transpose(1, 2).reshape(2 * count, self._inputs))
        low, high = products.view(count, 2, -1).unbind(1)
        # A power of two, so that product and sum round once, fused or not.
        return torch.add(low, high, alpha=256)


class Int8Linear(nn.Module):
    """An `nn.Linear` computed by `Int8LinearFn`."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self._rows = Int8LinearFn(linear.weight.data)
        bias: Tensor | None = linear.bias
        self._bias = None if bias is None else bias.data.float()

    def forward(self, x: Tensor) -> Tensor:
        """(…, inputs) of any floating dtype to (…, outputs) of the same dtype."""
        result = self._rows(x.reshape(-1, x.shape[-1]).float())
        if self._bias is not None:
            result += self._bias
        return result.view(*x.shape[:-1], -1).to(x.dtype)


def quantize_linears(module: nn.Module, progress: Callable[[], None] = lambda: None) -> None:
    """Replace every `nn.Linear` inside `module` by its int8 form, one at a time, so that both forms of a model never
    lie in memory together. Calls `progress` after each.
    """
    for parent, name, linear in list(_linears(module)):
        setattr(parent, name, Int8Linear(linear))
        progress()


def _linears(module: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Linear]]:
    for parent in module.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.Linear):
                yield parent, name, child
