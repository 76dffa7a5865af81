"""The codecs behind real sockets, with made-up scores: what the documented client programs talk to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import orjson
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import (
    GRPCInferenceServiceServicer,
    add_GRPCInferenceServiceServicer_to_server,
)
from lead_transformer import error_bodies, v1_json, v2_json, v2_proto
from lead_transformer.messages import Answer, ScoreRequest

from lead_scoring.core.assembly import from_records, from_tensors
from lead_scoring.core.plan import FeaturePlan
from lead_scoring.errors import RequestError
from tests.transformer.codecs.examples import answer


def score(plan: FeaturePlan, request: ScoreRequest) -> Answer:
    if request.tensors is None:
        batch = from_records(plan, request.records, max_leads=500)
    else:
        batch = from_tensors(plan, request.tensors, max_leads=500)
    batch.report.raise_if_any(batch.layout)
    return answer(len(batch), reasons=True)


def _handler(plan: FeaturePlan, metadata: dict[str, Any]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.answer(200, [("content-type", "application/json")], orjson.dumps(metadata))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            try:
                if self.path.startswith("/v1"):
                    request = v1_json.decode(body)
                    response = v1_json.encode(request, score(plan, request))
                    self.answer(200, [("content-type", "application/json")], response)
                else:
                    request = v2_json.decode(body, headers)
                    response, extra = v2_json.encode(request, score(plan, request))
                    self.answer(200, extra, response)
            except RequestError as error:
                self.answer(*error_bodies.to_http(error, "r"))

        def answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
            self.send_response(status)
            for name, value in [*headers, ("content-length", str(len(body)))]:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Keep quiet."""

    return Handler


class _Servicer(GRPCInferenceServiceServicer):  # type: ignore[misc]
    def __init__(self, plan: FeaturePlan) -> None:
        self.plan = plan

    def ModelInfer(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 - named by the protocol
        try:
            decoded = v2_proto.decode(request)
            return v2_proto.encode(request, decoded, score(self.plan, decoded))
        except RequestError as error:
            code, message, trailers = error_bodies.to_grpc(error)
            context.set_trailing_metadata(trailers)
            context.abort(code, message)


@contextmanager
def serving(plan: FeaturePlan, metadata: dict[str, Any]) -> Iterator[tuple[int, int]]:
    """Serve on free ports of the loopback; yields those of HTTP and gRPC."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(plan, metadata))
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    rpc = grpc.server(ThreadPoolExecutor(2))
    add_GRPCInferenceServiceServicer_to_server(_Servicer(plan), rpc)
    try:
        grpc_port = rpc.add_insecure_port("127.0.0.1:0")
        rpc.start()
        yield http.server_address[1], grpc_port
    finally:
        rpc.stop(0).wait(10)
        http.shutdown()
        thread.join(10)
        http.server_close()
