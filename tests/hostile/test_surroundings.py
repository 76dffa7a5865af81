"""A disk that is full, and clocks that jump: the service goes on, says what it lost, and picks up where it can."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import orjson
import pytest

from lead_scoring.local.ports import free_ports
from tests.hostile.pods import Pod
from tests.support.small_model import AS_OF
from tests.transformer.service.payloads import INFER, PREDICT, records, v1, v2
from tests.transformer.service.processes import PREDICTOR_PYTHON, ROOT, Transformer, eventually

Start = Callable[..., Pod]
BODY = orjson.dumps(v2(records(2)))
JUMPS = """
import time
real, calls = time.{clock}, 0
def jumping():
    global calls
    calls += 1
    return real() + (0, 400 * 86400, -400 * 86400, 7200, -7200)[calls % 5]
time.{clock} = jumping
"""


def serve(folder: Path, predictor: str, out: object, port: int, **popen: object) -> subprocess.Popen[bytes]:
    command = [
        sys.executable, "-m", "lead_transformer", "--model-dir", str(folder), "--predictor_host", predictor,
        "--host", "127.0.0.1", "--http_port", str(port), "--enable_grpc", "false", "--drain-s", "0",
    ]  # fmt: skip
    return subprocess.Popen(command, stdout=out, stderr=out, cwd=ROOT, **popen)  # type: ignore[call-overload, no-any-return]


def is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/v2/health/ready", timeout=10).status_code == 200
    except httpx.TransportError:
        return False


def dropped(port: int) -> float:
    lines = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text.splitlines()
    (found,) = [line for line in lines if line.startswith("lead_log_lines_dropped_total")]
    return float(found.rpartition(" ")[2])


@pytest.fixture
def ended() -> Iterator[list[subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def test_with_nowhere_to_log_to_every_request_is_answered_and_lost_lines_are_counted(
    small_folder: Path, ended: list[subprocess.Popen[bytes]]
) -> None:
    """Both processes write to a device that is always full, from their first line on."""
    port, rest_port, grpc_port = free_ports(3)
    with Path("/dev/full").open("wb") as full:
        command = [
            str(PREDICTOR_PYTHON), "-m", "lead_predictor", "--model-dir", str(small_folder),
            "--http-port", str(rest_port), "--grpc-port", str(grpc_port),
        ]  # fmt: skip
        ended.append(subprocess.Popen(command, stdout=full, stderr=full, cwd=ROOT))
        ended.append(serve(small_folder, f"127.0.0.1:{grpc_port}", full, port))
    eventually(lambda: is_ready(port), what="readiness")
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        for _ in range(300):
            assert client.post(INFER, content=BODY).status_code == 200
        assert client.post(INFER, content=b"{}").status_code == 400
    eventually(lambda: dropped(port) >= 300, what="the count of lost lines")
    assert is_ready(port)
    ended[1].terminate()
    assert ended[1].wait(timeout=60) == 0


def test_a_disk_that_fills_up_and_is_emptied_again(
    pods: Start, small_folder: Path, tmp_path: Path, ended: list[subprocess.Popen[bytes]]
) -> None:
    """The log may grow to 8 KiB and no further; later it may. Answers never stop, and the log comes back by itself."""
    pod = pods(small_folder, door="grpc")
    (port,), log = free_ports(1), tmp_path / "log"
    room = (8192, resource.RLIM_INFINITY)
    with log.open("wb") as out:
        process = serve(
            small_folder, pod.predictor_target, out, port,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, room),
        )  # fmt: skip
    ended.append(process)
    eventually(lambda: is_ready(port), what="readiness")
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:

        def answer_many() -> bool:
            return all(client.post(INFER, content=BODY).status_code == 200 for _ in range(50))

        eventually(lambda: answer_many() and dropped(port) > 0, what="a full disk")
        assert log.stat().st_size <= 8192
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        eventually(lambda: answer_many() and log.stat().st_size > 12_000, what="lines again")
    process.terminate()
    assert process.wait(timeout=60) == 0


@pytest.mark.parametrize("clock", ["time"])
def test_a_clock_that_jumps_by_years_ends_no_request_early_and_lets_none_hang(
    pods: Start, small_folder: Path, tmp_path: Path, clock: str
) -> None:
    """Every look at the wall clock tells another year; waits and deadlines are on one that can't be set.

    Over the socket: gRPC for Python adds a call's timeout to the wall clock, so only a jump within a call's first
    microseconds would harm it, but this double, which gRPC's core does not see, harms every call.
    """
    pod = pods(small_folder)
    (tmp_path / "sitecustomize.py").write_text(JUMPS.format(clock=clock))
    transformer = Transformer(
        small_folder, pod.predictor_target, tmp_path / "jumping.log", "--predictor-socket", str(pod.socket),
        environment={"PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    try:
        transformer.wait_ready()
        with httpx.Client(timeout=30) as client:
            right = client.post(pod.transformer.url + INFER, content=BODY).json()["outputs"][:3]
            years = set()
            for _ in range(100):
                response = client.post(transformer.url + INFER, content=BODY)
                assert response.status_code == 200, response.text
                assert response.json()["outputs"][:3] == right
                years.add(response.json()["parameters"]["timestamp"][:4])
            assert len(years) > 1  # it did jump
            pod.freeze()
            began = time.monotonic()
            assert client.post(transformer.url + INFER, content=BODY).status_code in (503, 504)
            assert time.monotonic() - began < 2.0
            pod.thaw()
            eventually(lambda: client.post(transformer.url + INFER, content=BODY).status_code == 200, what="an answer")
    finally:
        pod.thaw()
        transformer.close()


@pytest.mark.parametrize("as_of", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", -62_135_596_800])
def test_moments_far_off_are_answered_or_refused_by_the_contract(
    pods: Start, small_folder: Path, as_of: object
) -> None:
    pod = pods(small_folder)
    lead = {**records(1)[0], "last_seen": None}
    right = httpx.post(pod.transformer.url + PREDICT, json=v1([lead], as_of=AS_OF), timeout=30).json()["predictions"]
    far = httpx.post(pod.transformer.url + PREDICT, json=v1([lead], as_of=as_of), timeout=30)
    assert far.status_code == 200  # without a time among its features, the moment changes nothing
    assert far.json()["predictions"] == right
    seen = httpx.post(pod.transformer.url + PREDICT, json=v1([{**lead, "last_seen": AS_OF}], as_of=as_of), timeout=30)
    assert seen.status_code == 400
    assert seen.json()["problems"][0]["reason"] == "out_of_range"
