"""Read the header of a GGUF file: metadata and the names of special tokens, and nothing of the weights.

    magic "GGUF" │ version │ number of tensors │ number of entries │ key, type, value │ … │ tensors

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The `gguf` package takes ten seconds for a vocabulary
of 150,000 tokens, because it makes several arrays of each; this takes 0.1 s.
"""

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assistant.errors import ModelError, first_line
from assistant.text_cleaning import clean_line

_MAGIC = b"GGUF"
_TENSORS = "tensors"
"""Key under which the names of the tensors are among the entries of a file."""
_VERSIONS = (2, 3)
_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT_TYPE = 1
# Types of tokens that stand for something else than their text: unknown, control.
_SPECIAL_TYPES = frozenset({2, 3})
_MAX_ENTRIES = 65_536
_MAX_NAME = 80
_ROPE_SCALINGS = ("none", "linear", "yarn", "longrope")
_MAX_DIMENSIONS = 4
# Types of tensors: integers of 8 to 64 bits, and float64.
_NO_WEIGHTS = frozenset({24, 25, 26, 27, 28})
# Values out of these ranges end llama.cpp, and this process with it.
_RANGES: Mapping[str, tuple[float, float]] = {
    "block_count": (1, 512),
    # As short as a prompt can be.
    "context_length": (16, 2**31 - 1),
    "attention.layer_norm_rms_epsilon": (0, 1),
    "attention.layer_norm_epsilon": (0, 1),
    "attention.group_norm_epsilon": (0, 1),
}
# Names that llama.cpp gives to `general.file_type`. Others are called "unknown".
_FILE_TYPES = {
    0: "f32", 1: "f16", 2: "q4_0", 3: "q4_1", 7: "q8_0", 8: "q5_0", 9: "q5_1", 10: "q2_k", 11: "q3_k_s", 12: "q3_k_m",
    13: "q3_k_l", 14: "q4_k_s", 15: "q4_k_m", 16: "q5_k_s", 17: "q5_k_m", 18: "q6_k", 32: "bf16",
}  # fmt: skip


@dataclass(frozen=True)
class GgufMetadata:
    """The header of a model file.

    Attributes:
        architecture: Such as "qwen2".
        name: Name of the model, empty if it has none.
        quantization: Such as "q4_k_m", or "unknown".
        context_tokens: Longest context of the training; 0 if unknown.
        kv_values: Keys and values of one token, in all layers.
        chat_template: Empty if there is none.
        special_tokens: Texts of all tokens that control the model.
        sampling: Recommended sampling, by llama.cpp's names without "general.sampling.".
        file_bytes: Size of the file.
        tokenizer: Kind of tokenizer, such as "gpt2" for byte-level BPE.
        tokens: All tokens, as the file spells them.
        width: Of the hidden states.
    """

    architecture: str
    name: str
    quantization: str
    context_tokens: int
    kv_values: int
    chat_template: str
    special_tokens: frozenset[str]
    sampling: dict[str, float]
    file_bytes: int
    tokenizer: str = ""
    tokens: tuple[bytes, ...] = field(default=(), repr=False)
    width: int = 0


@dataclass(frozen=True)
class ProjectorMetadata:
    """The header of the vision encoder of a model, an "mmproj" file.

    Attributes:
        width: Of the hidden states that it makes of an image.
        file_bytes: Size of the file.
    """

    width: int
    file_bytes: int


def read_metadata(file: Path) -> GgufMetadata:
    """Read the header of `file`. Raises `ModelError` if it is no GGUF file, is damaged, or cannot be read."""
    entries, specials, size = _read(file)
    try:
        return _interpret(entries, specials, size)
    except ValueError as error:
        raise _damaged(file) from error


def read_projector(file: Path) -> ProjectorMetadata:
    """Read the header of a vision encoder. Raises `ModelError` if `file` is none, is damaged, or cannot be read."""
    entries, _, size = _read(file)
    width = entries.get("clip.vision.projection_dim")
    if entries.get("general.architecture") != "clip" or type(width) is not int:
        raise ModelError(f"{file} is no vision encoder: it should be the mmproj file of a model.")
    # Without its first layer, llama.cpp ends the process when it sees an image.
    if not any(name.startswith((b"v.patch_embd", b"v.conv_stem")) for name in entries[_TENSORS]):
        raise _damaged(file)
    return ProjectorMetadata(width, size)


def _read(file: Path) -> tuple[dict[str, Any], frozenset[str], int]:
    """Return the entries of a file, its special tokens, and its size. Raises `ModelError`."""
    try:
        with file.open("rb") as opened:
            size = file.stat().st_size
            if opened.read(len(_MAGIC)) != _MAGIC:
                raise ModelError(f"{file} is not a GGUF file: choose another model.")
            with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return *_Reader(data).read_entries(), size
    except OSError as error:
        raise ModelError(f"{file} cannot be read: {first_line(error)}.") from error
    except (struct.error, ValueError, OverflowError, MemoryError, RecursionError) as error:
        raise _damaged(file) from error


def _damaged(file: Path) -> ModelError:
    return ModelError(f"The GGUF file {file} is damaged: get a fresh copy of it.")


