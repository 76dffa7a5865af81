"""A lean HTTP/1.1 client: prebuilt requests over kept-alive connections, so that it costs less than the service."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

__all__ = ["Connection", "Response", "build_request"]


@dataclass(frozen=True, slots=True)
class Response:
    """Status, lower-case header block and body of one answer."""

    status: int
    head: bytes
    body: bytes


def build_request(path: str, body: bytes, headers: dict[str, str] | None = None, *, host: str = "localhost") -> bytes:
    """Return the bytes of a POST with a JSON body, ready to be written again and again."""
    fields = {"host": host, "content-type": "application/json", **(headers or {}), "content-length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body


class Connection(asyncio.Protocol):
    """One kept-alive connection with one request under way at a time; it reconnects when the server has closed it."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._waiting: asyncio.Future[Response] | None = None

    async def send(self, request: bytes, *, timeout_s: float = 10.0) -> Response:
        """Send one prebuilt request and return its answer.

        Raises:
            OSError: refused, reset, or closed in the middle of an answer.
            TimeoutError: no whole answer in time; the connection is given up.
        """
        loop = asyncio.get_running_loop()
        if self._transport is None or self._transport.is_closing():
            await loop.create_connection(lambda: self, *self._address)
        assert self._transport is not None  # noqa: S101 - set by connection_made
        self._buffer.clear()
        self._waiting = loop.create_future()
        self._transport.write(request)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._waiting
        except TimeoutError:
            self._transport.abort()
            raise
        finally:
            self._waiting = None

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the request under way."""
        self._transport = None
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(exc or ConnectionResetError("closed before the answer was whole"))

    def data_received(self, data: bytes) -> None:
        """Collect bytes until the answer is whole."""
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or self._waiting is None or self._waiting.done():
            return
        head = bytes(self._buffer[:end]).lower()
        mark = head.find(b"\r\ncontent-length:")
        if mark < 0:
            self._waiting.set_exception(ConnectionError("an answer without content-length"))
            return
        line_end = head.find(b"\r\n", mark + 2)
        length = int(head[mark + 17 : line_end if line_end >= 0 else len(head)])
        if len(self._buffer) >= end + 4 + length:
            body = bytes(self._buffer[end + 4 : end + 4 + length])
            self._waiting.set_result(Response(int(head[9:12]), head, body))
