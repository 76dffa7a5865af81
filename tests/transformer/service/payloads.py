"""The same leads as V1 records, V2 tensors over REST, and a V2 message over gRPC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from tests.support.small_model import AS_OF, FEATURES, records

__all__ = ["AS_OF", "INFER", "PREDICT", "infer_stub", "message", "records", "v1", "v2"]

INFER = "/v2/models/lead-scoring/infer"
PREDICT = "/v1/models/lead-scoring:predict"
_V2 = {"integer": "INT64", "number": "FP64", "boolean": "BOOL", "category": "BYTES", "timestamp": "BYTES"}
_CONTENTS = {"INT64": "int64_contents", "FP64": "fp64_contents", "BOOL": "bool_contents", "BYTES": "bytes_contents"}

Lead = dict[str, Any]


def v1(leads: Sequence[Lead], **parameters: Any) -> dict[str, Any]:
    return {"instances": list(leads), "parameters": {"as_of": AS_OF, **parameters}}


def v2(leads: Sequence[Lead], **parameters: Any) -> dict[str, Any]:
    inputs = [
        {"name": "lead_id", "datatype": "BYTES", "shape": [len(leads)], "data": [lead["lead_id"] for lead in leads]}
    ]
    for feature in FEATURES:
        values = [lead.get(feature.name) for lead in leads]
        inputs.append({"name": feature.name, "datatype": _V2[feature.type], "shape": [len(leads)], "data": values})
    return {"inputs": inputs, "parameters": {"as_of": AS_OF, **parameters}}


def message(leads: Sequence[Lead], **parameters: Any) -> Any:
    """Return a ModelInferRequest; gaps are NaN, empty text, or for booleans a float tensor with NaN."""
    tensors = [_tensor("lead_id", "BYTES", [str(lead["lead_id"]).encode() for lead in leads])]
    for feature in FEATURES:
        values = [lead.get(feature.name) for lead in leads]
        if feature.type in ("category", "timestamp"):
            tensors.append(
                _tensor(feature.name, "BYTES", [b"" if value is None else str(value).encode() for value in values])
            )
        else:
            tensors.append(_tensor(feature.name, "FP64", [float("nan") if v is None else float(v) for v in values]))
    found = {"as_of": pb.InferParameter(string_param=AS_OF)}
    for name, value in parameters.items():
        found[name] = (
            pb.InferParameter(bool_param=value) if isinstance(value, bool) else pb.InferParameter(int64_param=value)
        )
    return pb.ModelInferRequest(model_name="lead-scoring", inputs=tensors, parameters=found)


def infer_stub(channel: Any) -> Any:
    """Return ModelInfer on a (synchronous or asynchronous) channel."""
    return channel.unary_unary(
        "/inference.GRPCInferenceService/ModelInfer",
        request_serializer=pb.ModelInferRequest.SerializeToString,
        response_deserializer=pb.ModelInferResponse.FromString,
    )


def _tensor(name: str, datatype: str, values: list[Any]) -> Any:
    return pb.ModelInferRequest.InferInputTensor(
        name=name, datatype=datatype, shape=[len(values)], contents={_CONTENTS[datatype]: values}
    )
