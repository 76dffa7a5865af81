"""Whoever is turned away is told before the request has been read, and the connection stays usable."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import httpx
import orjson
import pytest

from tests.transformer.service.fake_predictor import FakePredictor
from tests.transformer.service.payloads import INFER, PREDICT, records, v1, v2
from tests.transformer.service.processes import Server, Transformer, eventually

BODY = orjson.dumps(v2(records(1)))


@pytest.fixture
def busy(
    start: Callable[[Callable[[], Server]], Server], folder: Path, fake: FakePredictor, tmp_path: Path
) -> Iterator[Transformer]:
    """A transformer whose only place is taken for as long as the test lasts."""
    server = start(
        lambda: Transformer(
            folder, fake.target, tmp_path / "log", "--concurrency", "1", "--queue", "0", "--deadline-ms", "60000",
            "--check-interval-s", "3600", "--drain-s", "0",
        )
    )  # fmt: skip
    assert isinstance(server, Transformer)
    server.wait_ready()
    fake.mode = "hang"
    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(httpx.post, server.url + INFER, content=BODY, timeout=90)
        eventually(lambda: server.metric("lead_requests_in_flight") == 1, what="the place is taken")
        yield server
        fake.stop()
        assert holding.result().status_code == 503


def head(path: str, length: int, *more: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: x", "content-type: application/json", f"content-length: {length}", *more]
    return "\r\n".join([*lines, "", ""]).encode()


def answer(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        data += (received := connection.recv(65536))
        assert received, data
    top, _, body = data.partition(b"\r\n\r\n")
    first, *lines = top.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        body += connection.recv(65536)
    return int(first.split()[1]), headers, body


@pytest.mark.parametrize("path", [INFER, PREDICT])
def test_the_head_is_enough_to_be_refused_and_the_body_is_passed_over(
    busy: Transformer, fake: FakePredictor, path: str
) -> None:
    body = orjson.dumps((v2 if path == INFER else v1)(records(400)))
    with socket.create_connection(("127.0.0.1", busy.http_port), timeout=30) as connection:
        for _ in range(3):
            connection.sendall(head(path, len(body)))
            status, headers, found = answer(connection)  # of the body, not a byte has been sent
            assert (status, orjson.loads(found)["code"]) == (503, "overloaded")
            assert int(headers["retry-after"]) >= 1
            assert headers.get("connection") != "close"
            connection.sendall(body)  # it comes all the same, and is not taken for the next request
        connection.sendall(b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n")
        assert answer(connection)[0] == 200
    assert fake.running == 1
    assert busy.metric("lead_queue_rejections_total", reason="full") == 3


def test_whoever_asks_first_is_refused_without_being_asked_for_the_body(busy: Transformer) -> None:
    """It may send its body or not: where the next request would begin nobody knows, so there is none."""
    with socket.create_connection(("127.0.0.1", busy.http_port), timeout=30) as connection:
        connection.sendall(head(INFER, 1_000_000, "expect: 100-continue"))
        status, headers, _ = answer(connection)
        assert (status, headers["connection"]) == (503, "close")
        assert connection.recv(1) == b""


def test_a_refused_body_that_never_ends_holds_nothing_up(busy: Transformer) -> None:
    with socket.create_connection(("127.0.0.1", busy.http_port), timeout=30) as dripping:
        dripping.sendall(head(INFER, 1_000_000) + b"{")
        assert answer(dripping)[0] == 503
        assert httpx.get(busy.url + "/v2/health/live", timeout=30).status_code == 200
        assert httpx.get(busy.url + "/metrics", timeout=30).status_code == 200
        assert busy.is_ready()
        assert dripping.recv(1) == b""  # after --receive-timeout-s


def test_a_grpc_message_is_not_even_parsed(busy: Transformer) -> None:
    with grpc.insecure_channel(busy.target) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer", request_serializer=bytes)
        with pytest.raises(grpc.RpcError) as caught:
            call(b"\xff\xff no protocol buffer", timeout=30)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert dict(caught.value.trailing_metadata())["retry-after"] == "1"


def test_a_model_that_is_not_ready_reads_nothing_either(
    start: Callable[[Callable[[], Server]], Server], folder: Path, fake: FakePredictor, tmp_path: Path
) -> None:
    fake.mode = "hang"
    server = start(lambda: Transformer(folder, fake.target, tmp_path / "log", "--drain-s", "0"))
    assert isinstance(server, Transformer)
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=30) as connection:
        connection.sendall(head(INFER, 1_000_000))
        status, _, found = answer(connection)
        assert (status, orjson.loads(found)["code"]) == (503, "not_ready")
