"""int8 linear layers: close to the float layers, and the same for a row whatever the other rows are."""

import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.models.local.int8 import Int8Linear, Int8LinearFn, max_exact_weight, quantize_linears


@settings(deadline=None, max_examples=40, derandomize=True)
@given(
    st.integers(1, 200),
    st.integers(1, 90),
    st.integers(1, 40),
    st.booleans(),
    st.sampled_from([1e-6, 1.0, 1e4]),
    st.integers(0, 2**31),
)
def test_a_row_has_the_same_result_alone_as_among_others(
    in_features: int, out_features: int, rows: int, bounded: bool, scale: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(out_features, in_features, generator=generator)
    x = torch.randn(rows, in_features, generator=generator) * scale
    linear = Int8LinearFn(weight, float(x.abs().max()) * 1.5) if bounded else Int8LinearFn(weight)
    together = linear(x.clone())
    alone = torch.cat([linear(row[None]) for row in x])
    # Exactly: integer sums do not depend on their order, and what follows rounds each element once.
    assert torch.equal(together, alone)


@pytest.mark.parametrize("input_bound", [float("inf"), 8.0])
def test_the_error_is_that_of_rounding_the_weights(input_bound: float) -> None:
    generator = torch.Generator().manual_seed(1)
    weight, x = torch.randn(192, 576, generator=generator), torch.randn(50, 576, generator=generator)
    expected = x @ weight.T
    error = (Int8LinearFn(weight, input_bound)(x) - expected).norm() / expected.norm()
    assert error < 1.2 / max_exact_weight()


def test_zeros_times_anything_are_zero() -> None:
    x = torch.stack([torch.zeros(16), torch.ones(16)])
    assert not Int8LinearFn(torch.zeros(4, 16))(x).any()
    assert not Int8LinearFn(torch.ones(4, 16))(x)[0].any()


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
def test_sums_are_exact_on_older_processors(instructions: str) -> None:
    """OneDNN reads its limit once, when it starts; a processor without these instructions ignores it."""
    code = (
        "import torch; from assistant.models.local.int8 import Int8LinearFn, max_exact_weight\n"
        "x, linear = torch.randn(9, 64), Int8LinearFn(torch.randn(32, 64))\n"
        "assert torch.equal(linear(x), torch.cat([linear(row[None]) for row in x]))\n"
        "print(max_exact_weight())"
    )
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": instructions, "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    assert int(ran.stdout) in {63, 127}
