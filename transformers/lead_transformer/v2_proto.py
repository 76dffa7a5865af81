"""V2 (Open Inference) over gRPC: protocol messages to our request, our answer to protocol messages."""

from __future__ import annotations

from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelInferRequest, ModelInferResponse

from lead_transformer.messages import Answer, ScoreRequest

__all__ = ["decode", "encode"]


def decode(message: ModelInferRequest) -> ScoreRequest:
    """Read a request whose tensors come as typed contents or as raw bytes.

    The model's name and version in the message are for the caller to check.

    Raises:
        InvalidLeads: contents that are not of the protocol's form (INVALID_ARGUMENT).
    """
    raise NotImplementedError


def encode(message: ModelInferRequest, request: ScoreRequest, answer: Answer) -> ModelInferResponse:
    """Return the response; its outputs are raw bytes if the inputs were, typed contents otherwise."""
    raise NotImplementedError
