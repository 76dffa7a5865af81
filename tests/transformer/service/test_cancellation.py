"""Whoever hangs up stops costing."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial

import grpc
import orjson
import pytest

from tests.transformer.service.fake_predictor import FakePredictor
from tests.transformer.service.payloads import INFER, PREDICT, infer_stub, message, records, v1, v2
from tests.transformer.service.processes import Server, Transformer, eventually


@pytest.fixture
def patient(
    start: Callable[[Callable[[], Server]], Server], folder: object, fake: FakePredictor, tmp_path: object
) -> Transformer:
    """A transformer whose deadline is far away, so that only a cancellation can end a call."""
    server = start(lambda: Transformer(folder, fake.target, tmp_path / "log", "--deadline-ms", "120000"))  # type: ignore[arg-type, operator]
    assert isinstance(server, Transformer)
    server.wait_ready()
    fake.mode = "hang"
    return server


def request(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def cancelled(transformer: Transformer, protocol: str) -> bool:
    return transformer.metric("lead_cancelled_requests_total", protocol=protocol) == 1


def test_a_caller_that_goes_away_cancels_the_predictors_call(patient: Transformer, fake: FakePredictor) -> None:
    for path, body, protocol in ((INFER, v2(records(2)), "v2-rest"), (PREDICT, v1(records(2)), "v1")):
        fake.cancelled = fake.started = 0
        data = orjson.dumps(body)
        with socket.create_connection(("127.0.0.1", patient.http_port)) as connection:
            connection.sendall(request(path, data))
            eventually(lambda: fake.started == 1, what="the predictor's call")
            assert patient.metric("lead_requests_in_flight") == 1
        eventually(lambda: fake.cancelled == 1, what="cancellation of the predictor's call")
        eventually(partial(cancelled, patient, protocol), what="the count")
        assert patient.metric("lead_requests_in_flight") == 0
    # gRPC
    fake.cancelled = fake.started = 0
    with grpc.insecure_channel(patient.target) as channel:
        call = infer_stub(channel).future(message(records(2)))
        eventually(lambda: fake.started == 1, what="the predictor's call")
        call.cancel()
        eventually(lambda: fake.cancelled == 1, what="cancellation of the predictor's call")
        eventually(partial(cancelled, patient, "v2-grpc"), what="the count")
    assert patient.metric("lead_requests_in_flight") == 0
    # And it all still works.
    fake.mode = "right"
    with grpc.insecure_channel(patient.target) as channel:
        assert len(infer_stub(channel)(message(records(1)), timeout=30).outputs) > 0
    assert patient.terminate() == 0
    assert "exception" not in patient.log.read_text()


def test_a_storm_of_hang_ups_leaves_nothing_behind(transformer: Transformer, fake: FakePredictor) -> None:
    """Half of the callers leave while they wait in the queue, at all stages; every place comes back."""
    fake.mode = "slow"
    fake.delay_s = 0.05
    data = orjson.dumps(v2(records(1)))
    for _ in range(10):
        connections = [socket.create_connection(("127.0.0.1", transformer.http_port)) for _ in range(40)]
        for connection in connections:
            connection.sendall(request(INFER, data))
        for connection in connections[::2]:
            connection.close()
        for connection in connections[1::2]:
            assert connection.recv(12)[9:] in (b"200", b"503", b"504")
            connection.close()
    eventually(lambda: transformer.metric("lead_requests_in_flight") == 0, what="all places given back")
    assert transformer.metric("lead_queue_depth") == 0
