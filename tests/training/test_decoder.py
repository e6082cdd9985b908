"""Training's decoder is the one that transformers runs."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from training.decoder import Decoder


@pytest.fixture
def ids(decoder_folder: Path) -> torch.Tensor:
    return torch.randint(5, 200, (2, 11), generator=torch.Generator().manual_seed(0))


def logits(decoder: Decoder, ids: torch.Tensor) -> torch.Tensor:
    """Logits at each position of causal text."""
    length = ids.shape[1]
    mask = torch.full((1, 1, length, length), float("-inf")).triu(1)
    embeddings = torch.nn.functional.embedding(ids, decoder.embedding)
    hidden = decoder(embeddings, torch.arange(length).expand(len(ids), -1), mask.to(embeddings.dtype))
    return decoder.logits(hidden)


def test_its_logits_are_those_of_transformers(decoder_folder: Path, ids: torch.Tensor) -> None:
    model = AutoModelForCausalLM.from_pretrained(decoder_folder, dtype=torch.float32)
    with torch.inference_mode():
        assert torch.allclose(logits(Decoder(decoder_folder, 0, 1.0, torch.float32), ids), model(ids).logits, atol=1e-4)


def test_a_fresh_adapter_changes_nothing(decoder_folder: Path, ids: torch.Tensor) -> None:
    with torch.inference_mode():
        plain = logits(Decoder(decoder_folder, 0, 1.0, torch.float32), ids)
        adapted = logits(Decoder(decoder_folder, 4, 8.0, torch.float32), ids)
    assert torch.allclose(plain, adapted, atol=1e-5)


def test_only_the_adapter_learns(decoder_folder: Path, ids: torch.Tensor) -> None:
    decoder = Decoder(decoder_folder, 4, 8.0)
    learning = [name for name, parameter in decoder.named_parameters() if parameter.requires_grad]
    assert learning
    assert all("lora_" in name for name in learning)
    logits(decoder, ids).float().logsumexp(-1).sum().backward()
    assert all(decoder.get_parameter(name).grad is not None for name in learning)
    assert len(decoder.lora_state()) == len(learning)
