"""Upstreams that say what reached them: small real REST and gRPC servers where a transformer would be."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from aiohttp import web
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import (
    GRPCInferenceServiceServicer,
    add_GRPCInferenceServiceServicer_to_server,
)

from lead_scoring.local.ports import free_ports


@dataclass
class Echo:
    """One variant's servers and what they received."""

    variant: str
    rest_port: int = 0
    grpc_port: int = 0
    ready: bool = True
    delay_s: float = 0.0
    received: list[dict[str, str]] = field(default_factory=list)
    """Headers of inference requests, repeated ones joined by commas, with `:path`, `:body-bytes` and `host`."""

    async def rest(self, request: web.Request) -> web.Response:
        if request.path == "/v2/health/ready":
            return web.json_response({"ready": self.ready}, status=200 if self.ready else 503)
        body = await request.read()
        self.received.append(
            {
                **{name.lower(): ",".join(request.headers.getall(name)) for name in request.headers},
                ":path": request.path,
                ":body-bytes": str(len(body)),
            }
        )
        await asyncio.sleep(self.delay_s)
        return web.json_response({"variant": self.variant}, headers={"server": "echo/1.0"})


class _Servicer(GRPCInferenceServiceServicer):  # type: ignore[misc]
    def __init__(self, echo: Echo) -> None:
        self._echo = echo

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        metadata: dict[str, str] = {}
        for name, value in context.invocation_metadata():
            metadata[name] = f"{metadata[name]},{value}" if name in metadata else str(value)
        self._echo.received.append({**metadata, ":path": "ModelInfer", ":body-bytes": str(request.ByteSize())})
        await asyncio.sleep(self._echo.delay_s)
        return pb.ModelInferResponse(model_name=request.model_name, model_version=self._echo.variant)

    async def ServerLive(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        return pb.ServerLiveResponse(live=True)

    async def RepositoryModelUnload(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        self._echo.received.append({":path": "RepositoryModelUnload"})
        return pb.RepositoryModelUnloadResponse(model_name=request.model_name)


async def _serve(echoes: list[Echo], started: threading.Event, ended: asyncio.Event) -> None:
    runners, servers = [], []
    for echo in echoes:
        echo.rest_port, echo.grpc_port = free_ports(2)
        application = web.Application(client_max_size=64 * 1024 * 1024)
        application.router.add_route("*", "/{path:.*}", echo.rest)
        runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=5)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", echo.rest_port).start()
        runners.append(runner)
        server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
        add_GRPCInferenceServiceServicer_to_server(_Servicer(echo), server)
        server.add_insecure_port(f"127.0.0.1:{echo.grpc_port}")
        await server.start()
        servers.append(server)
    started.set()
    await ended.wait()
    for server in servers:
        await server.stop(None)
    for runner in runners:
        await runner.cleanup()


@contextmanager
def serving(echoes: list[Echo]) -> Iterator[None]:
    """Serve on free ports, in a thread."""
    loop, started, ended = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(_serve(echoes, started, ended)))
    thread.start()
    try:
        assert started.wait(30)
        yield
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(30)
        loop.close()
