"""The model server over V2 gRPC on loopback, with the matrix as one frame of bytes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
from kserve.protocol.grpc.grpc_predict_v2_pb2 import (
    ModelInferRequest,
    ModelInferResponse,
    ModelMetadataRequest,
    ModelMetadataResponse,
)
from numpy.typing import NDArray

from lead_scoring.errors import DeadlineExceeded, ServiceError
from lead_transformer.predictor import Prediction, PredictorFault, PredictorIdentity, checked

__all__ = ["GrpcPredictor"]

_SERVICE = "/inference.GRPCInferenceService/"
_NO_CONNECTION = "failed to connect"  # how gRPC's own words begin when a request never left this process
_RECONNECT_S = 0.15
_MAX_MESSAGE_BYTES = 64 * 1024 * 1024

_OPTIONS = [
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.enable_retries", 0),  # one layer retries, and it is this module
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),  # loopback, whatever the environment says
]

Tensors = list[ModelInferRequest.InferRequestedOutputTensor]


class GrpcPredictor:
    """A `Predictor` that sends little-endian float32 frames (`docs/predictor.md`) and gets frames back."""

    def __init__(self, target: str, *, name: str, version: str, retried: Callable[[], None] | None = None) -> None:
        """Open a channel, which connects on first use. Needs a running event loop.

        Args:
            target: ``host:port``.
            name: of the model.
            version: of the model; an answer from another one is refused.
            retried: told of every retry.
        """
        self._channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
        self._infer = self._channel.unary_unary(
            _SERVICE + "ModelInfer",
            request_serializer=ModelInferRequest.SerializeToString,
            response_deserializer=ModelInferResponse.FromString,
        )
        self._metadata = self._channel.unary_unary(
            _SERVICE + "ModelMetadata",
            request_serializer=ModelMetadataRequest.SerializeToString,
            response_deserializer=ModelMetadataResponse.FromString,
        )
        self._name = name
        self._version = version
        self._retried = retried or (lambda: None)
        output = ModelInferRequest.InferRequestedOutputTensor
        self._plain: Tensors = [output(name="margin")]
        self._explained: Tensors = [output(name="margin"), output(name="contributions")]

    async def predict(
        self, matrix: NDArray[np.float32], *, explain: bool, timeout_s: float, traceparent: str | None
    ) -> Prediction:
        """Return margins, and contributions if `explain`, as `Predictor.predict` says."""
        leads, width = matrix.shape
        request = ModelInferRequest(
            model_name=self._name,
            inputs=[
                ModelInferRequest.InferInputTensor(
                    name="features",
                    datatype="BYTES",
                    shape=(1,),
                    contents={"bytes_contents": [np.ascontiguousarray(matrix, "<f4").tobytes()]},
                )
            ],
            outputs=self._explained if explain else self._plain,
        )
        metadata = None if traceparent is None else (("traceparent", traceparent),)
        response: ModelInferResponse = await self._call(self._infer, request, timeout_s, metadata)
        if response.model_version and response.model_version != self._version:
            raise PredictorFault("the model server answered with another version", kind="wrong_model")
        frames = {output.name: _frame(output.contents.bytes_contents) for output in response.outputs}
        margin = frames.get("margin")
        if margin is None:
            raise PredictorFault("the model server's answer can't be used", kind="malformed")
        return checked(margin, frames.get("contributions"), leads=leads, width=width, explain=explain)

    async def identify(self, *, timeout_s: float) -> PredictorIdentity:
        """Return what the server's metadata say, as `Predictor.identify` says."""
        found: ModelMetadataResponse = await self._call(
            self._metadata, ModelMetadataRequest(name=self._name), timeout_s, None
        )
        return PredictorIdentity(found.name, tuple(found.versions), _tensors(found.inputs), _tensors(found.outputs))

    async def close(self) -> None:
        """Close the channel; calls that still run are cancelled."""
        await self._channel.close()

    async def _call(self, method: Any, request: Any, timeout_s: float, metadata: Any) -> Any:
        """Call with a deadline; once more if there was no connection, for as long as a connection usually takes."""
        began = time.perf_counter()
        try:
            return await method(request, timeout=timeout_s, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            if not _never_left(error):
                raise _fault(error) from None
        left_s = timeout_s - (time.perf_counter() - began)
        if left_s <= 0:
            raise DeadlineExceeded("the time allowed for this request ran out")
        self._retried()
        try:
            return await method(request, timeout=min(left_s, _RECONNECT_S), metadata=metadata, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and left_s > _RECONNECT_S:
                raise PredictorFault("the model server is away", kind="away") from None
            raise _fault(error) from None


def _never_left(error: grpc.aio.AioRpcError) -> bool:
    return error.code() is grpc.StatusCode.UNAVAILABLE and (error.details() or "").startswith(_NO_CONNECTION)


def _fault(error: grpc.aio.AioRpcError) -> ServiceError:
    """Say what a failed call means; the server's own words may quote a request and stay out of it."""
    code = error.code()
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded("the time allowed for this request ran out")
    if code is grpc.StatusCode.UNAVAILABLE:
        return PredictorFault("the model server is away", kind="away")
    return PredictorFault("the model server refused the request", kind=f"status_{code.name.lower()}")


def _frame(elements: Any) -> NDArray[np.float32] | None:
    if len(elements) != 1 or len(elements[0]) % 4:
        return None
    return np.frombuffer(elements[0], dtype="<f4")


def _tensors(found: Any) -> tuple[tuple[str, str, tuple[int, ...]], ...]:
    return tuple((tensor.name, tensor.datatype, tuple(tensor.shape)) for tensor in found)
