"""Whatever arrives is decoded or refused as the caller's fault: no other exception, and none of their text in ours."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelInferRequest
from lead_transformer import v1_json, v2_binary, v2_json, v2_proto
from lead_transformer.error_bodies import to_grpc, to_http
from lead_transformer.messages import ScoreRequest
from lead_transformer.outputs import OUTPUTS

from lead_scoring.core.features import encode
from lead_scoring.errors import InvalidLeads, RequestError
from tests.support.small_model import FEATURES, records
from tests.transformer.codecs.examples import (
    HEADER,
    PLAN,
    answer,
    assemble,
    raw_message,
    typed_message,
    v1_body,
    v2_binary_body,
    v2_document,
)

MARK = "Zq7Xw"
"""Part of every text that the fuzzer makes: found in an answer, it was quoted."""

FUZZ = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])

TEXT = st.text(max_size=6).map(lambda text: f"{MARK}{text}")
SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
ANYTHING = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=3))
NAMES = st.sampled_from([*(feature.name for feature in FEATURES), "lead_id", "features"])
DATATYPES = st.sampled_from([*v2_binary.DATATYPES, "fp64"])
SIZE = st.integers(-1, 3) | st.integers()


def maybe(right: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return right | right | right | ANYTHING


def object_of(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with the right keys, often with right values; some keys may be absent."""
    return st.fixed_dictionaries({}, optional={name: maybe(value) for name, value in fields.items()})


TENSOR = object_of(
    name=NAMES,
    datatype=DATATYPES,
    shape=st.lists(SIZE, max_size=3),
    data=st.lists(SCALAR | st.lists(SCALAR, max_size=8), max_size=3),
    parameters=object_of(binary_data_size=SIZE),
)
PARAMETERS = object_of(
    explain=st.booleans(),
    reasons=SIZE,
    prediction_time=st.booleans(),
    as_of=st.floats() | st.integers() | st.datetimes().map(str),
    binary_data_output=st.booleans(),
)
V2 = object_of(
    id=TEXT,
    inputs=st.lists(maybe(TENSOR), max_size=4),
    parameters=PARAMETERS,
    outputs=st.lists(
        maybe(object_of(name=st.sampled_from(list(OUTPUTS)), parameters=object_of(binary_data=st.booleans())))
    ),
)
V1 = object_of(instances=st.lists(maybe(st.dictionaries(NAMES, SCALAR, max_size=5)), max_size=3), parameters=PARAMETERS)


def serialise(document: Any) -> bytes:
    """Serialise what orjson can: lone surrogates and integers beyond 64 bits go as they would be sent by others."""
    try:
        return orjson.dumps(document)
    except TypeError:
        return json.dumps(document).encode("utf-8", "surrogatepass")


def expect_request_or_refusal(decode: Any, *arguments: Any) -> None:
    try:
        request: ScoreRequest = decode(*arguments)
        batch = assemble(request)
        encoded = encode(PLAN, batch.raw, 1.78e9, known_bad=batch.known_bad)
        batch.report.extend(encoded.findings)
        batch.report.raise_if_any(batch.layout)
    except RequestError as error:
        refusal: RequestError = error
    else:
        truth = answer(len(batch), reasons=True)
        for encoder in (v2_json.encode, v1_json.encode):
            assert encoder(request, truth)
        return
    status, _, body = to_http(refusal, "r")
    code, message, _ = to_grpc(refusal)
    assert status == 400
    assert MARK not in body.decode() + message
    assert code.name == "INVALID_ARGUMENT"
    assert isinstance(refusal, InvalidLeads)
    assert refusal.total >= len(refusal.problems) >= 1
    assert all(problem.path and problem.expected and problem.got and problem.remedy for problem in refusal.problems)


@FUZZ
@given(maybe(V2), st.none() | st.integers(-5, 400).map(str) | TEXT)
def test_any_v2_document(document: Any, header: str | None) -> None:
    body = serialise(document)
    expect_request_or_refusal(v2_json.decode, body, {} if header is None else {HEADER: header})


@FUZZ
@given(V2, st.binary(max_size=64))
def test_any_v2_document_with_bytes_after_it(document: Any, tail: bytes) -> None:
    text = serialise(document)
    expect_request_or_refusal(v2_json.decode, text + tail, {HEADER: str(len(text))})


@FUZZ
@given(maybe(V1))
def test_any_v1_document(document: Any) -> None:
    expect_request_or_refusal(v1_json.decode, serialise(document))


@FUZZ
@given(st.binary(max_size=200), st.text(max_size=12))
def test_any_bytes(body: bytes, header: str) -> None:
    expect_request_or_refusal(v2_json.decode, body, {HEADER: header})
    expect_request_or_refusal(v2_json.decode, body, {})
    expect_request_or_refusal(v1_json.decode, body)


