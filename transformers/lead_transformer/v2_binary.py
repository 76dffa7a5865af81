"""Tensors as bytes: little-endian numbers in row-major order; every text after its length in 4 bytes.

The same layout follows the JSON of a REST body and fills ``raw_input_contents`` and ``raw_output_contents`` over gRPC.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lead_transformer.outputs import Column

__all__ = ["DATATYPES", "TensorError", "decode", "encode"]

_DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("u1"),  # not bool: a byte other than 0 and 1 has to be seen and refused
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),  # no input accepts it; the width lets the datatype be refused, and not the length
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
DATATYPES = (*_DTYPES, "BYTES")
"""Every datatype of the protocol."""

_LENGTH = struct.Struct("<I")


class TensorError(ValueError):
    """Bytes that are not the tensor they are said to be."""

    def __init__(self, reason: str, expected: str, got: str) -> None:
        super().__init__(f"expected {expected}, got {got}")
        self.reason = reason
        self.expected = expected
        self.got = got


def decode(datatype: str, shape: Sequence[int], raw: bytes | memoryview) -> NDArray[Any] | list[bytes]:
    """Return a tensor's values, flat; numbers are a read-only view of `raw`.

    Raises:
        TensorError: not a datatype of the protocol, or bytes that don't add up to the shape.
    """
    if min(shape, default=0) < 0:
        return []  # the shape is refused by the assembly, whatever the data
    count = math.prod(shape)
    if datatype == "BYTES":
        return _texts(count, bytes(raw))
    dtype = _DTYPES.get(datatype)
    if dtype is None:
        raise TensorError("wrong_datatype", "one of " + ", ".join(DATATYPES), "another datatype")
    if len(raw) != count * dtype.itemsize:
        raise TensorError(
            "wrong_length", f"{count * dtype.itemsize} bytes, as shape and datatype say", f"{len(raw)} bytes"
        )
    values: NDArray[Any] = np.frombuffer(raw, dtype=dtype)
    return values


def encode(column: Column) -> bytes:
    """Return the bytes of an output."""
    if isinstance(column, list):
        # Most outputs of text repeat one: every different text is encoded once.
        elements = {text: _LENGTH.pack(len(raw)) + raw for text, raw in ((text, text.encode()) for text in set(column))}
        return b"".join(map(elements.__getitem__, column))
    return column.astype(column.dtype.newbyteorder("<"), copy=False).tobytes()


def _texts(count: int, raw: bytes) -> list[bytes]:
    end, offset = len(raw), 0
    texts: list[bytes] = []
    unpack = _LENGTH.unpack_from
    for _ in range(count):
        start = offset + _LENGTH.size
        if start > end:
            break
        offset = start + unpack(raw, offset)[0]
        texts.append(raw[start:offset])
    if len(texts) != count or offset != end:
        expected = f"{count} texts in {end} bytes, each after its length in 4 bytes"
        raise TensorError("wrong_length", expected, "lengths that say otherwise")
    return texts
