"""The REST door: an exact list of paths in front of MLServer's app, bounded bodies, errors that repeat nothing."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Iterator

import orjson
import uvicorn
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from mlserver.rest.responses import Response
from mlserver.rest.server import RESTServer, _NoSignalServer
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lead_predictor.lifecycle import Lifecycle, NotServing
from lead_predictor.settings import MAX_MESSAGE_BYTES
from lead_predictor.worker import Busy

__all__ = ["Door", "RestEdge"]

_LOGGER = logging.getLogger("lead_predictor.rest")


class Door:
    """What may pass to MLServer's app: the paths of this one model, exactly as written here; everything else is 404."""

    def __init__(self, app: ASGIApp, lifecycle: Lifecycle) -> None:
        self._app = app
        self._lifecycle = lifecycle
        model = f"/v2/models/{lifecycle.name}"
        models = (model, f"{model}/versions/{lifecycle.version}")
        self._infer = frozenset(f"{path}/infer" for path in models)
        self._ready = frozenset(("/v2/health/ready", *(f"{path}/ready" for path in models)))
        self._metadata = frozenset(models)
        self._served = frozenset(("/v2", "/v2/health/live")) | self._infer | self._ready | self._metadata

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":  # a websocket: nothing here speaks it
            await send({"type": "websocket.close", "code": 1003})
            return
        path, lifecycle = scope["path"], self._lifecycle
        if path not in self._served:
            served = f"{lifecycle.name}, version {lifecycle.version}"
            await _refuse(send, 404, f"nothing is served at this path; this server has {served}, and no other model")
        elif scope["method"] != ("POST" if path in self._infer else "GET"):
            await _refuse(send, 405, f"expected {'POST' if path in self._infer else 'GET'}")
        elif path in self._ready:
            if lifecycle.ready:
                await _reply(send, 200, b"")
            else:
                await _refuse(send, 503, f"not ready: {lifecycle.state.value}")
        elif path not in self._infer and path not in self._metadata:
            await self._app(scope, receive, send)
        elif fault := self._not_serving():
            await _refuse(send, 503, fault, close=True)
        elif path in self._infer:
            await self._pass_body(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _not_serving(self) -> str | None:
        try:
            self._lifecycle.check_serving()
        except NotServing as error:
            return str(error)
        return None

    async def _pass_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        if b"inference-header-content-length" in headers:
            await _refuse(
                send, 400, "binary tensors are not offered over REST; send JSON data, or raw tensors over gRPC"
            )
            return
        if headers.get(b"content-encoding", b"identity") != b"identity":
            await _refuse(send, 415, "compressed bodies are not taken; send plain JSON")
            return
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return  # the client went away
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > MAX_MESSAGE_BYTES:
                await _refuse(
                    send, 413, f"expected a body of at most {MAX_MESSAGE_BYTES} bytes; split the batch", close=True
                )
                return
            if not message.get("more_body", False):
                break
        whole: Message | None = {"type": "http.request", "body": b"".join(chunks), "more_body": False}

        async def replay() -> Message:
            nonlocal whole
            if whole is None:
                return await receive()
            message, whole = whole, None
            return message

        # The protocol knows no other content type, and clients leave the header out or send a form's.
        headers[b"content-type"] = b"application/json"
        await self._app({**scope, "headers": list(headers.items())}, replay, send)


class RestEdge(RESTServer):
    """MLServer's REST server behind the door, on a socket that is bound before anything is loaded."""

    lifecycle: Lifecycle
    listener: socket.socket
    drain_s: int

    async def start(self) -> None:
        """Answer requests until `stop`."""
        self._app.add_exception_handler(RequestValidationError, _malformed)
        self._app.add_exception_handler(Busy, _busy)
        self._app.add_exception_handler(Exception, _failed)
        config = uvicorn.Config(
            Door(self._app, self.lifecycle),
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=self.drain_s,
        )
        self._server = _Server(config)
        await self._server.serve(sockets=[self.listener])


class _Server(_NoSignalServer):
    """A server that leaves the process's signals alone, which MLServer's own does no longer with this uvicorn."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _malformed(_request: Request, error: Exception) -> Response:
    """Answer 400 with where and why; pydantic's own answer would repeat what was sent."""
    if not isinstance(error, RequestValidationError):
        raise error
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return Response({"error": "the body is not JSON"}, status_code=400)
    where = "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"][1:])
    return Response({"error": f"{where}: {first['msg']}"}, status_code=400)


async def _busy(_request: Request, error: Exception) -> Response:
    """Answer 503 with the time after which to come back."""
    return Response({"error": str(error)}, status_code=503, headers={"retry-after": "1"})


async def _failed(_request: Request, _error: Exception) -> Response:
    """Answer 500 without a word about the inside; the log has where it happened."""
    return Response({"error": "internal error"}, status_code=500)


async def _refuse(send: Send, status: int, message: str, *, close: bool = False) -> None:
    await _reply(send, status, orjson.dumps({"error": message}), close=close)


async def _reply(send: Send, status: int, body: bytes, *, close: bool = False) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
