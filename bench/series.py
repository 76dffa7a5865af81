"""One system under one workload, measured again and again."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import uvloop

from bench.generator import Outcome, Shot, run_closed, run_open
from bench.report import Row
from bench.systems import System

__all__ = ["Series"]

_HOST = "127.0.0.1"


@dataclass
class Series:
    """What the rounds found; medians of it make a `Row`.

    Attributes:
        system, workload, shots: who gets which requests.
        wrong: what was wrong with answers, warm-up included.
    """

    system: System
    workload: str
    shots: Sequence[Shot]
    wrong: list[str] = field(default_factory=list)
    _cpu_ms: list[float] = field(default_factory=list)
    _gateway_ms: list[float] = field(default_factory=list)
    _per_second: list[float] = field(default_factory=list)
    _open_p50_ms: list[float] = field(default_factory=list)
    _open_p99_ms: list[float] = field(default_factory=list)
    _late_s: list[float] = field(default_factory=list)

    @property
    def is_single(self) -> bool:
        """Whether its requests carry one lead."""
        return self.workload.startswith("1 ")

    @property
    def late_s(self) -> float:
        """How far the generator was behind its schedule at the worst, the median over the rounds."""
        return statistics.median(self._late_s) if self._late_s else 0.0

    def forget(self) -> None:
        """Start anew, but keep what was wrong."""
        for found in (self._cpu_ms, self._gateway_ms, self._per_second, self._open_p50_ms, self._open_p99_ms):
            found.clear()
        self._late_s.clear()

    def warm_up(self, *, connections: int) -> None:
        """Send every request once, and 40 at the least; nothing is kept but wrong answers."""
        self._close_loop(max(40, len(self.shots)), connections)

    def measure(self, requests: int, *, connections: int) -> None:
        """Add a round of the closed loop."""
        cpu_before, gateway_before = self.system.cpu_s(), self.system.gateway_cpu_s()
        outcome = self._close_loop(requests, connections)
        spent_s, gateway_after = self.system.cpu_s() - cpu_before, self.system.gateway_cpu_s()
        self._cpu_ms.append(1000 * spent_s / requests)
        self._per_second.append(outcome.per_second)
        if gateway_before is not None and gateway_after is not None:
            self._gateway_ms.append(1000 * (gateway_after - gateway_before) / requests)

    def measure_open(self, *, rate: float, seconds: float) -> None:
        """Add a round of the open loop."""
        outcome = _run(run_open(_HOST, self.system.port, self.shots, rate=rate, seconds=seconds))
        self.wrong += outcome.wrong
        self._open_p50_ms.append(outcome.percentile_ms(50))
        self._open_p99_ms.append(outcome.percentile_ms(99))
        self._late_s.append(outcome.late_s)

    def row(self) -> Row:
        """Return the figures of the rounds so far, at least one."""
        return Row(
            system=self.system.name,
            workload=self.workload,
            cpu_ms=statistics.median(self._cpu_ms),
            cpu_low=min(self._cpu_ms),
            cpu_high=max(self._cpu_ms),
            gateway_ms=_median(self._gateway_ms),
            per_second=statistics.median(self._per_second),
            open_p50_ms=_median(self._open_p50_ms),
            open_p99_ms=_median(self._open_p99_ms),
            rss_mb=self.system.rss_mb(),
            startup_s=self.system.startup_s,
        )

    def _close_loop(self, requests: int, connections: int) -> Outcome:
        outcome = _run(run_closed(_HOST, self.system.port, self.shots, connections=connections, requests=requests))
        self.wrong += outcome.wrong
        return outcome


def _run(work: Coroutine[Any, Any, Outcome]) -> Outcome:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def _median(found: Sequence[float]) -> float | None:
    return statistics.median(found) if found else None
