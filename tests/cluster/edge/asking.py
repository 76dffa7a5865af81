"""Requests written byte by byte, so that no client tidies a path or a header."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

__all__ = ["Answer", "Asker", "Closed"]

_TIMEOUT_S = 15


class Closed(Exception):
    """The connection ended without an answer."""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def seen(self) -> dict[str, Any] | None:
        """Return what a pod saw of the request; None if the gateway answered by itself."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return None
        return found if isinstance(found, dict) and "pod" in found else None


@dataclass(frozen=True)
class Asker:
    """Somebody who asks the gateway for the service."""

    address: tuple[str, int]
    host: str
    tls: ssl.SSLContext | None = None

    def connect(self) -> socket.socket:
        """Open a connection.

        Raises:
            OSError: it is refused, or TLS can't be agreed on.
        """
        plain = socket.create_connection(self.address, timeout=_TIMEOUT_S)
        return self.tls.wrap_socket(plain, server_hostname=self.host) if self.tls else plain

    def head(self, method: str, path: str, headers: Mapping[str, str]) -> bytes:
        """Return the bytes of a request up to its body."""
        fields = {"host": self.host, **headers}
        return (f"{method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in fields.items()) + "\r\n").encode()

    def ask(
        self, path: str, headers: Mapping[str, str] | None = None, *, method: str = "GET", body: bytes = b""
    ) -> Answer:
        """Send a request on a connection of its own and read the answer.

        Raises:
            Closed: there is none.
        """
        fields = {**(headers or {}), "content-length": str(len(body)), "connection": "close"}
        with self.connect() as connection:
            with suppress(OSError):  # refused before all of it was sent: the answer is there to read
                connection.sendall(self.head(method, path, fields) + body)
            return read(connection)


def read(connection: socket.socket) -> Answer:
    """Read an answer to its end.

    Raises:
        Closed: the connection ended before the answer did.
    """
    received = b""
    while True:
        head, found, body = received.partition(b"\r\n\r\n")
        if found:
            status, *lines = head.decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            if len(body) >= int(headers.get("content-length", "0")):
                return Answer(int(status.split()[1]), headers, body)
        try:
            part = connection.recv(65536)
        except OSError as ended:
            raise Closed(str(ended)) from ended
        if not part:
            raise Closed(repr(received[:200]))
        received += part
