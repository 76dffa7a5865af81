from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lead_transformer import v2_binary
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor, triton_to_np_dtype


@pytest.mark.parametrize("datatype", [name for name in v2_binary.DATATYPES if name not in ("BYTES", "BF16")])
def test_numbers_are_as_another_implementation_writes_them(datatype: str) -> None:
    values = np.array([0, 1, 1], dtype=triton_to_np_dtype(datatype))
    assert np.array_equal(v2_binary.decode(datatype, [3], values.tobytes()), values)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=20))
def test_texts_are_as_another_implementation_writes_them(texts: list[str]) -> None:
    encoded = v2_binary.encode(texts)
    raw = [text.encode() for text in texts]
    assert v2_binary.decode("BYTES", [len(texts)], encoded) == raw
    if texts:
        assert encoded == serialize_byte_tensor(np.array(raw, dtype=object)).item()
        assert list(deserialize_bytes_tensor(encoded)) == raw


@given(st.lists(st.floats(), max_size=20))
def test_floats_keep_every_bit(values: list[float]) -> None:
    column = np.array(values)
    decoded = v2_binary.decode("FP64", [len(values)], v2_binary.encode(column))
    assert np.asarray(decoded).tobytes() == column.tobytes()


def test_writes_little_endian_whatever_the_array() -> None:
    assert v2_binary.encode(np.array([1], dtype=">i4")) == b"\1\0\0\0"
    assert v2_binary.encode(np.arange(6, dtype=np.int32)[::2]) == b"\0\0\0\0\2\0\0\0\4\0\0\0"


@given(
    st.sampled_from([*v2_binary.DATATYPES, "", "FP8"]),
    st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 4), min_size=1, max_size=8),
    st.binary(max_size=64),
)
def test_any_bytes_are_either_a_tensor_of_the_shape_or_refused(datatype: str, shape: list[int], raw: bytes) -> None:
    try:
        data = v2_binary.decode(datatype, shape, raw)
    except v2_binary.TensorError:
        return
    assert min(shape) < 0 or len(data) == np.prod(shape, dtype=object)
