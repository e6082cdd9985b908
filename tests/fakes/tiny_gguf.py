"""GGUF files of models with random weights and a byte-level tokenizer, which llama.cpp loads in milliseconds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import gguf
import numpy as np

LAYERS, WIDTH, HEADS, FEED_FORWARD = 2, 32, 4, 64
END_OF_TEXT, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
Speech = Literal["letters", "bytes", "silence"]
"""Tokens that a model is able to say: letters and spaces, any bytes, or nothing but the end of the reply."""

_MERGES = (("d", "o"), ("do", "g"), ("Ġ", "dog"))
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzĠ")


def make_gguf(
    path: Path,
    *,
    speech: Speech = "letters",
    architecture: str = "llama",
    template: str | None = TEMPLATE,
    context_tokens: int = 512,
    metadata: Mapping[str, float] | None = None,
    seed: int = 0,
    width: int = WIDTH,
) -> Path:
    """Write a model and return its path.

    Args:
        path: The new file.
        speech: Tokens that the model says.
        architecture: The tensors are always those of a Llama.
        template: Chat template; None leaves it out.
        context_tokens: Longest context of the "training".
        metadata: More entries, such as recommended sampling.
        seed: Of the weights.
        width: Of the hidden states; larger is slower.
    """
    tokens = [END_OF_TEXT, START, END, *_byte_symbols(), *("".join(pair) for pair in _MERGES)]
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("Tiny Llama")
    writer.add_context_length(context_tokens)
    writer.add_embedding_length(width)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(width // HEADS)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    _add_tokenizer(writer, tokens)
    if template is not None:
        writer.add_chat_template(template)
    for key, value in (metadata or {}).items():
        writer.add_float32(key, value)
    _add_weights(writer, tokens, speech, width, np.random.default_rng(seed))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def make_projector(path: Path, *, width: int = WIDTH, seed: int = 0) -> Path:
    """Write a vision encoder with random weights, of Gemma 3's kind, and return its path.

    Args:
        path: The new file.
        width: Of the hidden states that it makes, which is that of the model it belongs to.
        seed: Of the weights.
    """
    random = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_type("mmproj")
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_string("clip.projector_type", "gemma3")
    sizes = {"image_size": 32, "patch_size": 8, "embedding_length": WIDTH, "feed_forward_length": FEED_FORWARD}
    sizes |= {
        "block_count": LAYERS,
        "attention.head_count": HEADS,
        "projection_dim": width,
        "projector.scale_factor": 2,
    }
    for name, size in sizes.items():
        writer.add_uint32(f"clip.vision.{name}", size)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-5)
    for name in ("image_mean", "image_std"):
        writer.add_array(f"clip.vision.{name}", [0.5] * 3)
    writer.add_bool("clip.use_gelu", True)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)

    def add(name: str, *shape: int, scale: float = 1.0, bias: bool = True) -> None:
        weight = random.standard_normal(shape, dtype=np.float32) * np.float32(scale / np.sqrt(np.prod(shape[1:])))
        writer.add_tensor(f"{name}.weight", weight if len(shape) > 1 else np.ones(shape, np.float32))
        if bias:
            writer.add_tensor(f"{name}.bias", np.zeros(shape[0], np.float32))

    add("v.patch_embd", WIDTH, 3, 8, 8, scale=8)
    add("v.position_embd", 16, WIDTH, bias=False)
    for layer in range(LAYERS):
        block = f"v.blk.{layer}"
        for name in ("ln1", "ln2"):
            add(f"{block}.{name}", WIDTH)
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            add(f"{block}.{name}", WIDTH, WIDTH)
        add(f"{block}.ffn_up", FEED_FORWARD, WIDTH)
        add(f"{block}.ffn_down", WIDTH, FEED_FORWARD)
    add("v.post_ln", WIDTH)
    # So large that an image changes the reply.
    add("mm.input_projection", WIDTH, width, scale=8, bias=False)
    add("mm.soft_emb_norm", WIDTH, bias=False)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def make_header(path: Path, entries: Mapping[str, object]) -> Path:
    """Write a file without weights, whose entries may have odd types, and return its path."""
    writer = gguf.GGUFWriter(path, "llama")
    for key, value in entries.items():
        if isinstance(value, list):
            writer.add_array(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        elif isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def _byte_symbols() -> list[str]:
    """Return the characters that stand for the bytes 0 to 255 in byte-level vocabularies (GPT-2)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def _add_tokenizer(writer: gguf.GGUFWriter, tokens: list[str]) -> None:
    special = {END_OF_TEXT, START, END}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL if token in special else gguf.TokenType.NORMAL for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in _MERGES])
    writer.add_eos_token_id(tokens.index(END))
    writer.add_bos_token_id(tokens.index(END_OF_TEXT))
    writer.add_add_bos_token(value=False)


def _add_weights(
    writer: gguf.GGUFWriter, tokens: list[str], speech: Speech, width: int, random: np.random.Generator
) -> None:
    def matrix(*shape: int) -> np.ndarray:
        return random.standard_normal(shape, dtype=np.float32) / np.float32(np.sqrt(shape[-1]))

    def ones() -> np.ndarray:
        return np.ones(width, np.float32)

    output = matrix(len(tokens), width) * 4
    if speech == "silence":
        # All logits are equal, and of equal ones the first is taken: a token that ends the reply.
        output[:] = 0
    for index, token in enumerate(tokens):
        if token in (END_OF_TEXT, START, END) or (speech == "letters" and not _LETTERS.issuperset(token)):
            output[index] = 0
    writer.add_tensor("token_embd.weight", matrix(len(tokens), width) * 6)
    writer.add_tensor("output_norm.weight", ones())
    writer.add_tensor("output.weight", output)
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        writer.add_tensor(f"{block}.attn_norm.weight", ones())
        writer.add_tensor(f"{block}.ffn_norm.weight", ones())
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            writer.add_tensor(f"{block}.{name}.weight", matrix(width, width))
        writer.add_tensor(f"{block}.ffn_gate.weight", matrix(FEED_FORWARD, width))
        writer.add_tensor(f"{block}.ffn_up.weight", matrix(FEED_FORWARD, width))
        writer.add_tensor(f"{block}.ffn_down.weight", matrix(width, FEED_FORWARD))
