"""Whatever comes in is bounded: bytes, headers, time, connections; what is refused is said so, and costs little."""

from __future__ import annotations

import gzip
import os
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import httpx
import orjson
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from tests.transformer.service.fake_predictor import FakePredictor
from tests.transformer.service.payloads import INFER, PREDICT, infer_stub, message, records, v1, v2
from tests.transformer.service.processes import Server, Transformer, eventually

LIMIT = 1048576  # --max-body-bytes of the fixture
JSON = {"content-type": "application/json"}
GOOD = orjson.dumps(v2(records(1)))


def converse(transformer: Transformer, *parts: bytes, pause_s: float = 0.0, within_s: float = 20.0) -> bytes:
    """Send parts on one connection and return everything that comes back until it is closed."""
    with socket.create_connection(("127.0.0.1", transformer.http_port), timeout=within_s) as connection:
        for part in parts:
            try:
                connection.sendall(part)
            except OSError:
                break  # refused already
            if pause_s:
                time.sleep(pause_s)
        received = b""
        try:
            while chunk := connection.recv(65536):
                received += chunk
        except ConnectionResetError:
            pass
        return received


def rss_bytes(transformer: Transformer) -> int:
    pages = int(Path(f"/proc/{transformer.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def head(length: int | None = None, path: str = INFER, extra: str = "") -> bytes:
    size = "" if length is None else f"content-length: {length}\r\n"
    return f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{size}{extra}\r\n".encode()


@pytest.mark.parametrize("path", [INFER, PREDICT])
def test_a_body_that_says_it_is_too_large_is_413_before_it_is_read(transformer: Transformer, path: str) -> None:
    answer = converse(transformer, head(LIMIT + 1, path, "expect: 100-continue\r\nconnection: close\r\n"))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"100 Continue" not in answer
    assert b"body_too_large" in answer


def test_a_chunked_body_that_is_too_large_is_413(transformer: Transformer) -> None:
    chunk = b"%x\r\n" % 65536 + b" " * 65536 + b"\r\n"
    answer = converse(transformer, head(extra="transfer-encoding: chunked\r\nconnection: close\r\n"), *[chunk] * 40)
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_body_of_just_the_limit_is_read(transformer: Transformer, client: httpx.Client) -> None:
    padded = GOOD + b" " * (LIMIT - len(GOOD))
    assert client.post(transformer.url + INFER, content=padded, headers=JSON).status_code == 200
    assert client.post(transformer.url + INFER, content=padded + b" ", headers=JSON).status_code == 413


def test_the_connection_of_a_refused_body_still_works(transformer: Transformer) -> None:
    large = b" " * (LIMIT + 1)
    close = head(len(GOOD), extra="connection: close\r\n")
    answer = converse(transformer, head(len(large)) + large + close + GOOD)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"HTTP/1.1 200 " in answer


def test_a_compressed_body_is_bounded_too(transformer: Transformer, client: httpx.Client) -> None:
    before = rss_bytes(transformer)
    bomb = gzip.compress(b" " * 200_000_000)
    assert len(bomb) < LIMIT
    for _ in range(3):
        response = client.post(transformer.url + INFER, content=bomb, headers={**JSON, "content-encoding": "gzip"})
        assert response.status_code == 413
    assert rss_bytes(transformer) - before < 50_000_000
    good = client.post(
        transformer.url + INFER, content=gzip.compress(GOOD), headers={**JSON, "content-encoding": "gzip"}
    )
    assert good.status_code == 200


def test_a_slow_body_is_408(transformer: Transformer) -> None:
    began = time.monotonic()
    answer = converse(transformer, head(len(GOOD)), GOOD[:10])
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"slow_request" in answer
    assert 0.9 < time.monotonic() - began < 10


def test_dripping_does_not_extend_the_time(transformer: Transformer) -> None:
    began = time.monotonic()
    answer = converse(transformer, head(1000), *[b" "] * 100, pause_s=0.1)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - began < 15  # 100 parts take at least 10 s, whatever comes back


def test_slow_headers_are_408(transformer: Transformer) -> None:
    before = transformer.metric("lead_rejections_total", reason="slow_request")
    answer = converse(transformer, b"POST / HTTP/1.1\r\nhost: x\r\nx-a: ", b"b")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert transformer.metric("lead_rejections_total", reason="slow_request") == before + 1


def test_whoever_goes_on_sending_after_a_refusal_is_cut_off(transformer: Transformer) -> None:
    with socket.create_connection(("127.0.0.1", transformer.http_port), timeout=20) as connection:
        connection.sendall(head(10_000_000))
        assert connection.recv(12) == b"HTTP/1.1 413"
        end = time.monotonic() + 15
        cut_off = False
        while not cut_off and time.monotonic() < end:
            try:
                connection.sendall(b" ")
            except OSError:
                cut_off = True
            time.sleep(0.05)
    assert cut_off


@pytest.mark.parametrize(
    "headers",
    [
        b"x-a: " + b"b" * 40_000,
        b"\r\n".join(b"x-%d: b" % number for number in range(101)),
        b"\r\n".join(b"x-%d: %s" % (number, b"b" * 1000) for number in range(50)),
    ],
    ids=["long", "many", "much"],
)
def test_headers_are_bounded(transformer: Transformer, headers: bytes) -> None:
    answer = converse(transformer, b"GET /v2 HTTP/1.1\r\nhost: x\r\n" + headers + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 431 ")


def test_headers_without_end_are_bounded(transformer: Transformer) -> None:
    answer = converse(transformer, b"GET /v2 HTTP/1.1\r\n", *[b"x-a: " + b"b" * 8000 + b"\r\n"] * 20)
    assert answer.startswith(b"HTTP/1.1 431 ")


def test_a_long_path_is_bounded(transformer: Transformer) -> None:
    answer = converse(transformer, b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "junk",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST /v2 HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v2 HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcde",
        b"POST /v2 HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"\x00" * 100,
    ],
)
def test_what_is_no_http_is_400(transformer: Transformer, junk: bytes) -> None:
    answer = converse(transformer, junk)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert transformer.is_ready()


def test_junk_after_a_request_does_not_garble_its_answer(transformer: Transformer, fake: FakePredictor) -> None:
    fake.mode, fake.delay_s = "slow", 0.2
    answer = converse(transformer, head(len(GOOD)) + GOOD + b"\x00\x01\x02\r\n\r\n")
    assert answer == b"" or answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1") <= 1


def test_pipelined_requests_are_answered_in_order(transformer: Transformer) -> None:
    requests = [
        head(len(GOOD), extra=f"x-request-id: request-{number}\r\n" + ("connection: close\r\n" if number == 4 else ""))
        + GOOD
        for number in range(5)
    ]
    answer = converse(transformer, b"".join(requests))
    assert answer.count(b"HTTP/1.1 200 ") == 5
    order = [answer.index(b"x-request-id: request-%d" % number) for number in range(5)]
    assert order == sorted(order)


@pytest.mark.parametrize(
    "given", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "multipart/form-data"]
)
def test_other_media_types_are_415(transformer: Transformer, client: httpx.Client, given: str) -> None:
    for path in (INFER, PREDICT):
        response = client.post(transformer.url + path, content=GOOD, headers={"content-type": given})
        assert response.status_code == 415
        assert given not in response.text


def test_json_with_parameters_or_no_media_type_at_all_is_taken(transformer: Transformer, client: httpx.Client) -> None:
    for headers in ({"content-type": "Application/JSON; charset=utf-8"}, {}):
        assert client.post(transformer.url + INFER, content=GOOD, headers=headers).status_code == 200
    binary = client.post(
        transformer.url + PREDICT,
        content=orjson.dumps(v1(records(1))),
        headers={"content-type": "application/octet-stream"},
    )
    assert binary.status_code == 415


def test_connections_are_bounded(
    start: Callable[[Callable[[], Server]], Server], folder: Path, fake: FakePredictor, tmp_path: Path
) -> None:
    server = start(lambda: Transformer(folder, fake.target, tmp_path / "log", "--max-connections", "8"))
    assert isinstance(server, Transformer)
    server.wait_ready()
    held = [socket.create_connection(("127.0.0.1", server.http_port), timeout=20) for _ in range(8)]
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=20) as one_more:
        assert one_more.recv(1) == b""
    for connection in held:
        connection.close()
    server.wait_ready()
    assert server.metric("lead_rejections_total", reason="too_many_connections") >= 1


