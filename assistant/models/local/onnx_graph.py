"""Write a computation graph in the ONNX format, which onnxruntime loads.

ONNX is a protobuf format. Only a dozen of its messages are needed here, so their fields are written directly: the
`onnx` package, 15 MB, would be used for nothing else. Field numbers are those of onnx.proto.
"""

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MICROSOFT = "com.microsoft"
"""Domain of the operators that onnxruntime adds to the standard ones."""

Array = NDArray[np.generic]
AttributeValue = int | float | Sequence[int]

_IR_VERSION, _STANDARD_OPERATORS, _MICROSOFT_OPERATORS = 9, 20, 1
_DATA_TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7}


class Graph:
    """A graph under construction. Values are named by strings."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._inputs: list[bytes] = []
        self._outputs: list[bytes] = []
        self._constants: dict[str, bytes] = {}

    def add_input(self, name: str, dtype: str, shape: Sequence[int | str]) -> str:
        """Declare an input of the graph; a dimension given by a name may differ between runs. Return `name`."""
        self._inputs.append(_value_info(name, dtype, shape))
        return name

    def add_output(self, name: str, dtype: str, shape: Sequence[int | str]) -> None:
        """Declare the value `name` an output of the graph."""
        self._outputs.append(_value_info(name, dtype, shape))

    def add_constant(self, name: str, value: Array) -> str:
        """Add a constant, unless there is one of that name. Return `name`."""
        if name not in self._constants:
            self._constants[name] = _tensor(name, value)
        return name

    def add_node(
        self, operator: str, inputs: Sequence[str], *outputs: str, domain: str = "", **attributes: AttributeValue
    ) -> str:
        """Add an operation; an empty name stands for an input or output left out. Return the name of the first output.

        Args:
            operator: Name of the operator.
            inputs: Names of its inputs.
            *outputs: Names of its outputs.
            domain: "" for a standard operator, `MICROSOFT` for one of onnxruntime's.
            **attributes: Its attributes.
        """
        parts = [_bytes(1, name.encode()) for name in inputs]
        parts += [_bytes(2, name.encode()) for name in outputs]
        parts.append(_bytes(4, operator.encode()))
        parts += [_bytes(5, _attribute(name, value)) for name, value in attributes.items()]
        parts.append(_bytes(7, domain.encode()))
        self._nodes.append(b"".join(parts))
        return outputs[0]

    def to_bytes(self) -> bytes:
        """Return the graph as an ONNX model. Raises `ValueError` if it exceeds the 2 GB that protobuf allows."""
        parts = [_bytes(1, node) for node in self._nodes]
        parts += [_bytes(2, b"graph")]
        for constant in self._constants.values():
            parts += [_header(5, len(constant)), constant]
        parts += [_bytes(11, value) for value in self._inputs]
        parts += [_bytes(12, value) for value in self._outputs]
        operators = ((b"", _STANDARD_OPERATORS), (MICROSOFT.encode(), _MICROSOFT_OPERATORS))
        imports = (_bytes(8, _bytes(1, domain) + _integer(2, version)) for domain, version in operators)
        # Joined once, because the weights are large.
        return b"".join((_integer(1, _IR_VERSION), _header(7, sum(map(len, parts))), *parts, *imports))


def _value_info(name: str, dtype: str, shape: Sequence[int | str]) -> bytes:
    dimensions = (_integer(1, size) if isinstance(size, int) else _bytes(2, size.encode()) for size in shape)
    tensor_shape = b"".join(_bytes(1, dimension) for dimension in dimensions)
    tensor_type = _integer(1, _DATA_TYPES[dtype]) + _bytes(2, tensor_shape)
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, tensor_type))


def _tensor(name: str, value: Array) -> bytes:
    dimensions = b"".join(_integer(1, size) for size in value.shape)
    return b"".join(
        (dimensions, _integer(2, _DATA_TYPES[str(value.dtype)]), _bytes(8, name.encode()), _bytes(9, value.tobytes()))
    )


def _attribute(name: str, value: AttributeValue) -> bytes:
    encoded = _bytes(1, name.encode())
    if isinstance(value, float):
        return encoded + _varint(2 << 3 | 5) + struct.pack("<f", value) + _integer(20, 1)
    if isinstance(value, int):
        return encoded + _integer(3, value) + _integer(20, 2)
    return encoded + b"".join(_integer(8, each) for each in value) + _integer(20, 7)


def _integer(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _header(field, len(value)) + value


def _header(field: int, size: int) -> bytes:
    return _varint(field << 3 | 2) + _varint(size)


def _varint(value: int) -> bytes:
    """Encode an integer in groups of seven bits, the lowest first; negative ones as 64-bit two's complement."""
    value %= 1 << 64
    encoded: list[int] = []
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*encoded, value))
