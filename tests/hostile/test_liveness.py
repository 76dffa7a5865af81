"""Whether the predictor should be started anew, as its caller tells: frozen or dead, and never because it is busy."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import orjson
import pytest

from tests.hostile.conftest import V1
from tests.hostile.pods import Pod
from tests.support.stack import Stack
from tests.transformer.service.payloads import INFER, records, v2
from tests.transformer.service.processes import eventually

Start = Callable[..., Pod]
SILENCE_S = 1.0
QUICK = ("--check-interval-s", "0.2", "--check-timeout-ms", "200", "--predictor-silence-s", str(SILENCE_S))


def asked(pod: Pod) -> int:
    return httpx.get(f"{pod.transformer.url}/health/predictor", timeout=10).status_code


def is_alive(pod: Pod) -> bool:
    return httpx.get(f"{pod.transformer.url}/v2/health/live", timeout=10).status_code == 200


def test_a_frozen_predictor_is_to_be_restarted_and_the_transformer_is_not(pods: Start, small_folder: Path) -> None:
    pod = pods(small_folder, *QUICK, door="grpc")
    assert asked(pod) == 200
    pod.freeze()
    frozen = time.monotonic()
    try:
        eventually(lambda: asked(pod) == 503, within_s=20, what="gone")
        assert time.monotonic() - frozen > SILENCE_S  # not at its first stumble
        assert is_alive(pod)
    finally:
        pod.thaw()
    eventually(lambda: asked(pod) == 200, what="back")


@pytest.mark.parametrize("door", ["socket", "grpc"])
def test_a_killed_predictor_is_gone_until_a_new_one_answers(pods: Start, small_folder: Path, door: str) -> None:
    pod = pods(small_folder, *QUICK, door=door)
    pod.kill()
    eventually(lambda: asked(pod) == 503, within_s=20, what="gone")
    assert is_alive(pod)
    pod.revive()
    pod.transformer.wait_ready()
    assert asked(pod) == 200


def test_the_defaults_tell_within_10_seconds(pods: Start, small_folder: Path) -> None:
    """What is left of them is the kubelet's, to ask twice and to start it anew."""
    pod = pods(small_folder)
    pod.freeze()
    frozen = time.monotonic()
    eventually(lambda: asked(pod) == 503, within_s=30, what="gone")
    assert time.monotonic() - frozen < 8.0
    eventually(lambda: not pod.transformer.is_ready(), what="unready")


def test_a_frozen_transformer_does_not_blame_the_predictor(pods: Start, small_folder: Path) -> None:
    """It wakes with calls that are long overdue, and has heard of one moment of silence."""
    silence_s = 2.0
    pod = pods(small_folder, *QUICK, "--predictor-silence-s", str(silence_s))
    pod.freeze()
    pod.transformer.process.send_signal(signal.SIGSTOP)
    threading.Event().wait(2 * silence_s)
    pod.transformer.process.send_signal(signal.SIGCONT)
    woken, found = time.monotonic(), set()
    while time.monotonic() < woken + silence_s / 2:
        found.add(asked(pod))
    assert found == {200}
    pod.thaw()
    pod.transformer.wait_ready()


@pytest.mark.timeout(300)
def test_a_busy_predictor_goes_on(pods: Start) -> None:
    """Explanations of hundreds of leads from more callers than it can serve: late answers and refusals, no restart."""
    from tests.end_to_end import payloads
    from tests.hostile.test_pressure import _contract, _golden

    pod = pods(V1, *QUICK)
    leads = [dict(lead.lead) for lead in _golden(V1)[:100]] * 5
    document = payloads.named(_contract(V1), leads)
    document["parameters"] = {**document.get("parameters", {}), "explain": True}
    body, done = orjson.dumps(document), threading.Event()
    statuses: list[int] = []

    def ask() -> None:
        with httpx.Client(timeout=60) as client:
            while not done.is_set():
                statuses.append(client.post(pod.transformer.url + INFER, content=body).status_code)

    askers = [threading.Thread(target=ask) for _ in range(24)]
    for asker in askers:
        asker.start()
    try:
        end, found = time.monotonic() + 6 * SILENCE_S, set()
        while time.monotonic() < end:
            found.add(asked(pod))
    finally:
        done.set()
        for asker in askers:
            asker.join(timeout=60)
    assert found == {200}
    assert statuses.count(200) < len(statuses)  # it was too much


def test_nobody_outside_can_ask(stack: Stack) -> None:
    assert httpx.get(f"{stack.url}/health/predictor", timeout=30).status_code == 404
    port = stack.state.variant("stable").rest_port
    answer = httpx.get(f"http://127.0.0.1:{port}/health/predictor", timeout=30)
    assert (answer.status_code, answer.json()["live"]) == (200, True)
    assert httpx.post(f"{stack.url}{INFER}", json=v2(records(1)), timeout=30).status_code == 400  # the road is open
