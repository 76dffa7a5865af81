"""Connections that abuse gateway or transformer: each ends in bounded time and memory, and others notice nothing."""

from __future__ import annotations

import asyncio
import gzip
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import orjson
import pytest

from lead_scoring.contract.types import Contract
from lead_scoring.local.envoy import MAX_BODY_BYTES
from tests.end_to_end import payloads
from tests.hostile.pods import peak_bytes, rss_bytes, start_peak
from tests.hostile.wire import Pipeline, request_bytes, talk
from tests.support.stack import Stack, alive

PATIENCE_S = 60.0
CUT_OFF_S = 40.0
"""Less than a connection may idle: whoever is cut off by then is so for what he sent."""
ROOM_BYTES = 50 * 2**20
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\0\0\0\x04\0\0\0\0\0"
ENDED_BY_GRPC = ("junk", "no HPACK", "settings", "pings")


@dataclass(frozen=True)
class Site:
    """Where it happens: the gateway, or a transformer past it."""

    name: str
    port: int
    good: bytes
    path: str
    pids: dict[str, int]

    def head(self, headers: str = "") -> bytes:
        """Return the head of a scoring request without a length."""
        return f"POST {self.path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{headers}".encode()

    def talk(self, *parts: bytes, pause_s: float = 0.0) -> bytes:
        """Send parts and return everything until the other side closes."""
        return asyncio.run(talk("127.0.0.1", self.port, *parts, pause_s=pause_s, within_s=CUT_OFF_S))

    async def works(self) -> bool:
        """Return whether a good request is answered."""
        connection = Pipeline("127.0.0.1", self.port)
        for _ in range(20):
            async for response in connection.ask([self.good], timeout_s=PATIENCE_S):
                if response.status == 200:
                    connection.close()
                    return True
                assert response.status in (503, 504)  # the machine is busy
        return False


@pytest.fixture(scope="module")
def good(stack: Stack) -> bytes:
    """A whole request that is fine."""
    contract: Contract = stack.contract()
    leads = [dict(contract.golden.leads[0].lead)]
    body = orjson.dumps(payloads.named(contract, leads, as_of=contract.golden.as_of))
    return request_bytes(f"/v2/models/{contract.model.name}/infer", body, {"content-type": "application/json"})


@pytest.fixture(scope="module")
def bodies() -> list[tuple[str, bytes, str]]:
    """Bodies that cost much to read: what they are, the bytes, and their encoding."""
    nested = gzip.compress(gzip.compress(bytes(400 * 2**20), compresslevel=1), compresslevel=1)
    return [
        ("bomb", gzip.compress(bytes(200 * 2**20), compresslevel=9), "gzip"),
        ("bomb in a bomb", nested, "gzip"),
        ("deep lists", b'{"inputs":' + b"[" * 2**20, "identity"),
        ("deep lists that end", b'{"inputs":' + b"[" * 10**6 + b"]" * 10**6 + b"}", "identity"),
        ("deep objects", b'{"instances":' * 10**5 + b"1" + b"}" * 10**5, "identity"),
        ("many keys", b'{"instances":[{' + b",".join(b'"%d":1' % n for n in range(250_000)) + b"}]}", "identity"),
        ("many nulls", b'{"inputs":[' + b",".join([b"null"] * 700_000) + b"]}", "identity"),
    ]


@pytest.fixture(scope="module")
def heap(stack: Stack, good: bytes, bodies: list[tuple[str, bytes, str]]) -> None:
    """The heap's high-water mark is reached: whatever costs much was there once, and bombs took next to nothing."""
    gateway = Site("gateway", stack.port, good, f"/v2/models/{stack.state.model}/infer", stack.state.pids)
    transformer = stack.state.pids["v1 transformer"]
    before = rss_bytes(transformer)
    start_peak(transformer)
    send_all(gateway, bodies[:2])
    assert peak_bytes(transformer) - before < ROOM_BYTES  # at no moment: afterwards a bomb's memory would be given back
    for port in (stack.port, stack.state.variant("stable").rest_port):
        send_all(replace(gateway, port=port), bodies)


def send_all(site: Site, bodies: list[tuple[str, bytes, str]]) -> None:
    for what, body, encoding in bodies:
        for path in (site.path, site.path.replace("/v2/", "/v1/").replace("/infer", ":predict")):
            head = {"content-type": "application/json", "content-encoding": encoding, "connection": "close"}
            received = site.talk(request_bytes(path, body, head))
            assert statuses(received)[0] in (400, 413, 503, 504), (what, received[:200])


