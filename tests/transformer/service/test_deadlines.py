"""Every request ends in time, and what it asked of the model server ends with it."""

from __future__ import annotations

import time

import grpc
import httpx
import pytest
from lead_transformer.deadlines import Allowance, envoy_allowance_s

from tests.transformer.service.conftest import DEADLINE_MS
from tests.transformer.service.fake_predictor import FakePredictor
from tests.transformer.service.payloads import INFER, PREDICT, infer_stub, message, records, v1, v2
from tests.transformer.service.processes import Transformer, eventually

SLACK_S = 5.0  # what a busy machine may add


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [((), 0.9), ((None, None), 0.9), ((1.0,), 0.9), ((0.5,), 0.48), ((0.5, 0.1), 0.08), ((0.01,), -0.01)],
)
def test_the_least_allowance_wins_less_the_way_home(allowed: tuple[float | None, ...], expected: float) -> None:
    assert Allowance(0.9, 0.02).seconds(*allowed) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("header", "expected"),
    [("250", 0.25), (b"250", 0.25), (None, None), ("", None), ("-1", None), ("1e3", None), ("0", None),
     ("9" * 10, None), ("²", None)],
)  # fmt: skip
def test_envoys_header_is_read_or_ignored(header: str | bytes | None, expected: float | None) -> None:
    assert envoy_allowance_s(header) == expected


@pytest.mark.parametrize(("path", "body"), [(INFER, v2(records(2))), (PREDICT, v1(records(2)))])
def test_a_hanging_predictor_ends_in_504_at_the_deadline_and_its_call_is_cancelled(
    transformer: Transformer, fake: FakePredictor, client: httpx.Client, path: str, body: dict[str, object]
) -> None:
    fake.mode = "hang"
    began = time.monotonic()
    response = client.post(transformer.url + path, json=body)
    took = time.monotonic() - began
    assert response.status_code == 504
    assert response.json()["code"] == "deadline_exceeded"
    assert DEADLINE_MS / 1000 - 0.05 < took < DEADLINE_MS / 1000 + SLACK_S
    eventually(lambda: fake.cancelled >= 1, what="cancellation of the predictor's call")
    eventually(lambda: transformer.metric("lead_requests_in_flight") == 0, what="the place given back")


def test_the_gateways_remaining_time_shortens_the_deadline(
    transformer: Transformer, fake: FakePredictor, client: httpx.Client
) -> None:
    fake.mode = "hang"
    response = client.post(
        transformer.url + INFER, json=v2(records(1)), headers={"x-envoy-expected-rq-timeout-ms": "200"}
    )
    assert response.status_code == 504
    assert any(left < 0.2 for left in fake.time_left)  # deep checks have 0.3 s


def test_the_predictor_is_told_the_deadline(
    transformer: Transformer, fake: FakePredictor, client: httpx.Client
) -> None:
    response = client.post(
        transformer.url + INFER, json=v2(records(1)), headers={"x-envoy-expected-rq-timeout-ms": "400"}
    )
    assert response.status_code == 200
    assert 0 < min(fake.time_left) < 0.4


def test_a_request_without_time_left_is_not_started(transformer: Transformer, client: httpx.Client) -> None:
    response = client.post(
        transformer.url + INFER, json=v2(records(1)), headers={"x-envoy-expected-rq-timeout-ms": "5"}
    )
    assert response.status_code == 504


def test_grpc_deadlines_are_kept(transformer: Transformer, fake: FakePredictor, channel: grpc.Channel) -> None:
    infer = infer_stub(channel)
    fake.mode = "hang"
    began = time.monotonic()
    with pytest.raises(grpc.RpcError) as caught:
        infer(message(records(1)), timeout=20)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "ran out" in caught.value.details()  # ours, not the client library's
    assert time.monotonic() - began < DEADLINE_MS / 1000 + SLACK_S
    seen = len(fake.time_left)
    with pytest.raises(grpc.RpcError):
        infer(message(records(1)), timeout=0.5)
    # Deep checks have 0.3 s, and without the client's deadline it would be 0.7.
    eventually(
        lambda: any(0.31 < left < 0.5 for left in fake.time_left[seen:]), what="a call with the client's deadline"
    )
    eventually(lambda: transformer.metric("lead_requests_in_flight") == 0, what="the place given back")
