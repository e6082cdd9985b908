"""Graphs of a Llama that are kept in its folder: made once, and made again where they are damaged or outdated."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaModel

from assistant.models.local.llama import LlamaDecoder
from assistant.models.local.llama_graph import LlamaSizes
from assistant.models.local.llama_sessions import ADAPTED, HEAD, LAYERS, GraphBuilder, KeptSessions, graph_builder
from assistant.models.local.lora import LoraAdapter

SIZES: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 2, "num_key_value_heads": 1}


def make_llama() -> Any:
    torch.manual_seed(0)
    return LlamaModel(LlamaConfig(**SIZES, num_hidden_layers=2, vocab_size=20, max_position_embeddings=64)).eval()


def reader(llama: Any, adapter: LoraAdapter | None = None) -> Callable[[], GraphBuilder]:
    return lambda: graph_builder(llama, llama.embed_tokens.weight.data, adapter, quantized=True)


def refuse_to_read() -> GraphBuilder:
    raise AssertionError("the weights are not needed")


def logits(llama: Any, sessions: KeptSessions) -> torch.Tensor:
    sizes = LlamaSizes.of(llama.config)
    decoder = LlamaDecoder(sizes, llama.embed_tokens.weight.data, sessions, has_adapter=False, quantized=True)
    with torch.inference_mode():
        return decoder.forward(decoder.embed(torch.tensor([3, 5, 7])))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    return tmp_path


def test_kept_graphs_are_used_without_reading_the_weights(folder: Path) -> None:
    llama = make_llama()
    expected = logits(llama, KeptSessions(folder, reader(llama), 1, has_adapter=False))
    found = logits(llama, KeptSessions(folder, refuse_to_read, 1, has_adapter=False))
    assert torch.equal(found, expected)


def test_all_graphs_are_kept_at_once_and_opened_when_they_are_needed(folder: Path) -> None:
    llama = make_llama()
    adapter = LoraAdapter(
        {
            "layers.0.self_attn.o_proj.lora_A": torch.ones(1, 32),
            "layers.0.self_attn.o_proj.lora_B": torch.ones(32, 1),
        },
        alpha=1,
        rank=1,
    )
    KeptSessions(folder, reader(llama, adapter), 1, has_adapter=True)(ADAPTED)
    sessions = KeptSessions(folder, refuse_to_read, 1, has_adapter=True)
    opened = [sessions(name) for name in (HEAD, LAYERS, ADAPTED)]
    assert [sessions(name) for name in (HEAD, LAYERS, ADAPTED)] == opened


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda _: b"", lambda data: data[:99] + b"?" * 9])
def test_a_damaged_graph_is_built_again(folder: Path, damage: Callable[[bytes], bytes]) -> None:
    llama = make_llama()
    expected = logits(llama, KeptSessions(folder, reader(llama), 1, has_adapter=False))
    (path,) = folder.glob("graph-*-layers.bin")
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert torch.equal(logits(llama, KeptSessions(folder, reader(llama), 1, has_adapter=False)), expected)
    assert path.read_bytes() == whole


def test_graphs_of_other_weights_are_replaced(folder: Path) -> None:
    llama = make_llama()
    logits(llama, KeptSessions(folder, reader(llama), 1, has_adapter=False))
    outdated = set(folder.glob("graph-*.bin"))
    (folder / "model.safetensors").write_bytes(b"other weights")
    torch.nn.init.normal_(llama.layers[0].mlp.down_proj.weight)
    expected = LlamaDecoder.of(llama, llama.embed_tokens.weight.data, quantized=True)
    with torch.inference_mode():
        wanted = expected.forward(expected.embed(torch.tensor([3, 5, 7])))
    assert torch.equal(logits(llama, KeptSessions(folder, reader(llama), 1, has_adapter=False)), wanted)
    assert len(outdated) == len(set(folder.glob("graph-*.bin"))) == 2
    assert not outdated & set(folder.glob("graph-*.bin"))


def test_a_folder_that_cannot_be_written_only_takes_longer(tmp_path: Path) -> None:
    llama = make_llama()
    missing = tmp_path / "missing"
    assert logits(llama, KeptSessions(missing, reader(llama), 1, has_adapter=False)).isfinite().all()
    assert not missing.exists()