@pytest.fixture(params=["gateway", "transformer"])
def site(request: pytest.FixtureRequest, stack: Stack, good: bytes, heap: None) -> Iterator[Site]:  # noqa: ARG001
    """Each of the two; whatever was done to it, it lives and answers, and took no memory to speak of."""
    port = stack.port if request.param == "gateway" else stack.state.variant("stable").rest_port
    pids = dict(stack.state.pids)
    found = Site(request.param, port, good, f"/v2/models/{stack.state.model}/infer", pids)
    assert asyncio.run(found.works())
    before = {name: rss_bytes(pid) for name, pid in pids.items()}
    yield found
    assert asyncio.run(found.works())
    assert stack.state.pids == pids
    assert all(map(alive, pids.values()))
    grown = {name: rss_bytes(pid) - before[name] for name, pid in pids.items()}
    assert {name: size for name, size in grown.items() if size > ROOM_BYTES} == {}


def statuses(received: bytes) -> list[int]:
    """Return the statuses of all answers in what came back."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]


@pytest.mark.parametrize(
    "junk",
    [
        b"\0" * 1000, b"\xff" * 70_000, b"GET\r\n\r\n", b"\r\n\r\n\r\n\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + b"\0" * 50,  # noqa: E501
        b"POST / HTTP/9.9\r\n\r\n", b"POST /\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n", b"SSH-2.0-OpenSSH_9.6\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n", b"GET / HTTP/1.1\r\nhost: x\r\na: \0\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 9999999999999999999999999\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 5000 + b"\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\na: " + b"b" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
    ],
    ids=lambda junk: repr(junk[:24]),
)  # fmt: skip
def test_garbage_is_refused_and_cut_off(site: Site, junk: bytes) -> None:
    received = site.talk(junk)
    assert all(400 <= status < 500 for status in statuses(received)), received[:200]


@pytest.mark.parametrize(
    "lies",
    [
        "transfer-encoding: chunked\r\n\r\nZZ\r\nabc\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\nffffffffffffffff1\r\n",
        "transfer-encoding: chunked\r\n\r\n-5\r\nabcde\r\n0\r\n\r\n",
        "content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
        "transfer-encoding: chunked, chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
        "content-length: 0x5\r\n\r\nabcde",
        "content-length: +5\r\n\r\nabcde",
        "content-length: 5,6\r\n\r\nabcde",
    ],
)
def test_a_body_whose_length_is_told_wrong_is_refused(site: Site, lies: str) -> None:
    """What follows is never taken for a request of its own: no smuggling."""
    smuggled = b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    received = site.talk(site.head(lies) + smuggled)
    first, *others = statuses(received) or [400]
    assert first in (400, 501), received[:300]
    assert 200 not in others


def test_a_chunk_longer_than_told_is_refused(site: Site) -> None:
    """Envoy leaves out what is too much, up to the end of the line, and frames the body anew for those behind it."""
    received = site.talk(
        site.head("connection: close\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcdefghij\r\n0\r\n\r\n")
    )
    assert statuses(received) in ([400], [])


def test_a_body_longer_than_told_is_read_as_far_as_told(site: Site) -> None:
    """The rest of it is taken for a request, which it is not; the connection is ended."""
    head, _, body = site.good.partition(b"\r\n\r\n")
    told = head.replace(f"content-length: {len(body)}".encode(), b"content-length: 20")
    assert told != head
    assert set(statuses(site.talk(told + b"\r\n\r\n" + body))) <= {400, 408}


def test_slow_senders_are_cut_off_and_cost_the_others_nothing(site: Site) -> None:
    """Connections that drip a byte at a time, in the head or in the body, or stop half-way, while others are answered."""  # noqa: E501
    head, _, body = site.good.partition(b"\r\n\r\n")
    whole = head + b"\r\n\r\n" + body

    async def drip(start: int, stops: bool) -> tuple[list[int], float]:
        began = time.monotonic()
        drops = [] if stops else [whole[place : place + 1] for place in range(start, start + 600)]
        received = await talk("127.0.0.1", site.port, whole[:start], *drops, pause_s=0.1, within_s=PATIENCE_S)
        return statuses(received), time.monotonic() - began

    async def run() -> tuple[list[tuple[list[int], float]], list[float]]:
        start_of_body = len(head) + 4
        drips = [asyncio.create_task(drip(5 if n % 2 else start_of_body, n % 8 < 2)) for n in range(200)]
        waited: list[float] = []
        while not all(task.done() for task in drips):
            began = time.monotonic()
            assert await site.works()
            waited.append(time.monotonic() - began)
            await asyncio.sleep(0.05)
        return [task.result() for task in drips], waited

    ended, waited = asyncio.run(run())
    assert all(found in ([], [408]) for found, _ in ended)
    assert max(seconds for _, seconds in ended) < 30  # 5 s for a head, 10 s for a request
    assert len(waited) > 20
    assert sorted(waited)[len(waited) // 2] < 1.0


def test_a_thousand_idle_connections_are_let_in_and_cost_the_others_nothing(site: Site) -> None:
    idle = [socket.create_connection(("127.0.0.1", site.port)) for _ in range(1000)]
    try:
        for connection in idle[::2]:
            connection.sendall(b"POST ")
        assert asyncio.run(site.works())
    finally:
        for connection in idle:
            connection.close()


def test_pipelined_requests_are_all_answered_in_order(site: Site) -> None:
    bad = site.head("content-length: 2\r\n\r\n{}")

    async def run() -> list[int]:
        found: list[int] = []
        asked = [site.good, bad] * 50
        connection = Pipeline("127.0.0.1", site.port)
        found = [response.status async for response in connection.ask(asked, timeout_s=PATIENCE_S)]
        connection.close()
        return found

    found = asyncio.run(run())
    assert len(found) == 100
    assert set(found[::2]) <= {200, 503, 504}
    assert found.count(200) > 25
    assert set(found[1::2]) == {400}


def test_bodies_made_to_cost_much_are_refused_and_leave_nothing(
    site: Site, bodies: list[tuple[str, bytes, str]]
) -> None:
    send_all(site, bodies)


@pytest.mark.parametrize(
    ("size", "chunked"), [(MAX_BODY_BYTES + 1, False), (64 * 2**20, False), (MAX_BODY_BYTES + 1, True)]
)
def test_a_body_that_is_too_large_is_413_however_it_is_sent(site: Site, size: int, chunked: bool) -> None:
    if chunked:
        piece = b"10000\r\n" + bytes(65536) + b"\r\n"
        received = site.talk(site.head("transfer-encoding: chunked\r\n\r\n"), *[piece] * (size // 65536 + 1))
    else:
        head = site.head(f"connection: close\r\ncontent-length: {size}\r\n\r\n")
        received = site.talk(head, *[bytes(65536)] * (size // 65536), bytes(size % 65536))
    # Whoever goes on sending may be cut off before he reads.
    assert statuses(received) in ([413], [])


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


@pytest.mark.parametrize(
    "frames",
    [
        b"\xff" * 5000,
        frame(0x1, 0x4, 1, b"\xff" * 200),  # headers that are no HPACK
        frame(0x1, 0x0, 1, b"\x82") + frame(0x9, 0x0, 1, b"\x82" * 1000) * 300,  # headers without end
        frame(0x8, 0, 0, b"\x7f\xff\xff\xff") * 3,  # windows beyond the maximum
        frame(0x0, 0, 7, b"data of no stream"),
        frame(0x4, 0, 0, b"\0\x05\0\0\0\0" + b"\0"),  # settings of no size
        frame(0x3, 0, 1, b"\0\0\0\x08") * 1000,  # resets of nothing
        b"".join(frame(0x1, 0x5, 2 * n + 1, b"\x82\x84\x86") + frame(0x3, 0, 2 * n + 1, b"\0\0\0\x08") for n in range(5000)),  # noqa: E501
        frame(0x6, 0, 0, b"12345678") * 20_000,  # pings
        frame(0x4, 0, 0, b"") * 20_000,  # settings
        frame(0x2, 0, 1, b"\0\0\0\0\0") * 20_000,  # priorities
    ],
    ids=["junk", "no HPACK", "endless headers", "windows", "no stream", "settings", "resets", "rapid resets", "pings",
         "flood of settings", "priorities"],
)  # fmt: skip
@pytest.mark.parametrize("door", ["gateway", "transformer"])
def test_http2_garbage_ends_its_own_connection_alone(
    stack: Stack, good: bytes, frames: bytes, door: str, request: pytest.FixtureRequest
) -> None:
    """Floods as well: Envoy ends the connection for any of them, gRPC for some, and nobody else is held up."""
    ends = door == "gateway" or request.node.callspec.id.split("-", 1)[1] in ENDED_BY_GRPC
    port = stack.port if door == "gateway" else stack.state.variant("stable").grpc_port
    gateway = Site("gateway", stack.port, good, f"/v2/models/{stack.state.model}/infer", stack.state.pids)
    before = {name: rss_bytes(pid) for name, pid in stack.state.pids.items()}

    async def run() -> None:
        abusing = asyncio.gather(abuse(), abuse())
        assert await gateway.works()
        await abusing
        assert await gateway.works()

    async def abuse() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(PREFACE + SETTINGS + frames)
        try:
            async with asyncio.timeout(CUT_OFF_S if ends else 0.3):
                while await reader.read(65536):
                    pass
        except ConnectionError:
            pass
        except TimeoutError:
            assert not ends, "still open"
        finally:
            writer.transport.abort()

    asyncio.run(run())
    assert all(map(alive, stack.state.pids.values()))
    grown = {name: rss_bytes(pid) - before[name] for name, pid in stack.state.pids.items()}
    assert {name: size for name, size in grown.items() if size > ROOM_BYTES} == {}
