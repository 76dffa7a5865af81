"""The gRPC door: the SDK's servicer with our answers, and the repository calls switched off."""

# ruff: noqa: N802, ARG002 (names and signatures are the protocol's)

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError, Message
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.servicer import InferenceServicer

from lead_scoring.errors import RequestError, StackError
from lead_transformer import error_bodies, metadata, v2_proto
from lead_transformer.calls import VARIANT_HEADER, Calls
from lead_transformer.lifecycle import Lifecycle
from lead_transformer.messages import ScoreRequest
from lead_transformer.service import Service

__all__ = ["RpcLimits", "RpcServer", "Servicer"]

_SERVICE = "inference.GRPCInferenceService"
_MAX_METADATA_BYTES = 16 * 1024


class Servicer(InferenceServicer):  # type: ignore[misc]
    """Answers the V2 protocol for one model version.

    Requests come as messages, or as None if they were none; those of ModelInfer as bytes, since it may have no time.
    """

    def __init__(
        self,
        service: Service,
        calls: Calls,
        lifecycle: Lifecycle,
        data_plane: Any,
        repository: Any,
        *,
        variant: str,
        software_version: str,
    ) -> None:
        """Prepare what never changes.

        Args:
            service: answers requests.
            calls: begins and ends them.
            lifecycle: tells readiness.
            data_plane: the SDK's.
            repository: the SDK's repository extension, never called.
            variant: for the trailing metadata.
            software_version: for the metadata.
        """
        super().__init__(data_plane, repository)
        self._service = service
        self._calls = calls
        self._lifecycle = lifecycle
        self._variant = variant
        self._model = service.contract.model
        self._server_metadata = metadata.server_proto(version=software_version)
        self._model_metadata = metadata.model_proto(service.contract)

    async def ServerLive(self, request: Any, context: Any) -> Any:
        """Say that the event loop runs."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: Any, context: Any) -> Any:
        """Say whether new requests should come here."""
        return pb.ServerReadyResponse(ready=self._lifecycle.ready)

    async def ModelReady(self, request: Any, context: Any) -> Any:
        """Say the same, for our model alone; NOT_FOUND for others."""
        await self._check_model(request, context)
        return pb.ModelReadyResponse(ready=self._lifecycle.ready)

    async def ServerMetadata(self, request: Any, context: Any) -> Any:
        """Say what the server is."""
        return self._server_metadata

    async def ModelMetadata(self, request: Any, context: Any) -> Any:
        """List the inputs and outputs; NOT_FOUND for other models."""
        await self._check_model(request, context)
        return self._model_metadata

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        """Score leads."""
        began = time.perf_counter()
        given = dict(context.invocation_metadata() or ())

        def header(name: str) -> str | None:
            value = given.get(name)
            return value if isinstance(value, str) else None

        call = self._calls.begin("v2-grpc", header, began=began, caller_allows_s=context.time_remaining())
        trailers = ((VARIANT_HEADER, self._variant), ("x-request-id", call.request_id))
        message: Any = None

        def decode() -> ScoreRequest:
            nonlocal message
            message = _parse_infer(request)
            if message is None:
                raise _not_a_message()
            if message.model_name != self._model.name or message.model_version not in ("", self._model.version):
                raise self._unknown()
            return v2_proto.decode(message)

        try:
            self._service.check(call)
            asked, answer = await self._service.score(call, decode)
            encoding = time.perf_counter()
            response = v2_proto.encode(message, asked, answer)
            call.stages.append(time.perf_counter() - encoding)
        except asyncio.CancelledError:
            self._calls.end_cancelled(call)
            raise
        except Exception as error:
            word = self._calls.note(error, call)
            code, message, more = error_bodies.to_grpc(error)
            self._calls.end(call, code.name, failed=code in _OURS, error=word)
            await context.abort(code, message, (*trailers, *more))
        context.set_trailing_metadata(trailers)
        self._calls.end(call, "OK")
        return response

    async def RepositoryModelLoad(self, request: Any, context: Any) -> Any:
        """Refuse: models are not loaded from outside."""
        await _refuse(context)

    async def RepositoryModelUnload(self, request: Any, context: Any) -> Any:
        """Refuse: models are not unloaded from outside."""
        await _refuse(context)

    async def _check_model(self, request: Any, context: Any) -> None:
        if request is None:
            await _abort(context, _not_a_message())
        if request.name != self._model.name or request.version not in ("", self._model.version):
            await _abort(context, self._unknown())

    def _unknown(self) -> RequestError:
        return RequestError(
            f"not found: this server has the model {self._model.name!r}, version {self._model.version!r}",
            status=404,
            reason="unknown_model",
        )


_OURS = frozenset(
    (
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    )
)


async def _refuse(context: Any) -> NoReturn:
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, "the model repository API is not served")
    raise AssertionError("unreachable: abort raises")


async def _abort(context: Any, error: RequestError) -> NoReturn:
    code, message, trailers = error_bodies.to_grpc(error)
    await context.abort(code, message, trailers)
    raise AssertionError("unreachable: abort raises")


def _not_a_message() -> RequestError:
    return RequestError(
        "expected a protocol buffer message of this method, got other bytes", reason="malformed_protobuf"
    )


@dataclass(frozen=True, slots=True)
class RpcLimits:
    """`message_bytes` of a request or answer; `streams`, requests at a time on one connection."""

    message_bytes: int
    streams: int


class RpcServer:
    """gRPC on one port."""

    def __init__(self, servicer: Servicer, *, address: str, limits: RpcLimits) -> None:
        """Bind the port; `port` is the one that was taken.

        Raises:
            StackError: the port can't be used.
        """
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", limits.message_bytes),
                ("grpc.max_send_message_length", max(limits.message_bytes, 4 * 1024 * 1024)),
                ("grpc.max_concurrent_streams", limits.streams),
                ("grpc.max_metadata_size", _MAX_METADATA_BYTES),
                ("grpc.absolute_max_metadata_size", _MAX_METADATA_BYTES),
                ("grpc.so_reuseport", 0),  # a taken port is an error, not a share of its traffic
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
                ("grpc.keepalive_permit_without_calls", 1),
            ]
        )
        self._server.add_generic_rpc_handlers((_handlers(servicer),))
        try:
            self.port: int = self._server.add_insecure_port(address)
        except RuntimeError:
            raise StackError(f"gRPC address {address} can't be used: is the port taken?") from None

    async def start(self) -> None:
        """Begin to answer."""
        await self._server.start()

    async def stop(self, grace_s: float) -> None:
        """Send callers away, and return when those that are being answered have their answer or `grace_s` is over."""
        await self._server.stop(grace_s)


def _handlers(servicer: Servicer) -> Any:
    """Return the methods with parsers that never raise: gRPC makes an internal error of a malformed message."""
    return grpc.method_handlers_generic_handler(
        _SERVICE,
        {
            name: grpc.unary_unary_rpc_method_handler(
                getattr(servicer, name),
                request_deserializer=None if request is None else _parser(request),
                response_serializer=response.SerializeToString,
            )
            for name, request, response in (
                ("ServerLive", pb.ServerLiveRequest, pb.ServerLiveResponse),
                ("ServerReady", pb.ServerReadyRequest, pb.ServerReadyResponse),
                ("ModelReady", pb.ModelReadyRequest, pb.ModelReadyResponse),
                ("ServerMetadata", pb.ServerMetadataRequest, pb.ServerMetadataResponse),
                ("ModelMetadata", pb.ModelMetadataRequest, pb.ModelMetadataResponse),
                ("ModelInfer", None, pb.ModelInferResponse),
                ("RepositoryModelLoad", pb.RepositoryModelLoadRequest, pb.RepositoryModelLoadResponse),
                ("RepositoryModelUnload", pb.RepositoryModelUnloadRequest, pb.RepositoryModelUnloadResponse),
            )
        },
    )


def _parser(kind: type[Message]) -> Callable[[bytes], Message | None]:
    def parse(data: bytes) -> Message | None:
        message = kind()
        try:
            message.ParseFromString(data)
        except (DecodeError, UnicodeDecodeError):
            return None
        return message

    return parse


_parse_infer = _parser(pb.ModelInferRequest)
