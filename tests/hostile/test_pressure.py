"""More than can be served, and callers that don't wait for it: what is let in is answered in time, all else ends.

`OVERLOAD_S=600 CANCELLED_REQUESTS=100000` make it longer.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grpc
import httpx
import orjson
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from lead_scoring.contract import files
from lead_scoring.contract.types import Contract, GoldenLead
from tests.end_to_end import payloads
from tests.hostile.conftest import V1
from tests.hostile.load import Ending, ask_once, closed_loop, count, open_loop
from tests.hostile.pods import Pod, rss_bytes
from tests.hostile.prober import Probes, probing
from tests.hostile.wire import Pipeline, request_bytes
from tests.support.stack import Stack, until
from tests.transformer.service.payloads import INFER
from tests.transformer.service.processes import eventually

OVERLOAD_S = float(os.environ.get("OVERLOAD_S", "8"))
REQUESTS = int(os.environ.get("CANCELLED_REQUESTS", "3000"))
DEADLINE_S = 0.9
"""The transformer's own; the gateway's is a second."""
PROBE_TIMEOUT_S = 1.0
"""A kubelet's, unless it is told otherwise."""
RECOVERY_S = 10.0
LEADS = 400


def heavy(contract: Contract) -> bytes:
    """Return a request whose cost is reading and decoding it, in the transformer."""
    leads = [dict(lead.lead) for lead in contract.golden.leads[:100]] * (LEADS // 100)
    body = orjson.dumps(payloads.named(contract, leads, as_of=contract.golden.as_of))
    return request_bytes(f"/v2/models/{contract.model.name}/infer", body, {"content-type": "application/json"})


def for_s(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def capacity_hz(port: int, request: bytes) -> float:
    """Measure what the machine can do now, so that nothing depends on how fast it is."""
    asyncio.run(closed_loop(port, [request], connections=4, until=for_s(1)))
    found = count(asyncio.run(closed_loop(port, [request], connections=4, until=for_s(3))))[200] / 3
    assert found > 1
    return found


@dataclass(frozen=True)
class Overload:
    """How it went: what was asked of it, how that ended, and what probes got all the while."""

    capacity_hz: float
    endings: list[Ending]
    probes: Probes

    def seconds(self, *statuses: int) -> list[float]:
        """Return how long answers of these statuses took, the fastest first."""
        return sorted(ending.seconds for ending in self.endings if ending.status in statuses)


def overload(port: int, probed_port: int, request: bytes, *, times: float) -> Overload:
    capacity = capacity_hz(port, request)
    with probing(probed_port, "/v2/health/ready") as probes:
        endings = asyncio.run(open_loop(port, [request], rate_hz=times * capacity, until=for_s(OVERLOAD_S)))
    ended = time.monotonic()

    async def fresh() -> bool:
        connection = Pipeline("127.0.0.1", port)
        ending = await ask_once(connection, request)
        connection.close()
        return ending.status == 200

    eventually(lambda: asyncio.run(fresh()), what="an answer after the load")
    assert time.monotonic() - ended < RECOVERY_S
    found = Overload(capacity, endings, probes)
    admitted, refused, kinds = found.seconds(200), found.seconds(503), count(endings)
    print(  # noqa: T201 (the figures)
        f"\ncapacity {capacity:.0f}/s, offered {len(endings) / OVERLOAD_S:.0f}/s, {dict(kinds)}, admitted p50 "
        f"{at(admitted, 0.5):.3f} p99 {at(admitted, 0.99):.3f} s, refused p50 {at(refused, 0.5):.3f} p99 "
        f"{at(refused, 0.99):.3f} s, slowest of {len(probes.answers)} probes {probes.slowest_s:.3f} s"
    )
    return found


def at(seconds: Sequence[float], share: float) -> float:
    return seconds[int(len(seconds) * share)] if seconds else math.nan


def expect_early_refusals(found: Overload) -> None:
    kinds = count(found.endings)
    total = len(found.endings)
    assert set(kinds) <= {200, 503, 504}
    assert kinds[503] + kinds[504] > 0.2 * total  # it was an overload …
    assert kinds[200] > 0.35 * found.capacity_hz * OVERLOAD_S  # … and no collapse
    assert kinds[504] <= 0.05 * total  # what can't be served is said, not left to a timeout …
    assert all(ending.retry_after for ending in found.endings if ending.status == 503)
    assert at(found.seconds(503), 0.5) < 0.3 * DEADLINE_S  # … and early
    assert at(found.seconds(200), 0.5) < 0.5 * DEADLINE_S
    assert at(found.seconds(200), 0.99) < DEADLINE_S
    assert found.probes.statuses == {200}  # busy is not ill
    assert found.probes.slowest_s < PROBE_TIMEOUT_S


@pytest.mark.timeout(1200)
def test_twice_the_capacity_is_served_as_far_as_it_goes_and_refused_early_beyond(stack: Stack) -> None:
    pid = stack.state.pids["v1 transformer"]
    request = heavy(stack.contract())
    asyncio.run(closed_loop(stack.port, [request], connections=4, until=for_s(1)))
    before = rss_bytes(pid)
    found = overload(stack.port, stack.state.variant("stable").rest_port, request, times=2)
    expect_early_refusals(found)
    assert rss_bytes(pid) - before < 50 * 2**20
    until(lambda: httpx.get(f"{stack.url}/v2/health/ready", timeout=30).status_code == 200, "ready: busy is not ill")
    for name in ("lead_requests_in_flight", "lead_queue_depth"):
        until(partial(is_zero, stack, name), f"{name} is 0")


@pytest.mark.timeout(1200)
def test_without_a_gateway_two_and_a_half_times_the_capacity_leaves_nobody_waiting(pods: Callable[..., Pod]) -> None:
    """Each waiting request opens a connection of its own here: those too have to be seen, between the others' work."""
    pod = pods(V1)
    port = pod.transformer.http_port
    failed = partial(pod.transformer.metric, "lead_deep_checks_total", result="failed")
    before = failed()  # while the predictor started
    found = overload(port, port, heavy(_contract(V1)), times=2.5)
    expect_early_refusals(found)
    assert max(ending.seconds for ending in found.endings) < 3.0
    assert failed() - before <= 1
    assert httpx.get(f"{pod.transformer.url}/health/predictor", timeout=30).status_code == 200
    eventually(lambda: pod.transformer.metric("lead_requests_in_flight") == 0, what="nothing in flight")


def test_more_grpc_than_can_be_served_is_refused_early(pods: Callable[..., Pod]) -> None:
    """64 callers who come back at once with hundreds of leads to explain: here the predictor is what is short."""
    pod = pods(V1)
    contract = _contract(V1)
    message = payloads.raw_message(contract, [dict(lead.lead) for lead in _golden(V1)[:100]] * (LEADS // 100))
    message.parameters["explain"].bool_param = True
    request = message.SerializeToString()
    endings: list[tuple[str, float, bool]] = []

    async def work(done: Callable[[], bool]) -> None:
        async with grpc.aio.insecure_channel(pod.transformer.target, options=_OWN_CONNECTION) as channel:
            method = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer", request_serializer=bytes)
            while not done():
                began = time.monotonic()
                call = method(request, timeout=20)
                code = (await call.code()).name
                told = dict(await call.trailing_metadata() or ())
                endings.append((code, time.monotonic() - began, "retry-after" in told))

    async def run(callers: int, seconds: float) -> None:
        await asyncio.gather(*(work(for_s(seconds)) for _ in range(callers)))

    asyncio.run(run(4, 1))
    endings.clear()
    with probing(pod.transformer.http_port, "/v2/health/ready") as probes:
        asyncio.run(run(64, 5))
    kinds = Counter(code for code, _, _ in endings)
    print(f"\n{dict(kinds)}, slowest {max(s for _, s, _ in endings):.3f} s, probe {probes.slowest_s:.3f} s")  # noqa: T201
    assert set(kinds) <= {"OK", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"}
    assert kinds["OK"] > 0
    assert kinds["RESOURCE_EXHAUSTED"] > 10 * kinds["DEADLINE_EXCEEDED"]
    assert all(told for code, _, told in endings if code == "RESOURCE_EXHAUSTED")
    assert max(seconds for _, seconds, _ in endings) < 3.0
    assert probes.statuses == {200}
    assert probes.slowest_s < PROBE_TIMEOUT_S


_OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]


def is_zero(stack: Stack, metric: str) -> bool:
    found = [value for name, value in stack.metrics("stable").items() if name.startswith(metric)]
    return found == [0]


def test_a_tenth_of_the_callers_hang_up_after_5_ms_and_leave_nothing(pods: Callable[..., Pod]) -> None:
    pod = pods(V1)
    contract_leads = [dict(lead.lead) for lead in _golden(V1)[:60]]
    contract = _contract(V1)
    document = payloads.named(contract, contract_leads)
    request = request_bytes(INFER, orjson.dumps(document), {"content-type": "application/json"})
    message = payloads.raw_message(contract, contract_leads)
    processes = {"transformer": pod.transformer.process.pid, "predictor": pod.predictor.process.pid}
    endings: Counter[str] = Counter()

    async def rest(rng: random.Random, connection: Pipeline) -> None:
        if rng.random() < 0.1:
            _, writer = await asyncio.open_connection("127.0.0.1", pod.transformer.http_port)
            writer.write(request)
            await asyncio.sleep(0.005)
            writer.transport.abort()
            endings["hung up"] += 1
        else:
            endings[str((await ask_once(connection, request)).status)] += 1

    async def rpc(rng: random.Random, method: grpc.aio.UnaryUnaryMultiCallable) -> None:
        call = method(message, timeout=20)
        if rng.random() < 0.1:
            await asyncio.sleep(0.005)
            call.cancel()
            endings["hung up"] += 1
            return
        try:
            await call
            endings["200"] += 1
        except grpc.aio.AioRpcError as error:
            endings[error.code().name] += 1

    async def work(number: int, requests: int) -> None:
        rng = random.Random(number)
        connection = Pipeline("127.0.0.1", pod.transformer.http_port)
        async with grpc.aio.insecure_channel(pod.transformer.target) as channel:
            method = channel.unary_unary(
                "/inference.GRPCInferenceService/ModelInfer",
                request_serializer=pb.ModelInferRequest.SerializeToString,
                response_deserializer=bytes,
            )
            for _ in range(requests):
                await (rest(rng, connection) if rng.random() < 0.7 else rpc(rng, method))
        connection.close()

    async def storm(requests: int) -> None:
        await asyncio.gather(*(work(number, requests // 8) for number in range(8)))

    asyncio.run(storm(REQUESTS // 3))
    before = {name: rss_bytes(pid) for name, pid in processes.items()}
    asyncio.run(storm(REQUESTS))
    grown = {name: rss_bytes(pid) - before[name] for name, pid in processes.items()}
    assert set(endings) <= {"200", "503", "504", "hung up", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "UNAVAILABLE"}
    assert endings["hung up"] > 0.05 * REQUESTS
    assert endings["200"] > 0.3 * REQUESTS
    eventually(lambda: pod.transformer.metric("lead_requests_in_flight") == 0, what="nothing in flight")
    assert pod.transformer.metric("lead_queue_depth") == 0
    for protocol in ("v2-rest", "v2-grpc"):
        assert pod.transformer.metric("lead_cancelled_requests_total", protocol=protocol) > 0
    assert {name: size for name, size in grown.items() if size > 32 * 2**20} == {}
    pod.transformer.wait_ready()


def _contract(folder: Path) -> Contract:
    return files.read(folder / "contract.json")


def _golden(folder: Path) -> list[GoldenLead]:
    return _contract(folder).golden.leads
