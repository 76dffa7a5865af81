"""Leads, requests and answers that the codec tests share, each in the forms of all protocols."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelInferRequest
from lead_transformer import v2_binary
from lead_transformer.messages import Answer, ScoreRequest

from lead_scoring.core.assembly import Batch, from_records, from_tensors
from lead_scoring.core.explanation import Reason
from lead_scoring.core.plan import FeaturePlan
from tests.support.small_model import FEATURES

PLAN = FeaturePlan(tuple(FEATURES), "lead_id")
HEADER = "inference-header-content-length"
CONTENTS = {"INT64": "int64_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents", "BOOL": "bool_contents"}


def assemble(request: ScoreRequest) -> Batch:
    """Do what the service does next with a decoded request."""
    if request.tensors is not None:
        return from_tensors(PLAN, request.tensors, max_leads=500)
    return from_records(PLAN, request.records, max_leads=500)


def columns(records: Sequence[dict[str, Any]]) -> list[tuple[str, str, list[Any]]]:
    """Return (name, datatype, values with None for missing) per input, the id first; gaps as bytes can tell them."""
    found = [("lead_id", "BYTES", [record["lead_id"] for record in records])]
    for feature in FEATURES:
        values = [record.get(feature.name) for record in records]
        if feature.type in ("category", "timestamp"):
            found.append((feature.name, "BYTES", values))
        elif feature.type == "number" or None in values:
            found.append((feature.name, "FP64", [float(v) if v is not None else None for v in values]))
        elif feature.type == "boolean":
            found.append((feature.name, "BOOL", values))
        else:
            found.append((feature.name, "INT64", values))
    return found


def v1_body(records: Sequence[dict[str, Any]], **parameters: Any) -> bytes:
    return orjson.dumps({"instances": records, **({"parameters": parameters} if parameters else {})})


def v2_document(records: Sequence[dict[str, Any]], **parameters: Any) -> dict[str, Any]:
    inputs = [
        {"name": name, "datatype": datatype, "shape": [len(values)], "data": values}
        for name, datatype, values in columns(records)
    ]
    return {"inputs": inputs, **({"parameters": parameters} if parameters else {})}


def filled(datatype: str, values: Sequence[Any]) -> list[Any]:
    """Replace gaps by what stands for them outside JSON: empty text, NaN."""
    gap = "" if datatype == "BYTES" else math.nan
    return [gap if value is None else value for value in values]


def frame(datatype: str, values: Sequence[Any]) -> bytes:
    dtypes = {"INT64": "<i8", "FP64": "<f8", "BOOL": "u1"}
    values = filled(datatype, values)
    return v2_binary.encode(values) if datatype == "BYTES" else np.array(values, dtype=dtypes[datatype]).tobytes()


def binary_body(
    tensors: Sequence[tuple[str, str, list[int], bytes]], **parameters: Any
) -> tuple[bytes, dict[str, str]]:
    """Return a REST body with all tensors as bytes, and its headers."""
    inputs = [
        {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(raw)}}
        for name, datatype, shape, raw in tensors
    ]
    text = orjson.dumps({"inputs": inputs, **({"parameters": parameters} if parameters else {})})
    return b"".join([text, *(raw for *_, raw in tensors)]), {HEADER: str(len(text))}


def v2_binary_body(records: Sequence[dict[str, Any]], **parameters: Any) -> tuple[bytes, dict[str, str]]:
    tensors = [(name, datatype, [len(values)], frame(datatype, values)) for name, datatype, values in columns(records)]
    return binary_body(tensors, **parameters)


def typed_message(records: Sequence[dict[str, Any]]) -> ModelInferRequest:
    message = ModelInferRequest(model_name="lead-scoring")
    for name, datatype, values in columns(records):
        contents = filled(datatype, values)
        if datatype == "BYTES":
            contents = [value.encode() for value in contents]
        message.inputs.add(name=name, datatype=datatype, shape=[len(values)], contents={CONTENTS[datatype]: contents})
    return message


def raw_message(records: Sequence[dict[str, Any]]) -> ModelInferRequest:
    message = ModelInferRequest(model_name="lead-scoring")
    for name, datatype, values in columns(records):
        message.inputs.add(name=name, datatype=datatype, shape=[len(values)])
        message.raw_input_contents.append(frame(datatype, values))
    return message


def answer(count: int, *, seed: int = 0, reasons: bool = False) -> Answer:
    rng = np.random.default_rng(seed)
    why = [(Reason("revenue", float(rng.normal())), Reason("size", -0.1)) for _ in range(count)]
    return Answer(
        lead_ids=[f"lead é {row}" for row in range(count)],
        score=rng.integers(1, 6, count).astype(np.int32),
        probability=rng.random(count),
        confidence=rng.random(count),
        features_used=rng.integers(0, 9, count).astype(np.int32),
        model_name="lead-scoring",
        model_version="7",
        variant="v7-canary",
        request_id="request-1",
        timestamp="2026-11-21T10:00:00.123Z",
        processing_time_ms=12.34567,
        prediction_time_ms=0.1,
        reasons=why if reasons else None,
    )
