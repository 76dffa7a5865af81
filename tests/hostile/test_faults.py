"""Parts that freeze, die and come back: every request ends in time, no score is wrong, and it heals by itself."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import orjson
import pytest

from lead_scoring.contract import files
from lead_scoring.local import control
from tests.end_to_end import payloads
from tests.hostile.conftest import V1
from tests.hostile.load import Ending, ask_once, closed_loop, count
from tests.hostile.pods import Pod, rss_bytes
from tests.hostile.wire import Pipeline, request_bytes
from tests.local.traffic import Question, questions
from tests.support.stack import alive, running_stack, until, versions
from tests.transformer.service.payloads import INFER, infer_stub, message, records, v2
from tests.transformer.service.processes import eventually

DEADLINE_S = 0.9
SLACK_S = 1.0
"""What a busy machine may add to a deadline before it counts as missed."""
RECOVERY_S = 10.0
Start = Callable[..., Pod]


def good(leads: int = 1) -> bytes:
    return request_bytes(INFER, orjson.dumps(v2(records(leads))), {"content-type": "application/json"})


def expect_right(answers: list[Ending]) -> None:
    """Every score that was given is the same: nothing was mixed up, whatever happened in between."""
    found = {orjson.dumps(orjson.loads(ending.body)["outputs"]) for ending in answers if ending.status == 200}
    assert len(found) == 1


def wait_for_answers(pod: Pod, request: bytes | None = None) -> float:
    """Return the seconds until a request is answered again."""
    began, asked = time.monotonic(), request or good()

    async def attempt() -> bool:
        connection = Pipeline("127.0.0.1", pod.transformer.http_port)
        ending = await ask_once(connection, asked)
        connection.close()
        return ending.status == 200

    eventually(lambda: asyncio.run(attempt()), what="an answer")
    return time.monotonic() - began


@pytest.mark.parametrize("door", ["socket", "grpc"])
def test_a_frozen_predictor_costs_each_request_its_deadline_and_no_more(
    pods: Start, small_folder: Path, door: str
) -> None:
    pod = pods(small_folder, "--check-interval-s", "0.5", door=door)

    async def load(seconds: float) -> list[Ending]:
        end = time.monotonic() + seconds
        return await closed_loop(
            pod.transformer.http_port, [good()], connections=8, until=lambda: time.monotonic() > end
        )

    warm = asyncio.run(load(0.5))
    assert set(count(warm)) <= {200, 503, 504}
    pod.freeze()
    try:
        frozen = asyncio.run(load(3.0))
        with grpc.insecure_channel(pod.transformer.target) as channel, pytest.raises(grpc.RpcError) as caught:
            infer_stub(channel)(message(records(1)), timeout=20)
        assert caught.value.code().name in ("DEADLINE_EXCEEDED", "UNAVAILABLE", "RESOURCE_EXHAUSTED")
        eventually(lambda: not pod.transformer.is_ready(), what="unready")
    finally:
        pod.thaw()
    thawed = time.monotonic()
    assert len(frozen) >= 8
    assert set(count(frozen)) <= {503, 504}
    assert max(ending.seconds for ending in frozen) < DEADLINE_S + SLACK_S
    pod.transformer.wait_ready()
    assert wait_for_answers(pod) < RECOVERY_S
    assert time.monotonic() - thawed < RECOVERY_S
    after = asyncio.run(load(0.5))
    assert count(after)[200] > 0.5 * len(after)
    expect_right(warm + after)
    eventually(lambda: pod.transformer.metric("lead_requests_in_flight") == 0, what="nothing in flight")


@pytest.mark.parametrize("door", ["socket", "grpc"])
def test_a_large_frozen_pile_is_bounded(pods: Start, door: str) -> None:
    """Requests of 500 wide leads to a predictor that reads nothing: what could not be sent is let go, not kept."""
    pod = pods(V1, "--check-interval-s", "0.5", "--deadline-ms", "200", door=door)
    pid = pod.transformer.process.pid
    contract = files.read(V1 / "contract.json")
    body, told = payloads.packed_binary(contract, [dict(lead.lead) for lead in contract.golden.leads[:100]] * 5)
    big = request_bytes(INFER, body, {"content-type": "application/octet-stream", **told})

    async def load(seconds: float) -> list[Ending]:
        end = time.monotonic() + seconds
        return await closed_loop(pod.transformer.http_port, [big], connections=64, until=lambda: time.monotonic() > end)

    asyncio.run(load(1.5))
    before = rss_bytes(pid)
    pod.freeze()
    try:
        frozen = asyncio.run(load(4.0))
        assert set(count(frozen)) <= {503, 504}
        assert rss_bytes(pid) - before < 50 * 2**20
    finally:
        pod.thaw()
    assert wait_for_answers(pod, big) < RECOVERY_S


@pytest.mark.parametrize("door", ["socket", "grpc"])
def test_a_killed_predictor_is_noticed_and_a_new_one_is_found(pods: Start, small_folder: Path, door: str) -> None:
    pod = pods(small_folder, "--check-interval-s", "0.2", door=door)
    finished = False

    async def scenario() -> list[Ending]:
        nonlocal finished
        loading = asyncio.create_task(
            closed_loop(pod.transformer.http_port, [good()], connections=4, until=lambda: finished)
        )
        await asyncio.sleep(0.3)
        pod.kill()
        await asyncio.to_thread(eventually, lambda: not pod.transformer.is_ready(), what="unready")
        await asyncio.to_thread(pod.revive)
        revived = time.monotonic()
        await asyncio.to_thread(pod.transformer.wait_ready)
        assert time.monotonic() - revived < RECOVERY_S
        await asyncio.sleep(0.5)
        finished = True
        return await loading

    endings = asyncio.run(scenario())
    assert set(count(endings)) <= {200, 503, 504}
    assert count(endings)[503] > 0
    assert max(ending.seconds for ending in endings) < DEADLINE_S + SLACK_S
    assert wait_for_answers(pod) < RECOVERY_S
    expect_right(endings)
    assert pod.transformer.process.poll() is None


def test_a_predictor_that_stutters_costs_late_answers_and_no_wrong_ones(pods: Start, small_folder: Path) -> None:
    """Frozen for 100 ms of every 200: slow, and never confused about whose answer is whose."""
    pod = pods(small_folder)
    requests = [
        request_bytes(INFER, orjson.dumps(v2(records(3, seed=seed), reasons=1)), {"content-type": "application/json"})
        for seed in range(7)
    ]
    finished = False

    async def stutter() -> None:
        nonlocal finished
        for _ in range(15):
            pod.freeze()
            await asyncio.sleep(0.1)
            pod.thaw()
            await asyncio.sleep(0.1)
        finished = True

    async def ask(number: int) -> list[Ending]:
        return await closed_loop(pod.transformer.http_port, [requests[number]], connections=1, until=lambda: finished)

    async def run() -> list[list[Ending]]:
        stuttering = asyncio.create_task(stutter())
        found = await asyncio.gather(*(ask(number) for number in range(len(requests))))
        await stuttering
        return list(found)

    answers = asyncio.run(run())
    for endings in answers:
        assert set(count(endings)) <= {200, 503, 504}
        assert count(endings)[200] > 5
        expect_right(endings)
    firsts = [next(ending.body for ending in endings if ending.status == 200) for endings in answers]
    assert len({orjson.dumps(orjson.loads(body)["outputs"]) for body in firsts}) == len(requests)
    assert pod.transformer.is_ready()


def test_a_frozen_transformer_takes_no_more_traffic_and_the_other_variant_notices_nothing(tmp_path: Path) -> None:
    """Behind the gateway, half of the traffic on each: the gateway's checks take the frozen one out, and back in."""
    with running_stack(tmp_path, versions(tmp_path)) as stack:
        control.shift(stack.folder, 50, wait_s=60)
        asked: list[Question] = questions(stack, count=5)
        pid = stack.state.pids["v2 transformer"]
        path = f"/v2/models/{stack.state.model}/infer"
        requests = [
            request_bytes(path, question.rest, {"content-type": "application/json", "x-lead-key": f"lead-{number}"})
            for number, question in enumerate(asked * 8)
        ]

        def load(until_then: Callable[[], bool]) -> list[Ending]:
            return asyncio.run(closed_loop(stack.port, requests, connections=8, until=until_then))

        def for_s(seconds: float) -> Callable[[], bool]:
            end = time.monotonic() + seconds
            return lambda: time.monotonic() > end

        assert count(load(for_s(1)))[200] > 0
        os.kill(pid, signal.SIGSTOP)
        try:
            frozen = load(for_s(3))
            # Until the gateway knows, the frozen one's leads wait for a second; nobody waits longer.
            assert set(count(frozen)) <= {200, 503, 504}
            assert max(ending.seconds for ending in frozen) < 1.0 + SLACK_S
            until(lambda: set(count(load(for_s(0.3)))) <= {200, 503}, "the frozen one is out", within_s=30)
            # Out: its leads are refused at once, with 503, and the other variant's are all answered.
            out = load(for_s(1))
            assert 504 not in count(out)
            assert count(out)[200] > 10
            assert b'"v2"' not in b"".join(ending.body for ending in out)
        finally:
            os.kill(pid, signal.SIGCONT)
        thawed = time.monotonic()
        until(lambda: any(b'"v2"' in ending.body for ending in load(for_s(0.2)) if ending.status == 200), "it is back")
        assert time.monotonic() - thawed < RECOVERY_S
        assert all(map(alive, stack.pids()))
