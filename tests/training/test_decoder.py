"""The decoder of training equals transformers'."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from training.decoder import Decoder


@pytest.fixture
def ids(decoder_folder: Path) -> torch.Tensor:
    return torch.randint(5, 200, (2, 11), generator=torch.Generator().manual_seed(0))


def logits(decoder: Decoder, ids: torch.Tensor) -> torch.Tensor:
    """Return the logits at each position under a causal mask."""
    length = ids.shape[1]
    mask = torch.full((1, 1, length, length), float("-inf")).triu(1)
    embeddings = torch.nn.functional.embedding(ids, decoder.embedding)
    hidden = decoder(embeddings, torch.arange(length).expand(len(ids), -1), mask.to(embeddings.dtype))
    return decoder.logits(hidden)


def test_logits_equal_those_of_transformers(decoder_folder: Path, ids: torch.Tensor) -> None:
    model = AutoModelForCausalLM.from_pretrained(decoder_folder, dtype=torch.float32)
    with torch.inference_mode():
        assert torch.allclose(logits(Decoder(decoder_folder, 0, 1.0, torch.float32), ids), model(ids).logits, atol=1e-4)


def test_an_untrained_adapter_changes_nothing(decoder_folder: Path, ids: torch.Tensor) -> None:
    with torch.inference_mode():
        plain = logits(Decoder(decoder_folder, 0, 1.0, torch.float32), ids)
        adapted = logits(Decoder(decoder_folder, 4, 8.0, torch.float32), ids)
    assert torch.allclose(plain, adapted, atol=1e-5)


def test_only_the_adapter_is_trained(decoder_folder: Path, ids: torch.Tensor) -> None:
    decoder = Decoder(decoder_folder, 4, 8.0)
    trained = [name for name, parameter in decoder.named_parameters() if parameter.requires_grad]
    assert trained
    assert all("lora_" in name for name in trained)
    logits(decoder, ids).float().logsumexp(-1).sum().backward()
    assert all(decoder.get_parameter(name).grad is not None for name in trained)
    assert len(decoder.lora_state()) == len(trained)
