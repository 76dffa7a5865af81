"""What the server and the model say about themselves: enough to build a client from."""

from __future__ import annotations

from typing import Any

from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelMetadataResponse, ServerMetadataResponse

from lead_scoring.contract.types import Contract

__all__ = ["model", "model_proto", "server", "server_proto"]


def server(*, version: str) -> dict[str, Any]:
    """Return the body of ``GET /v2``; `version` is the software's."""
    raise NotImplementedError


def server_proto(*, version: str) -> ServerMetadataResponse:
    """Return the answer to ServerMetadata."""
    raise NotImplementedError


def model(contract: Contract) -> dict[str, Any]:
    """Return the body of ``GET /v2/models/{name}``: every input and output with name, datatype, shape and what it means."""
    raise NotImplementedError


def model_proto(contract: Contract) -> ModelMetadataResponse:
    """Return the answer to ModelMetadata: the same inputs and outputs, which the protocol limits to name, datatype and shape."""
    raise NotImplementedError
