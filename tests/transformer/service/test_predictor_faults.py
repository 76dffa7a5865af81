"""A model server that is away or talks nonsense is our fault, told in time and without a word of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest
from lead_transformer.predictor import PredictorFault, checked

from tests.transformer.service.fake_predictor import SECRET, FakePredictor
from tests.transformer.service.payloads import INFER, PREDICT, infer_stub, message, records, v1, v2
from tests.transformer.service.processes import Server, Transformer, eventually

NONSENSE = {
    "nan": "not_finite",
    "infinite": "not_finite",
    "short": "malformed",
    "long": "malformed",
    "no_output": "malformed",
    "other_version": "wrong_model",
    "refuse": "status_invalid_argument",
    "break": "status_unknown",
}


@pytest.mark.parametrize(("mode", "kind"), NONSENSE.items())
def test_nonsense_is_503_everywhere_and_says_nothing_internal(
    transformer: Transformer, fake: FakePredictor, client: httpx.Client, mode: str, kind: str
) -> None:
    before = transformer.metric("lead_predictor_failures_total", kind=kind)
    fake.mode = mode
    responses = [
        client.post(transformer.url + INFER, json=v2(records(3))),
        client.post(transformer.url + PREDICT, json=v1(records(3))),
    ]
    for response in responses:
        assert response.status_code == 503
        assert response.json()["code"] in ("predictor_failed", "not_ready")  # not ready once a deep check has seen it
        assert SECRET not in response.text
        assert "127.0.0.1" not in response.text
    with grpc.insecure_channel(transformer.target) as channel, pytest.raises(grpc.RpcError) as caught:
        infer_stub(channel)(message(records(3)), timeout=20)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert SECRET not in caught.value.details()
    assert transformer.metric("lead_predictor_failures_total", kind=kind) > before
    assert SECRET not in transformer.log.read_text()


def test_contributions_that_do_not_add_up_are_refused(
    transformer: Transformer, fake: FakePredictor, client: httpx.Client
) -> None:
    fake.mode = "no_sum"
    assert client.post(transformer.url + INFER, json=v2(records(3), explain=True)).status_code == 503
    assert client.post(transformer.url + INFER, json=v2(records(3))).status_code == 200


def test_a_predictor_that_is_away_is_503_long_before_the_deadline_after_one_retry(
    start: Callable[[Callable[[], Server]], Server], folder: Path, fake: FakePredictor, tmp_path: Path
) -> None:
    flags = ("--deadline-ms", "60000", "--check-interval-s", "3600", "--drain-s", "0")
    server = start(lambda: Transformer(folder, fake.target, tmp_path / "log", *flags))
    assert isinstance(server, Transformer)
    server.wait_ready()
    fake.stop()
    # The first may still meet the old connection, which breaks under it; the second meets none.
    assert httpx.post(server.url + INFER, json=v2(records(1)), timeout=90).status_code == 503
    retries = server.metric("lead_predictor_retries_total")
    began = time.monotonic()
    response = httpx.post(server.url + INFER, json=v2(records(1)), timeout=90)
    assert response.status_code == 503
    assert response.headers["retry-after"]
    with grpc.insecure_channel(server.target) as channel, pytest.raises(grpc.RpcError) as caught:
        infer_stub(channel)(message(records(1)), timeout=90)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert time.monotonic() - began < 20
    assert server.metric("lead_predictor_retries_total") == retries + 2
    fake.start()
    eventually(
        lambda: httpx.post(server.url + INFER, json=v2(records(1)), timeout=90).status_code == 200, what="a connection"
    )


def test_a_request_that_reached_the_predictor_is_never_repeated(
    start: Callable[[Callable[[], Server]], Server], folder: Path, fake: FakePredictor, tmp_path: Path
) -> None:
    """The connection breaks while the predictor works: whether it did the work nobody knows; it is not asked again."""
    flags = ("--deadline-ms", "30000", "--check-interval-s", "3600", "--drain-s", "0")
    server = start(lambda: Transformer(folder, fake.target, tmp_path / "log", *flags))
    assert isinstance(server, Transformer)
    server.wait_ready()
    fake.mode = "hang"
    started = fake.started
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(lambda: httpx.post(server.url + INFER, json=v2(records(1)), timeout=60))
        eventually(lambda: fake.started == started + 1, what="the predictor's call")
        fake.stop()
        assert asking.result().status_code == 503
    assert server.metric("lead_predictor_retries_total") == 0
    assert server.metric("lead_predictor_failures_total", kind="away") == 1


@pytest.mark.parametrize(
    ("margin", "contributions", "kind"),
    [
        ([0.0], None, "malformed"),
        ([0.0, 0.0, 0.0], None, "malformed"),
        ([0.0, np.nan], None, "not_finite"),
        ([0.0, -np.inf], None, "not_finite"),
        ([0.0, 0.0], [0.0] * 5, "malformed"),
        ([0.0, 0.0], [0.0] * 5 + [np.nan], "not_finite"),
        ([0.0, 1.0], [0.0] * 6, "malformed"),
    ],
)
def test_every_unusable_answer_has_its_kind(margin: list[float], contributions: list[float] | None, kind: str) -> None:
    shares = None if contributions is None else np.array(contributions, dtype=np.float32)
    with pytest.raises(PredictorFault) as caught:
        checked(np.array(margin, dtype=np.float32), shares, leads=2, width=2, explain=shares is not None)
    assert caught.value.kind == kind


def test_explanations_that_were_asked_for_and_did_not_come_are_malformed() -> None:
    with pytest.raises(PredictorFault) as caught:
        checked(np.zeros(2, dtype=np.float32), None, leads=2, width=2, explain=True)
    assert caught.value.kind == "malformed"
