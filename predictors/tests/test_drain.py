"""SIGTERM: whoever asked before it gets an answer, whoever asks after it a clean refusal; then a quiet end."""

from __future__ import annotations

import http.client
import json
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import grpc
import heavy_model
import numpy as np
import pytest
import tritonclient.http as triton_http
from running import DEADLINE_S, MODEL, Predictor, arrays, ask, frame_request, infer, running
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub


def quiet_end(predictor: Predictor) -> None:
    assert predictor.ended() == 0
    assert [line["message"] for line in predictor.log][-1] == "ended"
    assert all("exception" not in line and line["level"] == "INFO" for line in predictor.log), predictor.log
    assert (predictor.unparsed, predictor.stderr) == ([], "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_predictor_ends_at_once_with_0(folder: Path, tmp_path: Path, number: signal.Signals) -> None:
    with running(folder, tmp_path) as predictor:
        predictor.process.send_signal(number)
        quiet_end(predictor)


def test_a_signal_during_the_load_ends_it_with_0(heavy_folder: Path, tmp_path: Path) -> None:
    predictor = Predictor(heavy_folder, cwd=tmp_path)
    try:
        predictor.wait_for("listening")
        predictor.terminate()
        assert predictor.ended() == 0
        assert (predictor.unparsed, predictor.stderr) == ([], "")
    finally:
        predictor.kill()


def test_under_load_every_request_is_answered_or_cleanly_refused(heavy_folder: Path, tmp_path: Path) -> None:
    """Eight callers of all kinds, each until it is refused; what was sent before the signal is answered, and right."""
    matrix = heavy_model.leads(200)
    answered: list[tuple[float, float]] = []
    refused: list[tuple[float, grpc.StatusCode]] = []
    wrong: list[str] = []
    stop = threading.Event()
    with running(heavy_folder, tmp_path) as predictor, predictor.channel() as channel:
        expected = infer(channel, matrix, ("margin", "contributions"))

        def call(caller: int) -> None:
            rows = (1, 40, 100, 200)[caller % 4]
            outputs = ("margin", "contributions") if caller >= 6 else ("margin",)
            with predictor.channel() as own:
                while not stop.is_set():
                    began = time.monotonic()
                    try:
                        found = arrays(ask(own, frame_request(matrix[:rows], *outputs)), rows)
                    except grpc.RpcError as error:
                        refused.append((began, error.code()))
                        return
                    answered.append((began, time.monotonic()))
                    wrong.extend(n for n in outputs if not np.array_equal(found[n], expected[n][:rows]))

        with ThreadPoolExecutor(8) as pool:
            callers = [pool.submit(call, caller) for caller in range(8)]
            deadline = time.monotonic() + DEADLINE_S
            while len(answered) < 100 and time.monotonic() < deadline:
                stop.wait(0.01)
            signalled = time.monotonic()
            predictor.terminate()
            predictor.process.wait(DEADLINE_S)
            stop.set()
            assert not wait(callers, DEADLINE_S).not_done
        for caller in callers:
            caller.result()
        assert wrong == []
        assert [code for began, code in refused if began < signalled] == []
        assert {code for _, code in refused} == {grpc.StatusCode.UNAVAILABLE}
        assert any(began < signalled < ended for began, ended in answered), (
            "nothing was in flight: the test shows nothing"
        )
        quiet_end(predictor)


def test_rest_requests_in_flight_are_answered_too(heavy_folder: Path, tmp_path: Path) -> None:
    matrix = np.nan_to_num(heavy_model.leads(300))
    with running(heavy_folder, tmp_path) as predictor:
        sent = threading.Barrier(5)

        def call() -> tuple[int, ...]:
            with triton_http.InferenceServerClient(f"127.0.0.1:{predictor.http_port}", network_timeout=90) as client:
                tensor = triton_http.InferInput("features", list(matrix.shape), "FP32")
                tensor.set_data_from_numpy(matrix, binary_data=False)
                asked = [triton_http.InferRequestedOutput("contributions", binary_data=False)]
                client.is_server_live()
                sent.wait(DEADLINE_S)
                return client.infer(MODEL, [tensor], outputs=asked).as_numpy("contributions").shape

        before = predictor.cpu_s()
        with ThreadPoolExecutor(4) as pool:
            calls = [pool.submit(call) for _ in range(4)]
            sent.wait(DEADLINE_S)
            deadline = time.monotonic() + DEADLINE_S
            while predictor.cpu_s() - before < 0.3 and time.monotonic() < deadline:
                threading.Event().wait(0.01)
            assert not any(call.done() for call in calls), "nothing was in flight: the test shows nothing"
            predictor.terminate()
            assert [call.result(DEADLINE_S) for call in calls] == [(300, heavy_model.WIDTH + 1)] * 4
        quiet_end(predictor)


def test_not_ready_while_draining(heavy_folder: Path, tmp_path: Path) -> None:
    """The readiness that a probe sees goes before the doors close."""
    with running(heavy_folder, tmp_path) as predictor:
        with triton_http.InferenceServerClient(f"127.0.0.1:{predictor.http_port}", network_timeout=90) as client:
            assert client.is_server_ready()
            predictor.terminate()
            predictor.wait_for("draining")
            assert not client.is_server_ready()
            assert client.is_server_live()
        quiet_end(predictor)


def test_what_was_on_the_wire_before_the_signal_is_answered(heavy_folder: Path, tmp_path: Path) -> None:
    """Stopped, the server finds requests and signal at once when it goes on: it must not look at the signal alone."""
    matrix = np.nan_to_num(heavy_model.leads(3))
    body = {"inputs": [{"name": "features", "datatype": "FP32", "shape": [3, 50], "data": matrix.ravel().tolist()}]}
    with running(heavy_folder, tmp_path) as predictor, predictor.channel() as channel:
        infer(channel, matrix)
        rest = http.client.HTTPConnection("127.0.0.1", predictor.http_port, timeout=DEADLINE_S)
        rest.connect()
        predictor.process.send_signal(signal.SIGSTOP)
        calls = [
            GRPCInferenceServiceStub(channel).ModelInfer.future(frame_request(matrix, "margin"), timeout=DEADLINE_S)
            for _ in range(20)
        ]
        rest.request("POST", f"/v2/models/{MODEL}/infer", json.dumps(body))
        wait_until_received(predictor.grpc_port, 20 * matrix.nbytes)
        predictor.terminate()
        predictor.process.send_signal(signal.SIGCONT)
        assert [len(arrays(call.result(), 3)["margin"]) for call in calls] == [3] * 20
        assert rest.getresponse().status == 200
        rest.close()
        quiet_end(predictor)


def wait_until_received(port: int, count: int) -> None:
    """Wait until so many bytes lie unread in the socket of a connection to a port."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        for name in ("tcp", "tcp6"):
            for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
                fields = line.split()
                local, unread = int(fields[1].rpartition(":")[2], 16), int(fields[4].partition(":")[2], 16)
                if fields[3] == "01" and local == port and unread >= count:
                    return
        threading.Event().wait(0.01)
    raise AssertionError("the requests never arrived")


def test_rest_serves_as_long_as_grpc(folder: Path, tmp_path: Path) -> None:
    """Left to itself, uvicorn takes the signal and closes its door while the other one is still open."""
    with running(folder, tmp_path) as predictor:
        predictor.terminate()
        while rest_answers(predictor.http_port):
            pass
        with predictor.channel() as channel, pytest.raises(grpc.RpcError) as closed:
            GRPCInferenceServiceStub(channel).ServerLive(pb.ServerLiveRequest(), timeout=DEADLINE_S)
        assert closed.value.code() is grpc.StatusCode.UNAVAILABLE
        quiet_end(predictor)


def rest_answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    try:
        connection.request("GET", "/v2/health/live")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
