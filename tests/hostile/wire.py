"""HTTP/1.1 by hand: many requests in one write, answers read one by one, and bytes that are no requests at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

__all__ = ["Hangup", "Pipeline", "Response", "request_bytes", "talk"]

MAX_HEAD_BYTES = 64 * 1024


class Hangup(Exception):
    """The connection was closed where an answer was due."""


@dataclass(frozen=True, slots=True)
class Response:
    """One answer and the seconds until it was there."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float


def request_bytes(path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """Return a POST; header values go out as Latin-1 or, where that can't be, as UTF-8."""
    lines = [f"POST {path} HTTP/1.1".encode(), b"host: localhost", f"content-length: {len(body)}".encode()]
    for name, value in headers.items():
        try:
            lines.append(name.encode() + b": " + value.encode("latin-1"))
        except UnicodeEncodeError:
            lines.append(name.encode() + b": " + value.encode())
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


class Pipeline:
    """A kept-alive connection that sends requests in bunches; reconnects when it was closed."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, requests: Sequence[bytes], *, timeout_s: float) -> AsyncIterator[Response]:
        """Send all and yield the answers in order; fewer if the other side closes in between.

        Raises:
            TimeoutError: the next answer took longer than `timeout_s`.
        """
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address, limit=MAX_HEAD_BYTES)
        reader, writer = self._streams
        writer.write(b"".join(requests))
        began = time.perf_counter()
        try:
            for _ in requests:
                async with asyncio.timeout(timeout_s):
                    response = await _read(reader, began)
                began = time.perf_counter()
                if response.headers.get("connection") == "close":
                    self.close()
                yield response
                if self._streams is None:
                    return
        except (Hangup, ConnectionError):
            self.close()
        except TimeoutError:
            self.close()
            raise

    def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def talk(host: str, port: int, *parts: bytes, pause_s: float = 0.0, within_s: float) -> bytes:
    """Send parts, `pause_s` apart, on a connection of their own; return all that comes until the other side closes.

    Raises:
        TimeoutError: it was not closed within `within_s`.
    """
    async with asyncio.timeout(within_s):
        reader, writer = await asyncio.open_connection(host, port)
        received = bytearray()

        async def collect() -> None:
            with suppress(ConnectionError):
                while chunk := await reader.read(65536):
                    received.extend(chunk)

        collecting = asyncio.create_task(collect())
        try:
            for part in parts:
                writer.write(part)
                with suppress(ConnectionError):
                    await writer.drain()
                if collecting.done():
                    break
                if pause_s:
                    await asyncio.sleep(pause_s)
            await collecting
        finally:
            collecting.cancel()
            writer.transport.abort()
    return bytes(received)


async def _read(reader: asyncio.StreamReader, began: float) -> Response:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")[:-2]
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise Hangup from error
    return Response(int(first.split(" ", 2)[1]), headers, body, time.perf_counter() - began)
