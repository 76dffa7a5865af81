"""Ready only when the golden leads score right through the whole path, and only for as long as they do."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import httpx
import msgspec
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from lead_scoring.contract.files import feature_set_sha256
from lead_scoring.packaging import folder as version_folder
from tests.transformer.service.fake_predictor import FakePredictor
from tests.transformer.service.payloads import INFER, infer_stub, message, records, v2
from tests.transformer.service.processes import Server, Transformer, eventually

Start = Callable[[Callable[[], Server]], Server]
QUICK = ("--check-interval-s", "0.1", "--check-timeout-ms", "300", "--check-failures", "2", "--drain-s", "0")


def ready_everywhere(transformer: Transformer) -> set[bool]:
    """Return what every door says."""
    said = {
        httpx.get(transformer.url + path, timeout=30).status_code == 200
        for path in ("/v2/health/ready", "/v2/models/lead-scoring/ready", "/v2/models/lead-scoring/versions/7/ready",
                     "/v1/models/lead-scoring")
    }  # fmt: skip
    with grpc.insecure_channel(transformer.target) as channel:
        stub = GRPCInferenceServiceStub(channel)
        said.add(stub.ServerReady(pb.ServerReadyRequest(), timeout=30).ready)
        said.add(stub.ModelReady(pb.ModelReadyRequest(name="lead-scoring"), timeout=30).ready)
        said.add(transformer.metric("lead_ready") == 1)
    return said


def alive_everywhere(transformer: Transformer) -> bool:
    with grpc.insecure_channel(transformer.target) as channel:
        live = GRPCInferenceServiceStub(channel).ServerLive(pb.ServerLiveRequest(), timeout=30).live
    paths = ("/", "/v2/health/live")
    return live and all(httpx.get(transformer.url + path, timeout=30).status_code == 200 for path in paths)


def launch(start: Start, folder: Path, predictor: str, log: Path, *flags: str) -> Transformer:
    server = start(lambda: Transformer(folder, predictor, log, *QUICK, *flags))
    assert isinstance(server, Transformer)
    return server


def test_a_predictor_that_comes_late_makes_it_ready_late(
    start: Start, folder: Path, fake: FakePredictor, tmp_path: Path
) -> None:
    fake.stop()
    transformer = launch(start, folder, fake.target, tmp_path / "log")
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        assert ready_everywhere(transformer) == {False}
        assert alive_everywhere(transformer)
    refused = httpx.post(transformer.url + INFER, json=v2(records(1)), timeout=30)
    assert (refused.status_code, refused.json()["code"]) == (503, "not_ready")
    fake.start()
    eventually(lambda: ready_everywhere(transformer) == {True}, what="readiness")
    assert httpx.post(transformer.url + INFER, json=v2(records(1)), timeout=30).status_code == 200
    assert transformer.terminate() == 0


@pytest.mark.parametrize("mode", ["wrong", "nan", "short", "other_version", "hang"])
def test_a_predictor_that_scores_otherwise_is_never_ready(
    start: Start, folder: Path, fake: FakePredictor, tmp_path: Path, mode: str
) -> None:
    fake.mode = mode
    transformer = launch(start, folder, fake.target, tmp_path / "log")
    if mode != "hang":
        eventually(lambda: transformer.metric("lead_deep_checks_total", result="failed") >= 3, what="three attempts")
        causes = [line.get("cause", "") for line in transformer.lines()]
        assert sum(map(bool, causes)) == 1  # said once, not once per attempt
    assert ready_everywhere(transformer) == {False}
    assert httpx.post(transformer.url + INFER, json=v2(records(1)), timeout=30).status_code == 503
    fake.mode = "right"
    if mode != "hang":
        transformer.wait_ready()


def test_a_predictor_with_other_tensors_is_never_ready(
    start: Start, folder: Path, fake: FakePredictor, tmp_path: Path
) -> None:
    fake.tensors_shape = [-1, 9]
    transformer = launch(start, folder, fake.target, tmp_path / "log")
    eventually(lambda: transformer.metric("lead_deep_checks_total", result="failed") >= 2, what="two attempts")
    assert ready_everywhere(transformer) == {False}
    assert fake.started == 0
    assert any("input tensors" in line.get("cause", "") for line in transformer.lines())


@pytest.mark.parametrize(("change", "value"), [("score", None), ("probability", 0.9), ("features_used", 1)])
def test_a_single_golden_lead_that_differs_keeps_it_unready(
    start: Start, folder: Path, fake: FakePredictor, tmp_path: Path, change: str, value: float | None
) -> None:
    """Everything is intact and signed; only one expected answer is another."""
    files = version_folder.read_verified(folder)
    contract, replace = files.contract, msgspec.structs.replace
    *leads, last = contract.golden.leads
    altered = replace(last, **{change: value or (last.score % 5) + 1})
    contract = replace(
        contract,
        golden=replace(contract.golden, leads=[*leads, altered]),
        training=replace(contract.training, feature_set_sha256=feature_set_sha256(contract.features)),
    )
    other = version_folder.write(tmp_path / "repository", contract, files.model)
    transformer = launch(start, other, fake.target, tmp_path / "log")
    eventually(lambda: transformer.metric("lead_deep_checks_total", result="failed") >= 2, what="two attempts")
    assert ready_everywhere(transformer) == {False}
    assert any("golden lead" in line.get("cause", "") for line in transformer.lines())


def test_it_is_unready_while_the_predictor_is_away_and_comes_back_by_itself(
    transformer: Transformer, fake: FakePredictor
) -> None:
    fake.stop()
    eventually(lambda: ready_everywhere(transformer) == {False}, what="unreadiness")
    assert alive_everywhere(transformer)  # a restart of this process would not help
    fake.start()
    eventually(lambda: ready_everywhere(transformer) == {True}, what="readiness")


def test_it_is_unready_while_the_predictor_hangs(transformer: Transformer, fake: FakePredictor) -> None:
    fake.mode = "hang"
    eventually(lambda: ready_everywhere(transformer) == {False}, what="unreadiness")
    assert alive_everywhere(transformer)
    fake.mode = "right"
    transformer.wait_ready()


def test_a_golden_lead_that_scores_wrong_later_stops_the_answers(
    transformer: Transformer, fake: FakePredictor, client: httpx.Client
) -> None:
    fake.mode = "wrong"
    eventually(lambda: ready_everywhere(transformer) == {False}, what="unreadiness")
    response = client.post(transformer.url + INFER, json=v2(records(1)))
    assert (response.status_code, response.json()["code"]) == (503, "not_ready")
    fake.mode = "right"
    transformer.wait_ready()


def test_a_busy_predictor_is_not_an_ill_one(start: Start, folder: Path, fake: FakePredictor, tmp_path: Path) -> None:
    """Deep checks time out, but callers get answers all the while: taking the pod out would only move the overload."""
    transformer = launch(start, folder, fake.target, tmp_path / "log", "--deadline-ms", "30000")
    transformer.wait_ready()
    fake.mode, fake.delay_s = "slow", 0.5  # the deep check waits 0.3
    done = threading.Event()
    statuses: list[object] = []

    def ask() -> None:
        with grpc.insecure_channel(transformer.target) as channel:
            infer = infer_stub(channel)
            while not done.is_set():
                statuses.append(len(infer(message(records(1)), timeout=60).outputs) > 0)

    askers = [threading.Thread(target=ask) for _ in range(8)]
    for asker in askers:
        asker.start()
        time.sleep(0.05)
    try:
        end = time.monotonic() + 4
        while time.monotonic() < end:
            assert transformer.is_ready()
    finally:
        done.set()
        for asker in askers:
            asker.join(timeout=60)
    assert statuses
    assert all(statuses)


def test_a_folder_that_was_altered_is_never_served(folder: Path, tmp_path: Path) -> None:
    import subprocess
    import sys

    altered = tmp_path / "7"
    shutil.copytree(folder, altered)
    model = bytearray((altered / "model.ubj").read_bytes())
    model[len(model) // 2] ^= 1
    (altered / "model.ubj").write_bytes(model)
    ended = subprocess.run(
        [sys.executable, "-m", "lead_transformer", "--model-dir", str(altered)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 3
    assert "model.ubj was altered" in ended.stderr
    assert "listening" not in ended.stdout
