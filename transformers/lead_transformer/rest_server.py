"""The SDK's REST server with our application in front of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import uvicorn
from kserve import ModelServer
from kserve.protocol.rest.server import RESTServer

from lead_scoring.errors import StackError
from lead_transformer.rest import RestApp

__all__ = ["RestServer", "listen"]

_SDK_APP = "kserve.model_server:app"
_ACCEPTED_A_TURN = 32
"""New connections taken in one turn of the loop: libuv takes one per socket, and under load a turn is long."""


class RestServer(RESTServer):  # type: ignore[misc]
    """Runs `app` with bounded connections and without signal handlers; the SDK's routes are there for `app` to use."""

    def __init__(self, server: ModelServer, protocol: type[asyncio.Protocol]) -> None:
        """Take the SDK's settings from its server; `protocol` makes connections."""
        super().__init__(
            _SDK_APP,
            server.dataplane,
            server.model_repository_extension,
            server.http_port,
            grace_period=server.grace_period,
            event_loop=server.event_loop,
            timeout_keep_alive=server.timeout_keep_alive,
        )
        self.app: RestApp | None = None
        self._protocol = protocol
        self._timeouts = {
            "timeout_graceful_shutdown": server.grace_period,
            "timeout_keep_alive": server.timeout_keep_alive,
        }
        self._uvicorn: uvicorn.Server | None = None

    def sdk_app(self) -> Any:
        """Return the SDK's application with its routes."""
        self.create_application()
        module, _, name = _SDK_APP.partition(":")
        return getattr(import_module(module), name)

    async def serve(self, listener: socket.socket) -> None:
        """Answer on `listener` until `stop`; return when what was being answered has its answer."""
        if self.app is None:
            raise StackError("there is no application to serve")
        config = uvicorn.Config(
            self.app,
            http=self._protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            **self._timeouts,
        )
        self._uvicorn = _Uvicorn(config)
        await self._uvicorn.serve(sockets=[listener, *(listener.dup() for _ in range(_ACCEPTED_A_TURN - 1))])

    def stop(self) -> None:
        """Take no new connections, close idle ones, and let `serve` return."""
        if self._uvicorn is not None:
            self._uvicorn.should_exit = True


class _Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: the end has an order, and it is not uvicorn's."""
        yield


def listen(host: str, port: int) -> socket.socket:
    """Take the REST port.

    Raises:
        StackError: it can't be used.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise StackError(f"HTTP port {port} on {host} can't be used: {error.strerror or error}") from None
    return listener
