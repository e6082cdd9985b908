"""Take a GGUF file apart, and put it together again."""

import struct
from dataclasses import dataclass, field

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
_ALIGNMENT = 32


@dataclass(frozen=True)
class Entry:
    """One entry of the metadata; `data` are the bytes of its value, without its type."""

    key: bytes
    kind: int
    data: bytes

    def pack(self) -> bytes:
        return pack_string(self.key) + struct.pack("<I", self.kind) + self.data


@dataclass(frozen=True)
class Tensor:
    """The description of one tensor."""

    name: bytes
    shape: tuple[int, ...]
    kind: int
    offset: int

    def pack(self) -> bytes:
        sides = b"".join(struct.pack("<Q", side % 2**64) for side in self.shape)
        return (
            pack_string(self.name)
            + struct.pack("<I", len(self.shape))
            + sides
            + struct.pack("<IQ", self.kind % 2**32, self.offset % 2**64)
        )


@dataclass
class GgufParts:
    """A file in parts. The counts are those of the lists unless they lie."""

    entries: list[Entry] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)
    weights: bytes = b""
    version: int = 3
    entry_count: int | None = None
    tensor_count: int | None = None

    def pack(self) -> bytes:
        counts = (
            len(self.tensors) if self.tensor_count is None else self.tensor_count,
            len(self.entries) if self.entry_count is None else self.entry_count,
        )
        head = b"GGUF" + struct.pack("<IQQ", self.version, *counts)
        head += b"".join(each.pack() for each in self.entries) + b"".join(each.pack() for each in self.tensors)
        return head + bytes(-len(head) % _ALIGNMENT) + self.weights


def take_apart(data: bytes) -> GgufParts:
    """Return the parts of a valid file."""
    version, tensor_count, entry_count = struct.unpack_from("<IQQ", data, 4)
    at = 24
    parts = GgufParts(version=version)
    for _ in range(entry_count):
        key, at = _string(data, at)
        (kind,) = struct.unpack_from("<I", data, at)
        end = _end_of_value(data, at + 4, kind)
        parts.entries.append(Entry(key, kind, data[at + 4 : end]))
        at = end
    for _ in range(tensor_count):
        name, at = _string(data, at)
        (count,) = struct.unpack_from("<I", data, at)
        *shape, kind, offset = struct.unpack_from(f"<{count}QIQ", data, at + 4)
        parts.tensors.append(Tensor(name, tuple(shape), kind, offset))
        at += 4 + 8 * count + 12
    parts.weights = data[at + -at % _ALIGNMENT :]
    return parts


def elements_of(data: bytes, kind: int, count: int) -> list[bytes]:
    """Return the bytes of each element of an array of a type."""
    elements, at = [], 0
    for _ in range(count):
        end = _end_of_value(data, at, kind)
        elements.append(data[at:end])
        at = end
    return elements


def _end_of_value(data: bytes, at: int, kind: int) -> int:
    if kind == STRING:
        return _string(data, at)[1]
    if kind != ARRAY:
        return at + struct.calcsize(SCALARS[kind])
    element, count = struct.unpack_from("<IQ", data, at)
    at += 12
    for _ in range(count):
        at = _end_of_value(data, at, element)
    return at


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    (length,) = struct.unpack_from("<Q", data, at)
    return data[at + 8 : at + 8 + length], at + 8 + length


def pack_string(text: bytes) -> bytes:
    """Return the bytes of a string."""
    return struct.pack("<Q", len(text)) + text
