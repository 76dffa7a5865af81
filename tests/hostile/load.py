"""Load with every ending noted: closed loops that measure what a pod can do, and open ones that ask for more."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.hostile.wire import Pipeline, Response

__all__ = ["Ending", "ask_once", "closed_loop", "count", "open_loop"]

NEVER_S = 20.0
"""Nothing may take that long."""


@dataclass(frozen=True)
class Ending:
    """How one request ended: its status (0: closed without an answer, -1: none at all), and when."""

    status: int
    sent_s: float
    seconds: float
    retry_after: bool = False
    body: bytes = b""


async def ask_once(connection: Pipeline, request: bytes) -> Ending:
    """Send one request and note how it ended."""
    began = time.monotonic()
    found: Response | None = None
    try:
        async for response in connection.ask([request], timeout_s=NEVER_S):
            found = response
    except TimeoutError:
        return Ending(-1, began, time.monotonic() - began)
    except OSError:
        connection.close()
    seconds = time.monotonic() - began
    if found is None:
        return Ending(0, began, seconds)
    return Ending(found.status, began, seconds, "retry-after" in found.headers, found.body)


async def closed_loop(
    port: int, requests: Sequence[bytes], *, connections: int, until: Callable[[], bool]
) -> list[Ending]:
    """Keep connections busy until told to stop."""
    endings: list[Ending] = []

    async def work(number: int) -> None:
        connection = Pipeline("127.0.0.1", port)
        while not until():
            endings.append(await ask_once(connection, requests[number % len(requests)]))
            number += connections
        connection.close()

    await asyncio.gather(*(work(number) for number in range(connections)))
    return endings


async def open_loop(port: int, requests: Sequence[bytes], *, rate_hz: float, until: Callable[[], bool]) -> list[Ending]:
    """Send at a rate whether answers come or not; seconds count from when a request should have been sent."""
    idle: list[Pipeline] = []
    endings: list[Ending] = []
    tasks: set[asyncio.Task[None]] = set()
    begin = time.monotonic()

    async def one(request: bytes, intended: float) -> None:
        connection = idle.pop() if idle else Pipeline("127.0.0.1", port)
        ending = await ask_once(connection, request)
        idle.append(connection)
        endings.append(Ending(ending.status, intended, time.monotonic() - intended, ending.retry_after, ending.body))

    number = 0
    while not until():
        intended = begin + number / rate_hz
        await asyncio.sleep(max(0.0, intended - time.monotonic()))
        task = asyncio.create_task(one(requests[number % len(requests)], intended))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        number += 1
    await asyncio.gather(*tasks)
    for connection in idle:
        connection.close()
    return endings


def count(endings: Sequence[Ending]) -> Counter[int]:
    """Return how often each status came."""
    return Counter(ending.status for ending in endings)
