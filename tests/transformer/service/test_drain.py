"""SIGTERM: unready at once, then every request that was sent gets its answer, and the process ends with 0."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import httpx
import orjson
import pytest

from tests.transformer.service.fake_predictor import FakePredictor
from tests.transformer.service.payloads import INFER, infer_stub, message, records, v2
from tests.transformer.service.processes import PredictorProcess, Server, Transformer, eventually

Start = Callable[[Callable[[], Server]], Server]
ROOMY = ("--deadline-ms", "60000", "--queue-wait-ms", "60000")


def launch(start: Start, folder: Path, predictor: str, log: Path, *flags: str) -> Transformer:
    server = start(lambda: Transformer(folder, predictor, log, *ROOMY, *flags))
    assert isinstance(server, Transformer)
    server.wait_ready()
    return server


def assert_clean_end(server: Transformer) -> None:
    assert server.terminate() == 0
    log = server.log.read_text()
    assert '"exception"' not in log
    assert "Traceback" not in log
    assert '"ERROR"' not in log
    assert server.said("stopped")


class Fleet:
    """What a gateway does: sends to the pods that are ready, as their own probes say."""

    def __init__(self, pods: list[Transformer]) -> None:
        self._pods = pods
        self.ready = {pod.url: pod for pod in pods}
        self._done = threading.Event()
        self._watcher = threading.Thread(target=self._watch)
        self._watcher.start()

    def _watch(self) -> None:
        while not self._done.is_set():
            for pod in self._pods:
                if pod.is_ready():
                    self.ready[pod.url] = pod
                else:
                    self.ready.pop(pod.url, None)
            time.sleep(0.05)

    def close(self) -> None:
        self._done.set()
        self._watcher.join(timeout=60)


def test_no_request_is_lost_when_pods_are_replaced_under_load(
    start: Start, folder: Path, predictor_process: PredictorProcess, tmp_path: Path
) -> None:
    """REST on keep-alive connections and gRPC on long-lived channels, through the end of one pod and of another."""
    pods = [launch(start, folder, predictor_process.target, tmp_path / f"pod-{n}", "--drain-s", "3") for n in range(2)]
    fleet = Fleet(pods)
    leads = records(3)
    body, rpc = orjson.dumps(v2(leads)), message(leads)
    expected = httpx.post(pods[0].url + INFER, content=body, timeout=60).json()["outputs"][1]["data"]
    done = threading.Event()
    answered = [0, 0]
    failures: list[str] = []

    def rest() -> None:
        with httpx.Client(timeout=60) as client:
            while not done.is_set():
                url = next(iter(list(fleet.ready)), None)
                if url is None:
                    continue
                try:
                    response = client.post(url + INFER, content=body)
                    if response.status_code != 200 or response.json()["outputs"][1]["data"] != expected:
                        failures.append(f"REST {response.status_code} {response.text[:200]}")
                    answered[0] += 1
                except Exception as error:
                    failures.append(f"REST {error!r}")

    def call() -> None:
        channels = {pod.url: grpc.insecure_channel(pod.target) for pod in pods}
        while not done.is_set():
            url = next(iter(list(fleet.ready)), None)
            if url is None:
                continue
            try:
                response = infer_stub(channels[url])(rpc, timeout=60)
                if list(response.outputs[1].contents.fp64_contents) != expected:
                    failures.append("gRPC other numbers")
                answered[1] += 1
            except grpc.RpcError as error:
                failures.append(f"gRPC {error!r}")
        for channel in channels.values():
            channel.close()

    clients = [threading.Thread(target=target) for target in (rest, rest, rest, call, call, call)]
    for client in clients:
        client.start()
    try:
        eventually(lambda: min(answered) > 50, what="load")
        assert_clean_end(pods[0])
        eventually(lambda: pods[0].url not in fleet.ready, what="the fleet's notice")
        before = list(answered)
        eventually(lambda: min(answered) > min(before) + 50, what="load on the other pod")
    finally:
        done.set()
        for client in clients:
            client.join(timeout=60)
        fleet.close()
    assert failures == []
    assert_clean_end(pods[1])


def test_requests_in_work_are_answered_and_idle_connections_closed(
    start: Start, folder: Path, fake: FakePredictor, tmp_path: Path
) -> None:
    server = launch(start, folder, fake.target, tmp_path / "log", "--drain-s", "0", "--check-interval-s", "3600")
    idle = socket.create_connection(("127.0.0.1", server.http_port), timeout=30)
    fake.mode, fake.delay_s = "slow", 1.5
    data = orjson.dumps(v2(records(1)))
    busy = socket.create_connection(("127.0.0.1", server.http_port), timeout=30)
    head = f"POST {INFER} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    busy.sendall(head.encode() + data)
    with grpc.insecure_channel(server.target) as channel:
        call = infer_stub(channel).future(message(records(1)), timeout=30)
        eventually(lambda: server.metric("lead_requests_in_flight") == 2, what="two requests in work")
        server.process.send_signal(signal.SIGTERM)
        assert idle.recv(1) == b""
        received = b""
        while chunk := busy.recv(65536):
            received += chunk
        assert received.startswith(b"HTTP/1.1 200 ")
        assert b"connection: close" in received
        assert len(call.result().outputs) > 0
    assert fake.cancelled == 0
    assert_clean_end(server)
    idle.close()
    busy.close()


def test_while_it_drains_it_answers_says_unready_and_asks_callers_to_leave(
    start: Start, folder: Path, fake: FakePredictor, tmp_path: Path
) -> None:
    server = launch(start, folder, fake.target, tmp_path / "log", "--drain-s", "600")
    with httpx.Client(timeout=30) as client:
        assert "connection" not in client.post(server.url + INFER, json=v2(records(1))).headers
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: not server.is_ready(), what="unreadiness")
        assert client.get(server.url + "/v2/health/live").status_code == 200
        response = client.post(server.url + INFER, json=v2(records(1)))
        assert response.status_code == 200
        assert response.headers["connection"] == "close"
    assert server.process.poll() is None
    assert_clean_end(server)  # a second signal: no need to wait ten minutes


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_without_a_predictor(
    start: Start, folder: Path, fake: FakePredictor, tmp_path: Path, sig: signal.Signals
) -> None:
    fake.stop()
    server = start(lambda: Transformer(folder, fake.target, tmp_path / "log", "--drain-s", "0"))
    assert isinstance(server, Transformer)
    server.process.send_signal(sig)
    assert server.process.wait(timeout=60) == 0
    assert '"exception"' not in server.log.read_text()
