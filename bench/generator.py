"""Closed-loop and open-loop load on one address; every answer is checked while it is timed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.connections import Connection, Response

__all__ = ["Outcome", "Shot", "run_closed", "run_open"]


@dataclass(frozen=True, slots=True)
class Shot:
    """A prebuilt request and the check of its answer, which returns what is wrong or None."""

    request: bytes
    check: Callable[[Response], str | None]


@dataclass(frozen=True)
class Outcome:
    """What a round of load saw.

    Attributes:
        latencies_s: seconds from the *intended* start (open loop) or the write (closed loop) to the whole answer.
        wrong: what was wrong, by answer; empty for a clean round.
        elapsed_s: wall time of the round.
        late_s: how far behind its schedule the generator itself started a request, at the worst; 0 in a closed loop.
    """

    latencies_s: np.ndarray
    wrong: tuple[str, ...]
    elapsed_s: float
    late_s: float

    @property
    def per_second(self) -> float:
        """Answers per second."""
        return len(self.latencies_s) / self.elapsed_s

    def percentile_ms(self, percent: float) -> float:
        """Return a percentile of the latencies in milliseconds."""
        return float(np.percentile(self.latencies_s, percent) * 1000)


async def run_closed(host: str, port: int, shots: Sequence[Shot], *, connections: int, requests: int) -> Outcome:
    """Keep `connections` busy, each sending its next request when its last is answered, until `requests` are done."""
    latencies: list[float] = []
    wrong: list[str] = []
    remaining = iter(range(requests))

    async def work() -> None:
        connection = Connection(host, port)
        for number in remaining:
            shot = shots[number % len(shots)]
            begin = time.perf_counter()
            await _fire(connection, shot, wrong)
            latencies.append(time.perf_counter() - begin)
        connection.close()

    begin = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(connections)))
    return Outcome(np.array(latencies), tuple(wrong), time.perf_counter() - begin, 0.0)


async def run_open(host: str, port: int, shots: Sequence[Shot], *, rate: float, seconds: float) -> Outcome:
    """Send `rate` requests a second at evenly spaced instants for `seconds`, however slow the answers are."""
    idle: list[Connection] = []
    latencies: list[float] = []
    wrong: list[str] = []
    worst_late = 0.0

    async def one(shot: Shot, intended: float) -> None:
        connection = idle.pop() if idle else Connection(host, port)
        await _fire(connection, shot, wrong)
        latencies.append(time.perf_counter() - intended)
        idle.append(connection)

    tasks: set[asyncio.Task[None]] = set()
    begin = time.perf_counter()
    for number in range(int(rate * seconds)):
        intended = begin + number / rate
        if (wait := intended - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        worst_late = max(worst_late, time.perf_counter() - intended)
        task = asyncio.create_task(one(shots[number % len(shots)], intended))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    elapsed = time.perf_counter() - begin
    for connection in idle:
        connection.close()
    return Outcome(np.array(latencies), tuple(wrong), elapsed, worst_late)


async def _fire(connection: Connection, shot: Shot, wrong: list[str]) -> None:
    try:
        fault = shot.check(await connection.send(shot.request))
    except (OSError, TimeoutError) as error:
        fault = f"{type(error).__name__}: {error}"
    if fault is not None:
        wrong.append(fault)
