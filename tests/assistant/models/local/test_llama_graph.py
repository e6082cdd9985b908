"""The quantized graph of a Llama: rotations cancel, large channels are no problem, rows of zeros neither."""

from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaModel

from assistant.models.local.llama import LlamaDecoder
from assistant.models.local.llama_graph import hadamard, is_plain_llama, max_exact_weight, quantize, rotate

TOLERANCE = 0.05
"""Relative error of the logits of a random model, of which rounding the weights makes a third."""


def tiny_llama(hidden_size: int = 96) -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=hidden_size,
        intermediate_size=80,
        num_attention_heads=6,
        num_key_value_heads=2,
        num_hidden_layers=2,
        vocab_size=50,
        max_position_embeddings=64,
    )
    return LlamaModel(config).eval()


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("width", [64, 96, 576, 1536, 7])
def test_rotating_twice_changes_nothing(width: int) -> None:
    x = torch.randn(3, width)
    torch.testing.assert_close(rotate(rotate(x, width), width), x)
    assert float(rotate(x, width).norm()) == pytest.approx(float(x.norm()), rel=1e-4)


def test_a_rotation_spreads_one_large_channel_over_its_block() -> None:
    x = torch.zeros(1, 64)
    x[0, 5] = 80
    assert float(rotate(x, 64).abs().max()) == pytest.approx(10)
    torch.testing.assert_close(hadamard(8) @ hadamard(8), torch.eye(8))


def test_weights_are_rounded_by_the_scale_of_their_output() -> None:
    weight = torch.randn(5, 32) * torch.tensor([1e-3, 1, 10, 1e3, 0])[:, None]
    quantized, scale = quantize(weight)
    assert abs(quantized).max() == max_exact_weight()
    restored = torch.from_numpy(quantized).float().T * torch.from_numpy(scale)[:, None]
    assert ((restored - weight).abs() <= 0.51 * torch.from_numpy(scale)[:, None]).all()


def test_large_channels_do_not_drown_the_others() -> None:
    llama = tiny_llama()
    head = torch.randn(50, 96)
    with torch.inference_mode():
        x = torch.randn(20, 96)
        x[:, 3] *= 50
        expected = llama(inputs_embeds=x[None]).last_hidden_state[0, -1] @ head.T
        found = LlamaDecoder.of(llama, head, quantized=True).forward(x)
        assert relative_error(found, expected) < TOLERANCE
        exact = LlamaDecoder.of(llama, head).forward(x)
        assert relative_error(exact, expected) < 1e-4


def test_tokens_that_are_all_zeros_are_no_problem() -> None:
    llama = tiny_llama()
    x = torch.randn(6, 96)
    x[2] = 0
    with torch.inference_mode():
        found = LlamaDecoder.of(llama, torch.randn(50, 96), quantized=True).forward(x)
    assert found.isfinite().all()


def test_a_llama_whose_heads_do_not_fit_is_left_to_transformers() -> None:
    assert is_plain_llama(tiny_llama().config)
    assert not is_plain_llama(tiny_llama(hidden_size=48).config)


def test_the_largest_exact_weight_is_one_of_two() -> None:
    assert max_exact_weight() in {63, 127}
