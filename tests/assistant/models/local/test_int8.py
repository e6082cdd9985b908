"""int8 linear layers of torch: close to the float layers, also on processors without the newest instructions."""

import os
import subprocess
import sys

import pytest
import torch

from assistant.models.local import int8
from assistant.models.local.int8 import Int8Linear, max_exact_weight, quantize_linears


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def outlier_rows() -> torch.Tensor:
    """Activations of which one channel is a hundred times as large as the others."""
    x = torch.randn(50, 576, generator=torch.Generator().manual_seed(1))
    x[:, 7] *= 100
    return x


def test_the_error_is_that_of_rounding_the_weights_also_beside_outliers() -> None:
    linear = torch.nn.Linear(576, 192, bias=False)
    x = outlier_rows()
    assert relative_error(Int8Linear(linear)(x), linear(x).detach()) < 1.5 / max(max_exact_weight(), 63)


def test_without_onednn_torch_multiplies_by_int8_weights_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8, "max_exact_weight", lambda: 0)
    linear = torch.nn.Linear(576, 192)
    x = outlier_rows()
    assert relative_error(Int8Linear(linear)(x), linear(x).detach()) < 0.02


def test_zeros_times_anything_are_zero() -> None:
    linear = torch.nn.Linear(16, 4, bias=False)
    x = torch.stack([torch.zeros(16), torch.ones(16)])
    assert not Int8Linear(linear)(x)[0].any()


def test_a_linear_layer_keeps_its_bias_shape_and_dtype() -> None:
    linear = torch.nn.Linear(24, 12)
    x = torch.randn(2, 3, 24)
    found = Int8Linear(linear)(x)
    torch.testing.assert_close(found, linear(x).detach(), atol=0.05, rtol=0.05)
    assert Int8Linear(linear)(x.bfloat16()).dtype is torch.bfloat16


def test_every_linear_layer_of_a_module_is_replaced() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU()))
    quantize_linears(module)
    assert not any(isinstance(layer, torch.nn.Linear) for layer in module.modules())
    assert sum(isinstance(layer, Int8Linear) for layer in module.modules()) == 2


@pytest.mark.parametrize("instructions", ["AVX2", "AVX2_VNNI", "AVX512_CORE"])
def test_sums_do_not_saturate_on_older_processors(instructions: str) -> None:
    """OneDNN reads its limit once, when it starts; a processor without these instructions ignores it."""
    code = (
        "import torch; from assistant.models.local.int8 import Int8Linear, max_exact_weight\n"
        "x, linear = torch.full((9, 64), 3.0), torch.nn.Linear(64, 32)\n"
        "torch.nn.init.constant_(linear.weight, 1.0)\n"
        "torch.testing.assert_close(Int8Linear(linear)(x), linear(x), rtol=0.001, atol=0)\n"
        "print(max_exact_weight())"
    )
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": instructions, "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    assert int(ran.stdout) in {63, 127}
