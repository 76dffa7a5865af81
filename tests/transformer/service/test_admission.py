"""So many at a time, so many in a queue, everyone else turned away at once."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import httpx
import pytest
from lead_transformer.admission import Admission, AdmissionLimits, expected_wait_s

from lead_scoring.errors import DeadlineExceeded, Overloaded
from tests.transformer.service.fake_predictor import FakePredictor
from tests.transformer.service.payloads import INFER, infer_stub, message, records, v2
from tests.transformer.service.processes import Server, Transformer, eventually


def far() -> float:
    return time.perf_counter() + 60


def test_places_are_given_at_once_and_the_queue_is_first_in_first_out() -> None:
    async def run() -> None:
        admission = Admission(AdmissionLimits(concurrency=2, queue=3, wait_s=60))
        order: list[int] = []

        async def work(number: int) -> None:
            await admission.enter(far())
            order.append(number)

        await work(0)
        await work(1)
        waiting = [asyncio.create_task(work(number)) for number in (2, 3, 4)]
        await asyncio.sleep(0)
        assert (admission.running, admission.waiting, order) == (2, 3, [0, 1])
        for _ in waiting:
            admission.leave(0.0)
        await asyncio.gather(*waiting)
        assert order == [0, 1, 2, 3, 4]
        assert (admission.running, admission.waiting) == (2, 0)
        admission.leave(0.0)
        admission.leave(0.0)
        assert admission.running == 0

    asyncio.run(run())


def test_a_full_queue_refuses_at_once() -> None:
    async def run() -> None:
        refused: list[str] = []
        admission = Admission(AdmissionLimits(concurrency=1, queue=1, wait_s=60), refused=refused.append)
        await admission.enter(far())
        waiting = asyncio.create_task(admission.enter(far()))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded) as caught:
            await admission.enter(far())
        assert caught.value.retry_after_s >= 1
        assert refused == ["full"]
        admission.leave(0.0)
        await waiting

    asyncio.run(run())


def test_a_queue_of_none_refuses_whoever_would_wait() -> None:
    async def run() -> None:
        admission = Admission(AdmissionLimits(concurrency=1, queue=0, wait_s=60))
        await admission.enter(far())
        with pytest.raises(Overloaded):
            await admission.enter(far())

    asyncio.run(run())


def test_whoever_would_wait_too_long_is_refused_when_it_comes() -> None:
    async def run() -> None:
        refused: list[str] = []
        admission = Admission(AdmissionLimits(concurrency=1, queue=100, wait_s=0.5), refused=refused.append)
        for _ in range(100):  # it learns that a place is held for a second
            await admission.enter(far())
            admission.leave(1.0)
        await admission.enter(far())
        began = time.perf_counter()
        with pytest.raises(Overloaded) as caught:
            await admission.enter(far())
        assert time.perf_counter() - began < 0.4
        assert refused == ["too_slow"]
        assert caught.value.retry_after_s == 1

    asyncio.run(run())


def test_waiting_ends_with_patience_or_the_deadline() -> None:
    async def run() -> None:
        refused: list[str] = []
        admission = Admission(AdmissionLimits(concurrency=1, queue=100, wait_s=0.05), refused=refused.append)
        await admission.enter(far())
        with pytest.raises(Overloaded):
            await admission.enter(far())
        with pytest.raises(DeadlineExceeded):
            await admission.enter(time.perf_counter() + 0.01)
        assert refused == ["waited"]
        assert (admission.running, admission.waiting) == (1, 0)

    asyncio.run(run())


def test_a_cancelled_wait_leaves_the_queue_and_loses_no_place() -> None:
    async def run() -> None:
        admission = Admission(AdmissionLimits(concurrency=1, queue=9, wait_s=60))
        await admission.enter(far())
        first, second = (asyncio.create_task(admission.enter(far())) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        assert admission.waiting == 1
        admission.leave(0.0)  # goes to the second …
        second.cancel()  # … which is cancelled in the same moment
        await asyncio.gather(second, return_exceptions=True)
        assert (admission.running, admission.waiting) == (0, 0)
        await admission.enter(far())

    asyncio.run(run())


def test_no_place_is_ever_lost_or_given_twice() -> None:
    """A thousand workers that wait, work, give up and are cancelled at random."""

    async def run() -> None:
        rng = random.Random(7)
        admission = Admission(AdmissionLimits(concurrency=5, queue=50, wait_s=0.02))
        inside = most = 0
        endings: Counter[str] = Counter()

        async def work() -> None:
            nonlocal inside, most
            try:
                await admission.enter(time.perf_counter() + rng.choice((0.001, 0.01, 60)))
            except (Overloaded, DeadlineExceeded) as error:
                endings[type(error).__name__] += 1
                return
            inside += 1
            most = max(most, inside)
            try:
                await asyncio.sleep(rng.random() * 0.003)
                endings["done"] += 1
            finally:
                inside -= 1
                admission.leave(0.001)

        tasks = []
        for _ in range(1000):
            tasks.append(asyncio.create_task(work()))
            if rng.random() < 0.3:
                rng.choice(tasks).cancel()
            if rng.random() < 0.5:
                await asyncio.sleep(rng.random() * 0.001)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert most == 5
        assert (inside, admission.running, admission.waiting) == (0, 0, 0)
        assert min(endings.values()) > 0
        assert len(endings) == 3

    asyncio.run(run())


@pytest.mark.parametrize(
    ("ahead", "free", "held_s", "cost_s", "expected_s"),
    [
        (1, 0, 1.6, 0.0, 0.1),  # sixteen places, each free again after 1.6 s: one every 0.1 s
        (5, 0, 1.6, 0.0, 0.5),
        (5, 3, 1.6, 0.0, 0.2),  # three of the five have a place at once
        (5, 16, 1.6, 0.0, 0.0),
        (5, 16, 1.6, 0.02, 0.1),  # places enough, but the loop begins one every 0.02 s
        (5, 0, 1.6, 0.02, 0.5),  # the places are what is short
        (5, 0, 0.16, 0.02, 0.1),  # the loop is
        (1, 16, 0.0, 0.0, 0.0),  # nothing is known yet
    ],
)
def test_the_expected_wait_is_the_scarcer_ones(
    ahead: int, free: int, held_s: float, cost_s: float, expected_s: float
) -> None:
    found = expected_wait_s(ahead, free=free, places=16, held_s=held_s, cost_s=cost_s)
    assert found == pytest.approx(max(expected_s, 0.0), abs=1e-12) or (found < 0 and expected_s == 0)


@pytest.mark.parametrize(
    ("held_s", "places"),
    [
        ([], 16),
        ([0.1] * 50, 16),
        ([0.5] * 2, 15),
        ([0.5] * 16, 8),  # all of them late: half as many
        ([0.5] * 100, 1),
        ([0.5] * 100 + [0.1], 2),
        ([0.5] * 100 + [0.1] * 200, 16),
        ([0.5] + [0.1] * 20, 16),  # one late one among many is nobody's fault
    ],
)
def test_there_are_fewer_places_while_requests_hold_each_other_up(held_s: list[float], places: int) -> None:
    async def run() -> None:
        admission = Admission(AdmissionLimits(concurrency=16, queue=64, wait_s=60, hold_s=0.45))
        for seconds in held_s:
            await admission.enter(far())
            admission.leave(seconds)
        assert admission.places == places
        assert admission.running == 0

    asyncio.run(run())


def run_together(admission: Admission, costs_s: list[float]) -> list[int]:
    """Let requests come in one turn of the loop, each with so much to compute; return the turns they began in."""

    async def run() -> list[int]:
        turns, done = 0, False
        began: list[int] = []

        async def count() -> None:
            nonlocal turns
            while not done:
                turns += 1
                await asyncio.sleep(0)

        async def work(cost_s: float) -> None:
            await admission.enter(far())
            began.append(turns)
            end = time.perf_counter() + cost_s
            while time.perf_counter() < end:
                pass
            admission.leave(cost_s)

        counting = asyncio.create_task(count())
        await asyncio.gather(*(work(cost_s) for cost_s in costs_s))
        done = True
        await counting
        return began

    return asyncio.run(run())


def test_dear_requests_begin_one_a_turn_so_that_the_loop_sees_who_comes() -> None:
    admission = Admission(AdmissionLimits(concurrency=16, queue=60, wait_s=60))
    run_together(admission, [0.01] * 30)  # it learns what they cost
    began = run_together(admission, [0.01] * 8)
    assert len(set(began)) == 8
    assert admission.running == admission.waiting == 0


def test_cheap_requests_begin_together() -> None:
    admission = Admission(AdmissionLimits(concurrency=16, queue=0, wait_s=60))
    assert min(len(set(run_together(admission, [0.0] * 8))) for _ in range(20)) == 1


def test_what_dear_requests_cost_is_learned_and_whoever_would_wait_too_long_is_refused() -> None:
    """There are places for all of them; it is the loop's time that is short."""

    async def run() -> None:
        refused: list[str] = []
        admission = Admission(AdmissionLimits(concurrency=100, queue=100, wait_s=0.15), refused=refused.append)

        async def work() -> None:
            await admission.enter(far())
            time.sleep(0.01)  # noqa: ASYNC251 (decoding does the same)
            admission.leave(0.01)

        for _ in range(60):
            await work()
            await asyncio.sleep(0)
        waiting = [asyncio.create_task(work()) for _ in range(60)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            admission.check(far())
        assert set(refused) == {"too_slow"}
        assert 1 <= admission.waiting <= 15  # 0.15 s are enough for 15 of 0.01 s
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("running", "waiting", "queue", "is_refused"),
    [(0, 0, 2, False), (1, 0, 2, False), (2, 0, 2, False), (2, 1, 2, False), (2, 2, 2, True), (2, 0, 0, True)],
)
def test_a_look_ahead_refuses_whom_entering_would_refuse(
    running: int, waiting: int, queue: int, is_refused: bool
) -> None:
    async def run() -> None:
        refused: list[str] = []
        admission = Admission(AdmissionLimits(concurrency=2, queue=queue, wait_s=60), refused=refused.append)
        for _ in range(running):
            await admission.enter(far())
        tasks = [asyncio.create_task(admission.enter(far())) for _ in range(waiting)]
        await asyncio.sleep(0)
        if is_refused:
            with pytest.raises(Overloaded):
                admission.check(far())
        else:
            admission.check(far())
        assert refused == ["full"] * is_refused
        assert (admission.running, admission.waiting) == (running, waiting)  # it takes nothing
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(run())