class _Reader:
    """Reads values one after another. Raises `struct.error` or `ValueError` where the file ends or makes no sense."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = len(_MAGIC)

    def read_entries(self) -> tuple[dict[str, Any], frozenset[str]]:
        """Return all entries but long arrays, and the texts of special tokens."""
        (version,) = self._unpack("I")
        if version not in _VERSIONS:
            raise ValueError("unknown version")
        tensors, count = self._unpack("QQ")
        if max(tensors, count) > _MAX_ENTRIES:
            raise ValueError("too many entries")
        entries: dict[str, Any] = {}
        for _ in range(count):
            key = self._string().decode(errors="replace")
            (kind,) = self._unpack("I")
            entries[key] = self._value(kind)
        entries[_TENSORS] = self._check_tensors(tensors)
        types = entries.pop("tokenizer.ggml.token_type", ())
        texts = entries.setdefault("tokenizer.ggml.tokens", [])
        # Arrays of strings are lists, others tuples.
        if not isinstance(texts, list) or not isinstance(types, tuple):
            self._refuse()
        special = {
            text.decode(errors="replace")
            for text, kind in zip(texts, types, strict=False)
            if kind in _SPECIAL_TYPES or (kind != _TEXT_TYPE and text.startswith(b"<|"))
        }
        return entries, frozenset(text for text in special if len(text) > 1)

    def _check_tensors(self, count: int) -> tuple[bytes, ...]:
        """Return the names of the tensors.

        Raises `ValueError` for names that none has, and for weights of a type that llama.cpp cannot multiply by: it
        calls what is not there.
        """
        names = []
        for _ in range(count):
            name = self._string()
            if not name.isascii():
                raise ValueError("impossible name of a tensor")
            names.append(name)
            (dimensions,) = self._unpack("I")
            if dimensions > _MAX_DIMENSIONS:
                raise ValueError("too many dimensions")
            *_, kind, _ = self._unpack(f"{dimensions}QIQ")
            if kind in _NO_WEIGHTS and name.endswith(b".weight"):
                raise ValueError("weights of an impossible type")
        return tuple(names)

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._string().decode(errors="replace")
        if kind != _ARRAY:
            return self._unpack(_SCALARS[kind])[0] if kind in _SCALARS else self._refuse()
        element, count = self._unpack("IQ")
        if element == _STRING:
            return [self._string() for _ in range(self._check(count * 8) // 8)]
        if element not in _SCALARS:
            self._refuse()
        width = struct.calcsize(_SCALARS[element])
        self._check(count * width)
        return self._unpack(f"{count}{_SCALARS[element]}")

    def _string(self) -> bytes:
        (length,) = self._unpack("Q")
        start = self._at
        self._at += self._check(length)
        return self._data[start : self._at]

    def _unpack(self, layout: str) -> tuple[Any, ...]:
        values = struct.unpack_from(f"<{layout}", self._data, self._at)
        self._at += struct.calcsize(f"<{layout}")
        return values

    def _check(self, size: int) -> int:
        if self._at + size > len(self._data):
            raise ValueError("the file ends")
        return size

    def _refuse(self) -> None:
        raise ValueError("unknown type of value")


def _interpret(entries: dict[str, Any], special_tokens: frozenset[str], file_bytes: int) -> GgufMetadata:
    """Return what the entries mean. Raises `ValueError` for what would end llama.cpp, and this process with it."""
    architecture = _text(entries.get("general.architecture"))

    def size(name: str) -> int:
        value = entries.get(f"{architecture}.{name}")
        # A few architectures have one number for each layer.
        value = max(value, default=0) if isinstance(value, tuple) else value
        return value if type(value) is int and value > 0 else 0

    for name, (least, most) in _RANGES.items():
        value = entries.get(f"{architecture}.{name}", least)
        if isinstance(value, int | float) and not least <= value <= most:
            raise ValueError(f"impossible {name}")
    if entries.get(f"{architecture}.rope.scaling.type", "none") not in _ROPE_SCALINGS:
        raise ValueError("impossible scaling of positions")
    experts, used = size("expert_count"), size("expert_used_count")
    if used > experts or (experts and not used):
        raise ValueError("impossible number of experts")
    file_type = entries.get("general.file_type")
    heads = size("attention.head_count") or 1
    kv_heads = size("attention.head_count_kv") or heads
    head_dim = size("attention.key_length") or size("embedding_length") // heads
    prefix = "general.sampling."
    return GgufMetadata(
        architecture=architecture,
        name=_text(entries.get("general.name")),
        quantization=_FILE_TYPES.get(file_type, "unknown") if isinstance(file_type, int) else "unknown",
        context_tokens=size("context_length"),
        kv_values=2 * size("block_count") * kv_heads * head_dim,
        chat_template=template if isinstance(template := entries.get("tokenizer.chat_template"), str) else "",
        special_tokens=special_tokens,
        sampling={
            key.removeprefix(prefix): float(value)
            for key, value in entries.items()
            if key.startswith(prefix) and isinstance(value, int | float)
        },
        file_bytes=file_bytes,
        tokenizer=_text(entries.get("tokenizer.ggml.model")),
        tokens=tuple(entries["tokenizer.ggml.tokens"]),
        width=size("embedding_length"),
    )


def _text(value: Any) -> str:
    return clean_line(value, _MAX_NAME) if isinstance(value, str) else ""
