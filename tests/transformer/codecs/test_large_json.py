"""A large body says the same as a small one: what simdjson reads is what orjson would have read."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lead_transformer import large_json, v2_json

from lead_scoring.errors import InvalidLeads

NUMBERS = st.one_of(st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False), st.just(-0.0))
ODD = st.one_of(NUMBERS, st.none(), st.booleans(), st.text(max_size=3), st.lists(st.integers(0, 9), max_size=2))
DATATYPES = st.sampled_from(["FP64", "FP32", "INT64", "UINT8", "BOOL", "BYTES", "FP16", "?"])
PARAMETERS = st.dictionaries(st.sampled_from(["explain", "as_of", "binary_data_size"]), st.integers(0, 5), max_size=2)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """V2 bodies, most of them sound, some odd in one place."""
    inputs = []
    for _ in range(draw(st.integers(0, 4))):
        data = draw(st.lists(draw(st.sampled_from([NUMBERS, NUMBERS, ODD])), max_size=6))
        tensor: dict[str, Any] = {
            "name": draw(st.text(max_size=4)),
            "datatype": draw(DATATYPES),
            "shape": [len(data)],
            "data": data,
        }
        if draw(st.integers(0, 4)) == 0:
            tensor["parameters"] = draw(PARAMETERS)
        inputs.append(tensor)
    document: dict[str, Any] = {"id": draw(st.text(max_size=3)), "inputs": inputs}
    if draw(st.booleans()):
        document["outputs"] = [{"name": "score"}]
    if draw(st.integers(0, 3)) == 0:
        document["parameters"] = draw(PARAMETERS)
    return json.dumps(document, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")


def same(one: Any, other: Any) -> bool:
    """Whether two parsed values are equal, lists of numbers taken for the float64 arrays that they become."""
    if isinstance(one, np.ndarray):
        return np.array_equal(one.view(np.int64), np.array(other, dtype=np.float64).view(np.int64))
    if isinstance(one, dict):
        return type(other) is dict and one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return type(other) is list and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(one == other)


@given(bodies())
def test_both_parsers_read_the_same(body: bytes) -> None:
    found = large_json.parse(body)
    if found is not None:
        assert same(found, orjson.loads(body))


@given(bodies(), st.data())
def test_no_damage_is_read_where_orjson_refuses(body: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(body) - 1))
    damaged = body[:at] + data.draw(st.binary(max_size=3)) + body[at + data.draw(st.integers(0, 2)) :]
    found = large_json.parse(damaged)
    if found is not None:
        assert same(found, orjson.loads(damaged))


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputs": [{"name": "a", "datatype": "FP64", "shape": [3], "data": [1, [2], 3]}]}',
        b'{"inputs": [{"name": "a", "datatype": "FP64", "shape": [2, 1], "data": [[1], [2]]}]}',
        b'{"inputs": [{"name": "a", "datatype": "FP64", "shape": [1], "data": [1], "data": [2]}]}',
        b'{"inputs": [], "inputs": []}',
        b'{"inputs": [], "parameters": {"explain": true, "explain": false}}',
        b'{"inputs": [{"name": "[", "datatype": "FP64", "shape": [1], "data": [1]}]}',
        b'{"inputs": [1, 2]}',
        b"[1, 2]",
        b'{"inputs": [NaN]}',
        b"",
        b"\xff",
    ],
)
def test_what_is_out_of_the_ordinary_is_left_to_orjson(body: bytes) -> None:
    assert large_json.parse(body) is None


def test_a_large_body_goes_into_arrays() -> None:
    data = list(range(5000))
    body = orjson.dumps({"inputs": [{"name": "a", "datatype": "FP64", "shape": [5000], "data": data}]})
    assert len(body) >= large_json.LARGE_BYTES
    request = v2_json.decode(body, {})
    assert request.tensors is not None
    assert isinstance(request.tensors[0].data, np.ndarray)
    assert request.tensors[0].data.tolist() == data


def test_a_large_body_with_a_key_twice_is_refused_as_a_small_one_is() -> None:
    small = b'{"inputs": [{"name": "a", "name": "b", "datatype": "FP64", "shape": [%d], "data": [%s]}]}'
    refusals = []
    for count in (1, 5000):
        with pytest.raises(InvalidLeads) as caught:
            v2_json.decode(small % (count, b",".join([b"1"] * count)), {})
        refusals.append([(problem.path, problem.reason) for problem in caught.value.problems])
    assert refusals[0] == refusals[1]
