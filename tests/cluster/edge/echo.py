"""What runs in a pod that answers with what reached it, over REST and gRPC; `/tmp/fault` says what is wrong with it."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc

FAULT = Path("/tmp/fault")  # noqa: S108 - the pod's own


def fault() -> dict[str, float]:
    """Return what is wrong: `{"delay_s": 2}`, `{"status": 500}`; nothing without the file."""
    try:
        found: dict[str, float] = json.loads(FAULT.read_text())
    except (OSError, ValueError):
        return {}
    return found


class Echo(BaseHTTPRequestHandler):
    """Answers every method and path with what it was asked."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        """Read the request and repeat it."""
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        time.sleep(fault().get("delay_s", 0))
        seen = {
            "pod": os.environ["HOSTNAME"],
            "method": self.command,
            "path": self.path,
            "bytes": len(body),
            "headers": {name.lower(): value for name, value in self.headers.items()},
        }
        text = json.dumps(seen).encode()
        self.send_response(int(fault().get("status", 200)))
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE"):
    setattr(Echo, f"do_{method}", Echo.answer)


class Server(ThreadingHTTPServer):
    """Takes as many connections at once as the tests make."""

    request_queue_size = 512


class EveryMethod(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Answers every gRPC method with what it was asked, as JSON where a message would be."""

    def service(self, details: Any) -> Any:
        """Return the handler of one call."""
        seen = {"method": details.method, "headers": {key: str(value) for key, value in details.invocation_metadata}}
        return grpc.unary_unary_rpc_method_handler(lambda _request, _context: json.dumps(seen).encode())


def main() -> None:
    """Serve REST on 8080 and gRPC on 8081 for ever."""
    server = grpc.server(ThreadPoolExecutor(8), handlers=(EveryMethod(),))
    server.add_insecure_port("0.0.0.0:8081")
    server.start()
    Server(("", 8080), Echo).serve_forever()


if __name__ == "__main__":
    main()
