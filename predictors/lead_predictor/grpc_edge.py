"""The gRPC door: the six inference methods and no other, messages converted without unpacking tensors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import numpy as np
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from mlserver.errors import InferenceError, MLServerError
from mlserver.grpc import dataplane_pb2 as pb
from mlserver.grpc.converters import ModelMetadataResponseConverter
from mlserver.grpc.server import GRPCServer
from mlserver.grpc.servicers import InferenceServicer
from mlserver.types import InferenceRequest, InferenceResponse, RequestInput, RequestOutput, TensorData

from lead_predictor import tensors
from lead_predictor.lifecycle import Lifecycle, NotServing
from lead_predictor.worker import Busy

__all__ = ["GrpcEdge", "request_of", "response_of"]

_Method = Callable[[Any, Any], Awaitable[Any]]
_SERVICE = "inference.GRPCInferenceService"
_LOGGER = logging.getLogger("lead_predictor.grpc")
_STATUS = {400: grpc.StatusCode.INVALID_ARGUMENT, 404: grpc.StatusCode.NOT_FOUND}


def request_of(message: pb.ModelInferRequest) -> InferenceRequest:
    """Convert a request; frames and raw FP32 tensors stay the bytes that came.

    Raises:
        InferenceError: raw contents don't go with the inputs.
    """
    raw = message.raw_input_contents
    if raw and len(raw) != len(message.inputs):
        raise InferenceError(
            f"$.raw_input_contents: expected one for each of {len(message.inputs)} inputs, got {len(raw)}"
        )
    inputs = []
    for position, tensor in enumerate(message.inputs):
        data: Any = []
        if raw:
            if tensor.HasField("contents"):
                raise InferenceError(
                    f"$.inputs[{position}]: expected raw or typed contents, got both; send one of them"
                )
            data = _from_raw(tensor.datatype, raw[position])
        elif tensor.datatype == "FP32":
            data = list(tensor.contents.fp32_contents)
        elif tensor.datatype == "BYTES":
            data = list(tensor.contents.bytes_contents)
        inputs.append(
            RequestInput.model_construct(
                name=tensor.name, shape=list(tensor.shape), datatype=tensor.datatype, parameters=None,
                data=TensorData.model_construct(root=data),
            )
        )  # fmt: skip
    outputs = [RequestOutput.model_construct(name=output.name, parameters=None) for output in message.outputs]
    return InferenceRequest.model_construct(id=message.id, parameters=None, inputs=inputs, outputs=outputs)


def response_of(response: InferenceResponse, *, raw: bool) -> pb.ModelInferResponse:
    """Convert an answer; `raw` puts every tensor into `raw_output_contents`."""
    message = pb.ModelInferResponse(
        model_name=response.model_name, model_version=response.model_version or "", id=response.id or ""
    )
    for output in response.outputs:
        data: Any = output.data.root
        datatype = str(output.datatype)
        tensor = message.outputs.add(name=output.name, datatype=datatype, shape=output.shape)
        if raw:
            array = isinstance(data, np.ndarray)
            message.raw_output_contents.append(
                data.astype("<f4", copy=False).tobytes() if array else tensors.to_prefixed(data[0])
            )
        elif datatype == "BYTES":
            tensor.contents.bytes_contents.extend(data)
        else:
            tensor.contents.fp32_contents.extend(data)
    return message


def _from_raw(datatype: str, raw: bytes) -> Any:
    if datatype == "BYTES":
        return tensors.from_prefixed(raw)
    if datatype != "FP32":
        return []  # whatever it is, the runtime refuses it
    if len(raw) % 4:
        raise InferenceError(
            f"$.raw_input_contents[0]: expected float32 values, got {len(raw)} bytes; send four bytes a value"
        )
    return np.frombuffer(raw, dtype="<f4")


class _Servicer(InferenceServicer):
    """MLServer's servicer for one model, with converters that leave tensors alone."""

    lifecycle: Lifecycle

    async def ServerReady(self, _request: pb.ServerReadyRequest, _context: Any) -> pb.ServerReadyResponse:  # noqa: N802
        return pb.ServerReadyResponse(ready=self.lifecycle.ready)

    async def ModelReady(self, request: pb.ModelReadyRequest, _context: Any) -> pb.ModelReadyResponse:  # noqa: N802
        self.lifecycle.check_model(request.name, request.version)
        return pb.ModelReadyResponse(ready=self.lifecycle.ready)

    async def ModelMetadata(self, request: pb.ModelMetadataRequest, _context: Any) -> pb.ModelMetadataResponse:  # noqa: N802
        self.lifecycle.check_model(request.name, request.version)
        self.lifecycle.check_serving()
        return ModelMetadataResponseConverter.from_types(await self._data_plane.model_metadata(self.lifecycle.name))

    async def ModelInfer(self, request: pb.ModelInferRequest, _context: Any) -> pb.ModelInferResponse:  # noqa: N802
        self.lifecycle.check_model(request.model_name, request.model_version)
        self.lifecycle.check_serving()
        raw = bool(request.raw_input_contents)
        answer = await self._data_plane.infer(request_of(request), self.lifecycle.name, self.lifecycle.version)
        return response_of(answer, raw=raw)


