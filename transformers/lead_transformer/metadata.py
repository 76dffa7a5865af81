"""What the server and the model say about themselves: enough to build a client from."""

from __future__ import annotations

from typing import Any

from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelMetadataResponse, ServerMetadataResponse

from lead_scoring.contract.types import Contract, Feature
from lead_scoring.core.assembly import ACCEPTED, MAX_ID_BYTES, PACKED
from lead_transformer.messages import MAX_LEADS, MAX_REASONS
from lead_transformer.outputs import BY_DEFAULT, OUTPUTS

__all__ = ["EXTENSIONS", "PLATFORM", "SERVER_NAME", "model", "model_proto", "server", "server_proto"]

SERVER_NAME = "lead-transformer"
PLATFORM = "lead-scoring-xgboost"
EXTENSIONS = ("binary_tensor_data", "parameters")


def server(*, version: str) -> dict[str, Any]:
    """Return the body of ``GET /v2``; `version` is the software's."""
    return {"name": SERVER_NAME, "version": version, "extensions": list(EXTENSIONS)}


def server_proto(*, version: str) -> ServerMetadataResponse:
    """Return the answer to ServerMetadata."""
    return ServerMetadataResponse(name=SERVER_NAME, version=version, extensions=EXTENSIONS)


def model(contract: Contract) -> dict[str, Any]:
    """Return the body of ``GET /v2/models/{name}``.

    `inputs` are the lead's id and one tensor per feature, `outputs` all that can be asked for. Beyond what V2 asks,
    each has `parameters` that say what it means; the model's own describe the packed form and the request's parameters.
    """
    return {
        "name": contract.model.name,
        "versions": [contract.model.version],
        "platform": PLATFORM,
        "inputs": [_id_input(contract), *map(_feature_input, contract.features)],
        "outputs": [_output(name, contract) for name in OUTPUTS],
        "parameters": {
            "description": contract.model.description,
            "target": contract.model.target,
            "max_leads": MAX_LEADS,
            "packed_input": {
                "name": PACKED,
                "datatype": "FP64",
                "accepted_datatypes": ["FP64", "FP32"],
                "shape": [-1, len(contract.features)],
                "order": [feature.name for feature in contract.features],
                "description": "All features in one tensor instead of one each: booleans as 0 and 1, categories as "
                "positions in `categories`, times as seconds since the epoch, NaN or null for missing.",
            },
            "request_parameters": _request_parameters(),
        },
    }


def model_proto(contract: Contract) -> ModelMetadataResponse:
    """Return the answer to ModelMetadata: the same tensors, which the protocol limits to name, datatype and shape."""
    described = model(contract)
    tensors = {
        side: [{key: tensor[key] for key in ("name", "datatype", "shape")} for tensor in described[side]]
        for side in ("inputs", "outputs")
    }
    return ModelMetadataResponse(
        name=described["name"], versions=described["versions"], platform=described["platform"], **tensors
    )


def _id_input(contract: Contract) -> dict[str, Any]:
    parameters = {
        "type": "id",
        "description": f"Identifies the lead: UTF-8, 1 to {MAX_ID_BYTES} bytes.",
        "required": True,
        "accepted_datatypes": ["BYTES"],
        "max_bytes": MAX_ID_BYTES,
    }
    return {"name": contract.id_field, "datatype": "BYTES", "shape": [-1], "parameters": parameters}


def _feature_input(feature: Feature) -> dict[str, Any]:
    accepted = ACCEPTED[feature.type]
    parameters: dict[str, Any] = {
        "type": feature.type,
        "description": feature.description,
        "unit": feature.unit,
        "required": not feature.nullable,
        "accepted_datatypes": list(accepted),
        "minimum": feature.minimum,
        "maximum": feature.maximum,
        "out_of_range": feature.out_of_range,
        "categories": feature.categories,
        "unknown_category": feature.unknown_category if feature.type == "category" else None,
        "missing_values": feature.missing_values or None,
        "personal": feature.personal or None,
    }
    return {
        "name": feature.name,
        "datatype": accepted[0],
        "shape": [-1],
        "parameters": {key: value for key, value in parameters.items() if value is not None and value != ""},
    }


def _output(name: str, contract: Contract) -> dict[str, Any]:
    output = OUTPUTS[name]
    maximum: float | None = output.maximum
    if name == "score":
        maximum = len(contract.buckets.edges) + 1
    elif name == "features_used":
        maximum = len(contract.features)
    parameters = {
        "description": output.description,
        "default": name in BY_DEFAULT,
        "minimum": output.minimum,
        "maximum": maximum,
    }
    return {
        "name": name,
        "datatype": output.datatype,
        "shape": [-1],
        "parameters": {key: value for key, value in parameters.items() if value is not None},
    }


def _request_parameters() -> dict[str, Any]:
    return {
        "explain": {"type": "boolean", "default": False, "description": "Add the output `reasons`."},
        "reasons": {
            "type": "integer",
            "minimum": 1,
            "maximum": MAX_REASONS,
            "default": 5,
            "description": "How many reasons per lead, at the most.",
        },
        "prediction_time": {"type": "boolean", "default": False, "description": "Add the output `prediction_time_ms`."},
        "as_of": {
            "type": "timestamp",
            "description": "Moment of scoring, against which times become days: RFC 3339 text or seconds since the "
            "epoch (whole ones over gRPC); now, if left out.",
        },
        "binary_data_output": {
            "type": "boolean",
            "default": False,
            "description": "REST: outputs as binary data unless they say otherwise.",
        },
    }
