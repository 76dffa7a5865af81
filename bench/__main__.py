"""Measure us and the peers on the same model and the same leads, in one go: ``make bench``."""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import uvloop

from bench import model, systems, workloads
from bench.generator import Outcome, Shot, run_closed, run_open
from bench.report import Row, check, page, table
from bench.systems import System
from lead_scoring.contract import files
from lead_scoring.core.scoring import interpret
from lead_scoring.packaging import booster as boosters
from lead_scoring.packaging.folder import read_verified

_LATE_S = 0.050
"""A generator further behind its schedule than this, in the median of its worst moments, voids the run."""


@dataclass
class Series:
    """One system under one workload, over all rounds."""

    system: System
    workload: str
    shots: list[Shot]
    cpu_ms: list[float] = field(default_factory=list)
    gateway_ms: list[float] = field(default_factory=list)
    per_second: list[float] = field(default_factory=list)
    open_p50_ms: list[float] = field(default_factory=list)
    open_p99_ms: list[float] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def main() -> int:
    """Run the benchmark; return 0, 1 for a wrong answer or a void run, 2 for a ratio worse than `--against` allows."""
    parser = argparse.ArgumentParser(
        "bench", description=__doc__, epilog="example: python -m bench --rounds 5 --out docs/bench",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (5)")
    parser.add_argument("--requests", type=int, default=2000, help="closed-loop requests of one lead a round (2000)")
    parser.add_argument(
        "--open-seconds", type=float, default=6.0, help="seconds of open loop a round; 0 leaves it out (6)"
    )
    parser.add_argument("--rate", type=float, default=300.0, help="open-loop requests a second (300)")
    parser.add_argument("--connections", type=int, default=16, help="closed-loop connections (16)")
    parser.add_argument("--out", type=Path, help="write the figures to OUT.json and OUT.md")
    parser.add_argument(
        "--against", type=Path, help="a JSON file of an earlier run: fail when a ratio got worse by a quarter"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lead-bench-") as work:
        return _run(options, Path(work))


def _run(options: argparse.Namespace, work: Path) -> int:
    _say("training the model: 50 features, 400 trees of depth 6")
    folder = model.publish(work / "repository")
    contract = files.read(folder / "contract.json")
    matrix = model.leads(3000, seed=99)
    predict = boosters.margins(boosters.load(contract, read_verified(folder).model))
    margin = predict(matrix.astype(np.float32))
    answers = interpret(contract, margin)
    raw_probability = 1 / (1 + np.exp(-margin.astype(np.float64)))
    series: list[Series] = []
    with ExitStack() as running:

        def start(make: Callable[[Path, Path], System]) -> System:
            system = running.enter_context(make(folder, work))
            _say(f"started {system.name} in {system.startup_s:.1f} s")
            return system

        us, pair = start(systems.ours), start(systems.stock_pair)
        slow = start(partial(systems.ours, fast=False))
        gated = start(systems.behind_envoy)
        bare, hand = start(systems.mlserver), start(systems.fastapi)
        for batch in (1, 500):
            leads = matrix[: 500 if batch == 1 else len(matrix)]
            for named in (False, True):
                shape = f"{batch} {'named' if named else 'packed'}"
                for system in (us, slow, gated, pair):
                    shots = workloads.v2_shots(
                        contract, leads, answers, batch=batch, named=named, lead_ids=system is not pair
                    )
                    series.append(Series(system, shape, shots))
            series.append(
                Series(bare, f"{batch} packed", workloads.mlserver_shots(contract, leads, raw_probability, batch=batch))
            )
            series.append(
                Series(hand, f"{batch} named", workloads.fastapi_shots(contract, leads, answers, batch=batch))
            )
        _say("every answer is held against offline scores, first of all before timing")
        for one in series:
            _measure(one, options, requests=max(40, len(one.shots)), record=False)
        for number in range(options.rounds):
            for one in series:
                _measure(
                    one, options, requests=options.requests if one.workload.startswith("1 ") else options.requests // 10
                )
                if options.open_seconds and one.workload.startswith("1 "):
                    _measure_open(one, options)
            _say(f"round {number + 1} of {options.rounds} done")
        memory = {system.name: system.rss_mb() for system in (us, slow, gated, pair, bare, hand)}
        startup = {system.name: system.startup_s for system in (us, slow, gated, pair, bare, hand)}
    return _conclude(options, series, memory, startup)


def _measure(series: Series, options: argparse.Namespace, *, requests: int, record: bool = True) -> None:
    before, gateway_before = series.system.cpu_s(), series.system.gateway_cpu_s()
    outcome = _loop(
        run_closed("127.0.0.1", series.system.port, series.shots, connections=options.connections, requests=requests)
    )
    spent, gateway_after = series.system.cpu_s() - before, series.system.gateway_cpu_s()
    series.wrong += outcome.wrong
    if record:
        series.cpu_ms.append(1000 * spent / requests)
        series.per_second.append(outcome.per_second)
        if gateway_before is not None and gateway_after is not None:
            series.gateway_ms.append(1000 * (gateway_after - gateway_before) / requests)


def _measure_open(series: Series, options: argparse.Namespace) -> None:
    outcome = _loop(
        run_open("127.0.0.1", series.system.port, series.shots, rate=options.rate, seconds=options.open_seconds)
    )
    series.wrong += outcome.wrong
    series.open_p50_ms.append(outcome.percentile_ms(50))
    series.open_p99_ms.append(outcome.percentile_ms(99))
    series.late_s.append(outcome.late_s)


def _loop(work: object) -> Outcome:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)  # type: ignore[arg-type]


def _conclude(
    options: argparse.Namespace, series: list[Series], memory: dict[str, float], startup: dict[str, float]
) -> int:
    rows = [
        Row(
            system=one.system.name,
            workload=one.workload,
            cpu_ms=statistics.median(one.cpu_ms),
            cpu_low=min(one.cpu_ms),
            cpu_high=max(one.cpu_ms),
            gateway_ms=statistics.median(one.gateway_ms) if one.gateway_ms else None,
            per_second=statistics.median(one.per_second),
            open_p50_ms=statistics.median(one.open_p50_ms) if one.open_p50_ms else None,
            open_p99_ms=statistics.median(one.open_p99_ms) if one.open_p99_ms else None,
            rss_mb=memory[one.system.name],
            startup_s=startup[one.system.name],
        )
        for one in series
    ]
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    machine = f"{platform.machine()}, 2 cores" if (cores := _cores()) == 2 else f"{platform.machine()}, {cores} cores"
    text = page(rows, machine=machine, date=when, command="make bench")
    sys.stdout.write(text)
    wrong = [f"{one.system.name}, {one.workload}: {fault}" for one in series for fault in one.wrong[:3]]
    for line in wrong:
        _say(f"WRONG ANSWER: {line}")
    late = [one for one in series if one.late_s and statistics.median(one.late_s) > _LATE_S]
    for one in late:
        _say(f"VOID: {statistics.median(one.late_s) * 1000:.0f} ms behind with {one.system.name}, {one.workload}")
    if wrong or late:
        return 1
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.with_suffix(".json").write_text(json.dumps(table(rows), indent=2) + "\n")
        options.out.with_suffix(".md").write_text(text)
    if options.against:
        worse = check(table(rows), json.loads(options.against.read_text()))
        for line in worse:
            _say(f"WORSE: {line}")
        return 2 if worse else 0
    return 0


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0))


def _say(text: str) -> None:
    sys.stderr.write(f"[bench] {text}\n")


if __name__ == "__main__":
    sys.exit(main())