def test_grpc_messages_are_bounded(channel: grpc.Channel) -> None:
    large = message(records(1))
    large.inputs[0].contents.bytes_contents[0] = b"a" * (LIMIT + 1)
    with pytest.raises(grpc.RpcError) as caught:
        infer_stub(channel)(large, timeout=30)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(infer_stub(channel)(message(records(1)), timeout=30).outputs) > 0


def test_grpc_metadata_are_bounded(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        infer_stub(channel)(message(records(1)), timeout=30, metadata=(("x-a", "b" * 60_000),))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("method", ["ModelInfer", "ModelReady", "ModelMetadata"])
def test_bytes_that_are_no_message_are_invalid(transformer: Transformer, channel: grpc.Channel, method: str) -> None:
    call = channel.unary_unary(
        f"/inference.GRPCInferenceService/{method}", request_serializer=bytes, response_deserializer=bytes
    )
    for junk in (b"\xff\xff\xff\xff", b"\x0a\x05\xff\xfe\xfd\xfc\xfb"):  # no protobuf at all; a name that is not UTF-8
        with pytest.raises(grpc.RpcError) as caught:
            call(junk, timeout=30)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert transformer.is_ready()


def test_streams_of_one_connection_are_bounded(
    start: Callable[[Callable[[], Server]], Server], folder: Path, fake: FakePredictor, tmp_path: Path
) -> None:
    """More than the bound wait in the client or are refused at once, and are answered when their turn comes."""
    server = start(
        lambda: Transformer(
            folder,
            fake.target,
            tmp_path / "log",
            "--max-streams",
            "4",
            "--deadline-ms",
            "60000",
            "--queue-wait-ms",
            "60000",
        )
    )
    assert isinstance(server, Transformer)
    server.wait_ready()
    fake.mode, fake.delay_s = "slow", 0.3

    def ask(channel: grpc.Channel) -> pb.ModelInferResponse:
        """Ask again when the stream was refused: the client may count one as closed that the server still holds."""
        while True:
            try:
                return infer_stub(channel)(message(records(1)), timeout=60)
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE or "RST_STREAM" not in error.details():
                    raise

    with grpc.insecure_channel(server.target) as channel, ThreadPoolExecutor(12) as callers:
        calls = [callers.submit(ask, channel) for _ in range(12)]
        eventually(lambda: server.metric("lead_requests_in_flight") == 4, what="four requests")
        assert all(isinstance(call.result(60), pb.ModelInferResponse) for call in calls)
    assert fake.most_running <= 5  # four, and a deep check