class GrpcEdge(GRPCServer):
    """MLServer's gRPC server without the repository API, streaming and reflection: those methods are UNIMPLEMENTED."""

    lifecycle: Lifecycle
    drain_s: float

    def listen(self) -> int:
        """Bind the port and return it.

        Raises:
            RuntimeError: the port is taken or the host is not one of this machine.
        """
        servicer = _Servicer(self._data_plane, self._model_repository_handlers)
        servicer.lifecycle = self.lifecycle
        methods: dict[str, tuple[_Method, Any]] = {
            "ServerLive": (servicer.ServerLive, pb.ServerLiveRequest),
            "ServerReady": (servicer.ServerReady, pb.ServerReadyRequest),
            "ServerMetadata": (servicer.ServerMetadata, pb.ServerMetadataRequest),
            "ModelReady": (servicer.ModelReady, pb.ModelReadyRequest),
            "ModelMetadata": (servicer.ModelMetadata, pb.ModelMetadataRequest),
            "ModelInfer": (servicer.ModelInfer, pb.ModelInferRequest),
        }
        # Without so_reuseport=0 a second predictor would bind the same port in silence and take half of the calls.
        self._server = grpc.aio.server(options=[*self._get_options(), ("grpc.so_reuseport", 0)])
        unary: Any = grpc.unary_unary_rpc_method_handler
        generic: Any = grpc.method_handlers_generic_handler
        handlers = {name: unary(_served(method, kind)) for name, (method, kind) in methods.items()}
        self._server.add_generic_rpc_handlers((generic(_SERVICE, handlers),))
        port: int = self._server.add_insecure_port(_address(self._settings.host, self._settings.grpc_port))
        return port

    async def start(self) -> None:
        """Answer calls; returns at once."""
        await self._server.start()

    async def stop(self, _sig: int | None = None) -> None:
        """Refuse new calls (UNAVAILABLE) and wait up to `drain_s` for those that run."""
        await self._server.stop(grace=self.drain_s)


def _served(method: _Method, kind: Any) -> Callable[[bytes, Any], Awaitable[bytes]]:
    """Wrap a method: bytes in, so that garbage is the sender's fault; bytes out; statuses tell nothing internal."""

    async def serve(data: bytes, context: Any) -> bytes:
        try:
            answer: bytes = (await method(kind.FromString(data), context)).SerializeToString()
            return answer
        except asyncio.CancelledError:
            raise
        except DecodeError:
            code, details = grpc.StatusCode.INVALID_ARGUMENT, "the message is none of the V2 inference protocol"
        except Busy as error:
            code, details = grpc.StatusCode.RESOURCE_EXHAUSTED, str(error)
        except NotServing as error:
            code, details = grpc.StatusCode.UNAVAILABLE, str(error)
        except MLServerError as error:
            code, details = _STATUS.get(error.status_code, grpc.StatusCode.INTERNAL), str(error)
        except Exception:
            _LOGGER.exception("a call failed")
            code, details = grpc.StatusCode.INTERNAL, "internal error"
        await context.abort(code, details)
        raise AssertionError("unreachable: abort raises")

    return serve


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
