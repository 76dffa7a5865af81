"""What the kubelet and Prometheus ask for: /healthz, /readyz and /metrics."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

__all__ = ["Health"]

_SLOW_CLIENT_S = 5.0


class Health:
    """A small HTTP server. `live` and `ready` return what is wrong, or an empty text."""

    def __init__(
        self,
        address: tuple[str, int],
        registry: CollectorRegistry,
        *,
        live: Callable[[], str],
        ready: Callable[[], str],
    ) -> None:
        """Bind to the address, port 0 for a free one.

        Raises:
            OSError: the port can't be had.
        """
        checks = {"/healthz": live, "/readyz": ready}

        class Handler(BaseHTTPRequestHandler):
            timeout = _SLOW_CLIENT_S

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path == "/metrics":
                    self._answer(200, CONTENT_TYPE_LATEST, generate_latest(registry))
                elif path in checks:
                    wrong = checks[path]()
                    self._answer(503 if wrong else 200, "text/plain; charset=utf-8", (wrong or "ok").encode() + b"\n")
                else:
                    self._answer(404, "text/plain; charset=utf-8", b"/healthz, /readyz and /metrics are here\n")

            def _answer(self, status: int, content_type: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing: the callers are probes."""

        self._server = ThreadingHTTPServer(address, Handler)
        self.port = self._server.server_address[1]

    def start(self) -> None:
        """Answer from now on, until the process ends."""
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()
