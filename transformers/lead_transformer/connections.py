"""REST connections with bounds: uvicorn's own protocol has none for headers, for slow senders or for their number."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.flow_control import service_unavailable
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

__all__ = ["ConnectionLimits", "bounded"]

_MAX_HEADERS = 100
_GATHERED_BYTES = 1024 * 1024
"""Bodies up to this size are handed to the application whole: it would wake for every 64 kB otherwise."""
_REFUSALS = {
    400: (b"400 Bad Request", b"malformed_http", b"expected HTTP/1.1"),
    408: (b"408 Request Timeout", b"slow_request", b"the request took too long to arrive"),
    431: (b"431 Request Header Fields Too Large", b"headers_too_large", b"the headers are too many or too large"),
}


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Bounds of one connection and of all.

    Attributes:
        header_bytes: of request line and headers.
        receive_s: from a request's first byte to its last.
        connections: at a time.
        refused: told why: ``malformed_http``, ``slow_request``, ``headers_too_large``, ``too_many_connections``.
    """

    header_bytes: int
    receive_s: float
    connections: int
    refused: Callable[[str], None]


def bounded(limits: ConnectionLimits) -> type[HttpToolsProtocol]:
    """Return uvicorn's protocol with `limits`, which also cancels a request's task when its caller hangs up."""

    class Bounded(_BoundedHttp):
        _limits = limits

    return Bounded


class _BoundedHttp(HttpToolsProtocol):
    _limits: ConnectionLimits

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._task: asyncio.Task[None] | None = None
        self._arriving = False
        self._headers_done = True
        self._header_bytes = 0
        self._fault = 400
        self._pieces: list[bytes] = []
        self._gathered = 0
        self._alarm: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections:
            self._limits.refused("too_many_connections")
            transport.close()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._arriving or self.transport.is_closing():
            return
        if not self._headers_done:
            self._header_bytes += len(data)
            if self._header_bytes > self._limits.header_bytes:
                self._refuse(431)
                return
        if self._alarm is None:  # most requests arrive whole and never get here
            self._alarm = self.loop.call_later(self._limits.receive_s, self._on_slow)

    def on_message_begin(self) -> None:
        self._arriving, self._headers_done, self._header_bytes = True, False, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._headers_done = True
        size = len(self.url)
        for name, value in self.headers:
            size += len(name) + len(value)
        if size > self._limits.header_bytes or len(self.headers) > _MAX_HEADERS:
            self._fault = 431
            raise ValueError  # becomes a parser error, hence `send_400_response`
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self.cycle.response_complete:
            return
        self._pieces.append(body)
        self._gathered += len(body)
        if self._gathered > _GATHERED_BYTES:
            super().on_body(self._take_gathered())

    def on_message_complete(self) -> None:
        self._arriving = False
        self._disarm()
        if self._pieces and self.cycle is not None:
            body = self._take_gathered()
            # uvicorn takes any bytes; a bytearray of its own would be one more copy
            self.cycle.body = self.cycle.body + body if self.cycle.body else body  # type: ignore[assignment]
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)
        if self._task is not None and not self._task.done():
            self._task.cancel()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 (uvicorn's signature)
        self._refuse(self._fault)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if app is service_unavailable:
            raise AssertionError("unreachable: uvicorn's own limit is off")
        self._task = self.loop.create_task(cycle.run_asgi(app))
        self._task.add_done_callback(self.tasks.discard)
        self.tasks.add(self._task)

    def _take_gathered(self) -> bytes:
        body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces, self._gathered = [], 0
        return body

    def _on_slow(self) -> None:
        self._alarm = None
        if not self._headers_done:
            self._refuse(408)
        elif self.cycle is not None and self.cycle.response_complete:
            self.transport.close()  # refused long ago, and still sending
        else:
            # The application reads the body and has a timeout of its own; look again, in case they go on sending.
            self._alarm = self.loop.call_later(self._limits.receive_s, self._on_slow)

    def _refuse(self, status: int) -> None:
        """Answer without the application, unless another answer is on its way, and hang up."""
        self._disarm()
        line, reason, text = _REFUSALS[status]
        self._limits.refused(reason.decode())
        if self.cycle is None or self.cycle.response_complete:
            body = b'{"error":"%s","code":"%s"}' % (text, reason)
            self.transport.write(
                b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s"
                % (line, len(body), body)
            )
        self.transport.close()

    def _disarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
