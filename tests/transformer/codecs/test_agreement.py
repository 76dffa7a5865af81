"""However a lead is sent, the same raw matrix comes of it, to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelInferRequest
from lead_transformer import v1_json, v2_json, v2_proto
from lead_transformer.messages import ScoreRequest

from tests.support.small_model import records
from tests.transformer.codecs.examples import (
    assemble,
    binary_body,
    frame,
    raw_message,
    typed_message,
    v1_body,
    v2_binary_body,
    v2_document,
)


def named_json(leads: list[dict[str, Any]]) -> ScoreRequest:
    return v2_json.decode(orjson.dumps(v2_document(leads)), {})


def left_out_json(leads: list[dict[str, Any]]) -> ScoreRequest:
    """Tensors that are missing for every lead are not sent at all."""
    document = v2_document(leads)
    document["inputs"] = [item for item in document["inputs"] if any(value is not None for value in item["data"])]
    return v2_json.decode(orjson.dumps(document), {})


def column_json(leads: list[dict[str, Any]]) -> ScoreRequest:
    document = v2_document(leads)
    for item in document["inputs"]:
        item["shape"], item["data"] = [len(leads), 1], [[value] for value in item["data"]]
    return v2_json.decode(orjson.dumps(document), {})


def named_bytes(leads: list[dict[str, Any]]) -> ScoreRequest:
    return v2_json.decode(*v2_binary_body(leads))


def typed_grpc(leads: list[dict[str, Any]]) -> ScoreRequest:
    return v2_proto.decode(ModelInferRequest.FromString(typed_message(leads).SerializeToString()))


def raw_grpc(leads: list[dict[str, Any]]) -> ScoreRequest:
    return v2_proto.decode(ModelInferRequest.FromString(raw_message(leads).SerializeToString()))


def _packed(leads: list[dict[str, Any]]) -> tuple[list[str], np.ndarray[Any, Any]]:
    batch = assemble(v1_json.decode(v1_body(leads)))
    return [str(lead["lead_id"]) for lead in leads], batch.raw


def packed_json(leads: list[dict[str, Any]]) -> ScoreRequest:
    ids, matrix = _packed(leads)
    rows = [[None if np.isnan(value) else value for value in row] for row in matrix.tolist()]
    document = {
        "inputs": [
            {"name": "features", "datatype": "FP64", "shape": list(matrix.shape), "data": rows},
            {"name": "lead_id", "datatype": "BYTES", "shape": [len(ids)], "data": ids},
        ]
    }
    return v2_json.decode(orjson.dumps(document), {})


def packed_bytes(leads: list[dict[str, Any]]) -> ScoreRequest:
    ids, matrix = _packed(leads)
    body, headers = binary_body(
        [
            ("lead_id", "BYTES", [len(ids)], frame("BYTES", ids)),
            ("features", "FP64", list(matrix.shape), matrix.tobytes()),
        ]
    )
    return v2_json.decode(body, headers)


def packed_grpc(leads: list[dict[str, Any]]) -> ScoreRequest:
    ids, matrix = _packed(leads)
    message = ModelInferRequest(raw_input_contents=[frame("BYTES", ids), matrix.tobytes()])
    message.inputs.add(name="lead_id", datatype="BYTES", shape=[len(ids)])
    message.inputs.add(name="features", datatype="FP64", shape=matrix.shape)
    return v2_proto.decode(message)


WAYS = [
    named_json, left_out_json, column_json, named_bytes, typed_grpc, raw_grpc, packed_json, packed_bytes, packed_grpc,
]  # fmt: skip


def expect_agreement(way: Any, leads: list[dict[str, Any]]) -> None:
    expected = assemble(v1_json.decode(v1_body(leads)))
    got = assemble(way(leads))
    assert expected.report.total == 0
    assert got.report.total == 0
    assert got.lead_ids == expected.lead_ids
    assert np.array_equal(got.raw, expected.raw, equal_nan=True)
    gaps = np.isnan(expected.raw)  # which NaN it is has no meaning; every other value counts to the bit
    assert np.array_equal(np.where(gaps, 0, got.raw).view(np.int64), np.where(gaps, 0, expected.raw).view(np.int64))


@pytest.mark.parametrize("count", [1, 2, 500])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_agrees_with_v1(way: Any, count: int) -> None:
    expect_agreement(way, records(count, seed=count))


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
LEAD = st.fixed_dictionaries(
    {
        "lead_id": TEXT.filter(bool),
        "size": st.integers(-(2**53), 2**53),
        "industry": st.sampled_from(["saas", "retail", "other"]) | TEXT,
        "seniority": st.sampled_from(["junior", "chief"]) | TEXT | st.none(),
        "region": TEXT | st.none(),
        "engagement": st.floats(allow_nan=False, allow_infinity=False) | st.none(),
        "revenue": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53) | st.none(),
        "customer": st.booleans() | st.none(),
        "last_seen": st.datetimes().map(lambda moment: moment.isoformat() + "Z") | st.none(),
    }
)


@settings(max_examples=40, deadline=None)
@given(st.lists(LEAD, min_size=1, max_size=4))
@pytest.mark.parametrize("way", WAYS)
def test_every_way_agrees_with_v1_on_any_lead(way: Any, leads: list[dict[str, Any]]) -> None:
    expect_agreement(way, leads)