def test_an_overload_is_refused_early_and_those_admitted_are_answered(
    start: Callable[[Callable[[], Server]], Server], folder: Path, fake: FakePredictor, tmp_path: Path
) -> None:
    server = start(
        lambda: Transformer(
            folder, fake.target, tmp_path / "log", "--concurrency", "2", "--queue", "4", "--queue-wait-ms", "60000",
            "--deadline-ms", "60000", "--check-interval-s", "3600",
        )
    )  # fmt: skip
    assert isinstance(server, Transformer)
    server.wait_ready()
    fake.mode, fake.delay_s = "slow", 3.0
    body = v2(records(1))

    def ask() -> tuple[int, float, httpx.Headers]:
        began = time.monotonic()
        response = httpx.post(server.url + INFER, json=body, timeout=60)
        return response.status_code, time.monotonic() - began, response.headers

    with ThreadPoolExecutor(24) as pool:
        futures = [pool.submit(ask) for _ in range(24)]
        eventually(lambda: server.metric("lead_queue_rejections_total", reason="full") >= 18, what="refusals")
        # While all that waits, gRPC is turned away too, and the process is as alive and ready as before.
        with grpc.insecure_channel(server.target) as channel, pytest.raises(grpc.RpcError) as caught:
            infer_stub(channel)(message(records(1)), timeout=30)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert dict(caught.value.trailing_metadata())["retry-after"] == "1"
        assert server.is_ready()
        assert server.metric("lead_requests_in_flight") == 2
        assert server.metric("lead_queue_depth") == 4
        answers = [future.result() for future in futures]
    assert Counter(status for status, _, _ in answers) == {200: 6, 503: 18}
    assert all(int(headers["retry-after"]) >= 1 for status, _, headers in answers if status == 503)
    assert min(took for status, took, _ in answers if status == 200) > max(0.0, fake.delay_s - 0.1)
    refusals = sorted(took for status, took, _ in answers if status == 503)
    assert refusals[len(refusals) // 2] < fake.delay_s  # refused at once, not after a wait
    assert fake.most_running == 2
    assert server.metric("lead_requests_in_flight") == 0