LEADS = records(2, seed=9)
V2_BINARY, V2_HEADERS = v2_binary_body(LEADS, binary_data_output=True)
BODIES = [orjson.dumps(v2_document(LEADS)), V2_BINARY, v1_body(LEADS, explain=True)]
MESSAGES = [make(LEADS).SerializeToString() for make in (typed_message, raw_message)]


@st.composite
def damaged(draw: st.DrawFn, wholes: list[bytes]) -> bytes:
    """A sound body after a few accidents: bytes overwritten, cut out, doubled."""
    body = bytearray(draw(st.sampled_from(wholes)))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(body)))
        end = draw(st.integers(start, min(start + 40, len(body))))
        body[start:end] = draw(st.sampled_from([b"", bytes(body[start:end]) * 2]) | st.binary(max_size=8))
    return bytes(body)


def quotes_nothing(decode: Any, *arguments: Any) -> None:
    try:
        batch = assemble(decode(*arguments))
        batch.report.raise_if_any(batch.layout)
    except InvalidLeads as error:
        refusal: InvalidLeads = error
    else:
        return
    assert "lead-9-" not in to_http(refusal, "r")[2].decode() + to_grpc(refusal)[1]


@FUZZ
@given(damaged(BODIES))
@pytest.mark.parametrize("headers", [{}, V2_HEADERS])
def test_damaged_bodies(headers: dict[str, str], body: bytes) -> None:
    quotes_nothing(v2_json.decode, body, headers)
    quotes_nothing(v1_json.decode, body)


@FUZZ
@given(damaged(MESSAGES))
def test_damaged_messages(raw: bytes) -> None:
    message = ModelInferRequest()
    try:
        message.ParseFromString(raw)
    except Exception:  # gRPC itself refuses what is no message
        return
    quotes_nothing(v2_proto.decode, message)


PARAMETER = (
    st.just({})
    | st.fixed_dictionaries({"bool_param": st.booleans()})
    | st.fixed_dictionaries({"int64_param": st.integers(-(2**63), 2**63 - 1)})
    | st.fixed_dictionaries(
        {"string_param": st.text(st.characters(exclude_categories=["Cs"]), max_size=8).map(MARK.__add__)}
    )
)
INT64 = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 3)
CONTENTS = st.fixed_dictionaries(
    {},
    optional={
        "bool_contents": st.lists(st.booleans(), max_size=3),
        "int_contents": st.lists(st.integers(-(2**31), 2**31 - 1), max_size=3),
        "int64_contents": st.lists(INT64, max_size=3),
        "uint64_contents": st.lists(st.integers(0, 2**64 - 1), max_size=3),
        "fp32_contents": st.lists(st.floats(width=32), max_size=3),
        "fp64_contents": st.lists(st.floats(), max_size=16),
        "bytes_contents": st.lists(st.binary(max_size=8).map(MARK.encode().__add__), max_size=3),
    },
)
MESSAGE = st.fixed_dictionaries(
    {},
    optional={
        "id": st.text(st.characters(exclude_categories=["Cs"]), max_size=300),
        "inputs": st.lists(
            st.fixed_dictionaries(
                {"name": NAMES | st.just(MARK), "datatype": DATATYPES | st.just(MARK)},
                optional={"shape": st.lists(INT64, max_size=3), "contents": CONTENTS},
            ),
            max_size=4,
        ),
        "parameters": st.dictionaries(
            st.sampled_from(["explain", "reasons", "prediction_time", "as_of", MARK]), PARAMETER, max_size=4
        ),
        "outputs": st.lists(st.fixed_dictionaries({"name": st.sampled_from([*OUTPUTS, MARK])}), max_size=4),
        "raw_input_contents": st.lists(st.binary(max_size=64), max_size=4),
    },
)


@FUZZ
@given(MESSAGE)
def test_any_message(fields: dict[str, Any]) -> None:
    expect_request_or_refusal(v2_proto.decode, ModelInferRequest(**fields))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=8), st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
)
def test_answers_read_back_to_the_bit(probabilities: list[float], text: str) -> None:
    count = len(probabilities)
    truth = replace(answer(count), probability=np.array(probabilities), lead_ids=[text] * count)
    request = v2_json.decode(
        orjson.dumps({**v2_document(LEADS), "outputs": [{"name": "probability"}, {"name": "lead_id"}]}), {}
    )
    outputs = orjson.loads(v2_json.encode(request, truth)[0])["outputs"]
    assert np.array(outputs[0]["data"], dtype=float).tobytes() == truth.probability.tobytes()
    assert outputs[1]["data"] == [text] * count
    message = ModelInferRequest(
        outputs=[{"name": "probability"}], inputs=[{"name": "a", "datatype": "BYTES", "shape": [0]}]
    )
    response = v2_proto.encode(message, v2_proto.decode(message), truth)
    assert np.array(response.outputs[0].contents.fp64_contents).tobytes() == truth.probability.tobytes()
    predictions = orjson.loads(v1_json.encode(v1_json.decode(v1_body(LEADS)), truth))["predictions"]
    assert np.array([p["probability"] for p in predictions]).tobytes() == truth.probability.tobytes()
