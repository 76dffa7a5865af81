"""Envoy with a full disk over pods of which one is killed: its share is refused at once, the other's goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest

from lead_scoring.core.hashing import variant_of
from tests.hostile.gateway import Gateway
from tests.hostile.load import Ending, closed_loop, count
from tests.hostile.pods import Pod
from tests.hostile.wire import request_bytes
from tests.support.stack import alive, small_versions
from tests.transformer.service.payloads import INFER, records, v2
from tests.transformer.service.processes import eventually

DEADLINE_S = 1.0
SLACK_S = 1.0
RECOVERY_S = 10.0
BODY = orjson.dumps(v2(records(2)))


@pytest.fixture
def gateway(pods: Callable[..., Pod], tmp_path: Path) -> Iterator[tuple[Gateway, dict[str, Pod]]]:
    repository = small_versions(tmp_path) / "lead-scoring"
    found = {f"v{version}": pods(repository / version, "--variant", f"v{version}") for version in ("1", "2")}
    gateway = Gateway(tmp_path, found)
    yield gateway, found
    gateway.close()


def keyed(key: str) -> bytes:
    return request_bytes(INFER, BODY, {"content-type": "application/json", "x-lead-key": key})


def scores(endings: list[Ending]) -> set[tuple[bytes, bytes]]:
    """Return the different answers, each with the version that gave it."""
    documents = [orjson.loads(ending.body) for ending in endings if ending.status == 200]
    return {(document["model_version"].encode(), orjson.dumps(document["outputs"])) for document in documents}


@pytest.mark.timeout(240)
def test_a_killed_transformer_costs_its_own_share_alone_and_comes_back(
    gateway: tuple[Gateway, dict[str, Pod]],
) -> None:
    envoy, pods = gateway
    requests = [keyed(f"lead-{number}") for number in range(64)]

    def load(wanted: list[bytes], seconds: float) -> list[Ending]:
        end = time.monotonic() + seconds
        return asyncio.run(closed_loop(envoy.port, wanted, connections=8, until=lambda: time.monotonic() > end))

    def versions(endings: list[Ending]) -> set[bytes]:
        return {version for version, _ in scores(endings)}

    eventually(lambda: versions(load(requests, 0.3)) == {b"1", b"2"}, what="both variants answer")
    before = load(requests, 0.5)
    assert set(count(before)) == {200}
    assert len(scores(before)) == 2

    async def while_it_dies() -> list[Ending]:
        end = time.monotonic() + 3
        loading = asyncio.create_task(
            closed_loop(envoy.port, requests, connections=8, until=lambda: time.monotonic() > end)
        )
        await asyncio.sleep(0.5)
        await asyncio.to_thread(pods["v2"].kill_transformer)
        return await loading

    during = asyncio.run(while_it_dies())
    assert set(count(during)) <= {200, 503}  # told at once, and never a reset
    assert count(during)[503] > 0
    assert max(ending.seconds for ending in during) < DEADLINE_S + SLACK_S
    after = load(requests, 0.5)
    answered = count(after)[200]
    assert versions(after) == {b"1"}  # its leads are not moved: another version would answer them
    assert 0.2 < answered / len(after) < 0.8
    mine = [keyed(key) for key in map("lead-{}".format, range(64)) if is_ours(key)]
    assert set(count(load(mine, 1.0))) == {200}  # the other variant's callers notice nothing
    pods["v2"].revive_transformer()
    revived = time.monotonic()
    eventually(lambda: versions(load(requests, 0.2)) == {b"1", b"2"}, what="it is back")
    assert time.monotonic() - revived < RECOVERY_S
    assert scores(load(requests, 0.5)) == scores(before) | scores(during)
    assert alive(envoy.process.pid)


def is_ours(key: str) -> bool:
    return variant_of(key, {"v1": 50, "v2": 50}) == "v1"


def test_a_gateway_that_can_write_no_log_answers_all(gateway: tuple[Gateway, dict[str, Pod]]) -> None:
    envoy, _ = gateway
    request = keyed("lead-1")

    def answers(requests: int) -> list[Ending]:
        left = requests

        def enough() -> bool:
            nonlocal left
            left -= 1
            return left < 0

        return asyncio.run(closed_loop(envoy.port, [request], connections=4, until=enough))

    eventually(lambda: count(answers(1))[200] == 1, what="an answer")
    found = answers(1000)  # many times what it keeps before it writes
    assert set(count(found)) == {200}
    assert len(scores(found)) == 1
    assert alive(envoy.process.pid)
