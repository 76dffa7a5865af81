"""More than can be served, and callers that don't wait for it: what is let in is answered in time, all else ends.

`OVERLOAD_S=600 CANCELLED_REQUESTS=100000` make it longer.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import grpc
import httpx
import orjson
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from tests.end_to_end import payloads
from tests.hostile.conftest import V1
from tests.hostile.load import ask_once, closed_loop, count, open_loop
from tests.hostile.pods import Pod, rss_bytes
from tests.hostile.wire import Pipeline, request_bytes
from tests.support.stack import Stack, until
from tests.transformer.service.payloads import INFER
from tests.transformer.service.processes import eventually

OVERLOAD_S = float(os.environ.get("OVERLOAD_S", "20"))
REQUESTS = int(os.environ.get("CANCELLED_REQUESTS", "3000"))
SLACK_S = 1.0
RECOVERY_S = 10.0


@pytest.mark.timeout(900)
def test_twice_the_capacity_is_served_as_far_as_it_goes_and_refused_in_time_beyond(stack: Stack) -> None:
    """What the machine can do is measured first, so that nothing depends on how fast it is."""
    contract, port = stack.contract(), stack.port
    leads = [dict(lead.lead) for lead in contract.golden.leads[:100]] * 4
    body = orjson.dumps(payloads.named(contract, leads, as_of=contract.golden.as_of))
    request = request_bytes(f"/v2/models/{contract.model.name}/infer", body, {"content-type": "application/json"})
    pid = stack.state.pids["v1 transformer"]

    def for_s(seconds: float) -> Callable[[], bool]:
        end = time.monotonic() + seconds
        return lambda: time.monotonic() > end

    asyncio.run(closed_loop(port, [request], connections=4, until=for_s(1)))
    alone = asyncio.run(closed_loop(port, [request], connections=4, until=for_s(3)))
    capacity_hz = count(alone)[200] / 3
    assert capacity_hz > 1
    before = rss_bytes(pid)
    endings = asyncio.run(open_loop(port, [request], rate_hz=2 * capacity_hz, until=for_s(OVERLOAD_S)))
    ended = time.monotonic()

    async def fresh() -> bool:
        connection = Pipeline("127.0.0.1", port)
        ending = await ask_once(connection, request)
        connection.close()
        return ending.status == 200

    eventually(lambda: asyncio.run(fresh()), what="an answer after the load")
    assert time.monotonic() - ended < RECOVERY_S
    found = count(endings)
    admitted = sorted(ending.seconds for ending in endings if ending.status == 200)
    refused = sorted(ending.seconds for ending in endings if ending.status in (503, 504))
    print(  # noqa: T201 (the figures)
        f"\ncapacity {capacity_hz:.0f}/s, offered {len(endings) / OVERLOAD_S:.0f}/s, {dict(found)}, admitted p50 "
        f"{admitted[len(admitted) // 2]:.3f} s p99 {admitted[int(len(admitted) * 0.99)]:.3f} s, refused p50 "
        f"{refused[len(refused) // 2]:.3f} s"
    )
    assert set(found) <= {200, 503, 504}
    assert found[503] + found[504] > 0.2 * len(endings)  # it was an overload …
    assert found[200] > 0.4 * capacity_hz * OVERLOAD_S  # … and no collapse
    assert admitted[int(len(admitted) * 0.99)] < 1.0 + SLACK_S
    assert refused[int(len(refused) * 0.99)] < 1.0 + SLACK_S  # the gateway's limit is a second
    assert all(ending.retry_after for ending in endings if ending.status == 503)
    assert rss_bytes(pid) - before < 50 * 2**20
    until(lambda: httpx.get(f"{stack.url}/v2/health/ready", timeout=30).status_code == 200, "ready: busy is not ill")
    for name in ("lead_requests_in_flight", "lead_queue_depth"):
        until(partial(is_zero, stack, name), f"{name} is 0")


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
    assert pod.transformer.metric("lead_cancelled_requests_total") > 0
    assert {name: size for name, size in grown.items() if size > 32 * 2**20} == {}
    pod.transformer.wait_ready()


def _contract(folder: Path):  # type: ignore[no-untyped-def]
    from lead_scoring.contract import files

    return files.read(folder / "contract.json")


def _golden(folder: Path):  # type: ignore[no-untyped-def]
    return _contract(folder).golden.leads
