"""Measure us and the peers on the same model and the same leads, in one go: ``make bench``, ``make bench-check``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np

from bench import model, systems, workloads
from bench.report import TARGETS, Row, check, page, table
from bench.series import Series
from bench.systems import System
from lead_scoring.contract import files
from lead_scoring.core.scoring import interpret
from lead_scoring.packaging import booster as boosters
from lead_scoring.packaging.folder import read_verified

_LATE_S = 0.050
"""A generator further behind its schedule than this, in the median of its worst moments, voids the run."""

_QUICK_SLACK = 1.35
"""A busy machine moves the ratios of short rounds by up to a fifth."""

Start = Callable[[Callable[[Path, Path], System]], System]


def main(arguments: list[str] | None = None) -> int:
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
        "--against", type=Path, help="a JSON file of an earlier run: fail when a ratio got worse by the factor --slack"
    )
    parser.add_argument("--slack", type=float, default=1.25, help="how much worse a ratio may be (1.25)")
    parser.add_argument(
        "--quick", action="store_true",
        help="only what the ratios are made of, in short rounds (slack 1.35), twice where one got worse: a minute",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.requests, options.open_seconds, options.slack = 5, 400, 0.0, _QUICK_SLACK
        if options.out:
            parser.error("--quick: too short to be recorded")
    with tempfile.TemporaryDirectory(prefix="lead-bench-") as work, ExitStack() as running:
        return _run(options, Path(work), running)


def _run(options: argparse.Namespace, work: Path, running: ExitStack) -> int:
    _say("training the model: 50 features, 400 trees of depth 6")
    folder = model.publish(work / "repository")

    def start(make: Callable[[Path, Path], System]) -> System:
        system = running.enter_context(make(folder, work))
        _say(f"started {system.name} in {system.startup_s:.1f} s")
        return system

    series = _series(folder, start, quick=options.quick)
    _say("every answer is held against offline scores, first of all before timing")
    for one in series:
        one.warm_up(connections=options.connections)
    _measure(series, options)
    before = json.loads(options.against.read_text()) if options.against else None
    rows = [one.row() for one in series]
    if options.quick and before and (worse := check(rows, before, slack=options.slack)):
        _say(f"once more, to be sure: {'; '.join(worse)}")
        for one in series:
            one.forget()
        _measure(series, options)
        rows = [one.row() for one in series]
    return _conclude(options, series, rows, before)


def _series(folder: Path, start: Start, *, quick: bool) -> list[Series]:
    """Start the systems and give each its requests."""
    contract = files.read(folder / "contract.json")
    matrix = model.leads(3000, seed=99)
    margin = boosters.margins(boosters.load(contract, read_verified(folder).model))(matrix.astype(np.float32))
    answers = interpret(contract, margin)
    raw_probability = 1 / (1 + np.exp(-margin.astype(np.float64)))
    us, pair, hand = start(systems.ours), start(systems.stock_pair), start(systems.fastapi)
    same_bytes = [us, pair]
    bare = None
    if not quick:
        same_bytes += [start(partial(systems.ours, name="lead-scoring, gRPC", fast=False)), start(systems.behind_envoy)]
        bare = start(systems.mlserver)
    series: list[Series] = []
    for batch in (1, 500):
        leads = matrix[: 500 if batch == 1 else len(matrix)]
        for named in (False, True):
            shots = workloads.v2_shots(contract, leads, answers, batch=batch, named=named)
            series += [Series(system, f"{batch} {'named' if named else 'packed'}", shots) for system in same_bytes]
        records = workloads.fastapi_shots(contract, leads, answers, batch=batch)
        series.append(Series(hand, f"{batch} named", records))
        if bare is not None:
            tensors = workloads.mlserver_shots(contract, leads, raw_probability, batch=batch)
            series.append(Series(bare, f"{batch} packed", tensors))
    if not quick:
        return series
    compared = {side for target in TARGETS.values() for side in (target[:2], target[2:4])}
    return [one for one in series if (one.system.name, one.workload) in compared]


def _measure(series: list[Series], options: argparse.Namespace) -> None:
    for number in range(options.rounds):
        for one in series:
            requests = options.requests if one.is_single else options.requests // 10
            one.measure(requests, connections=options.connections)
            if options.open_seconds and one.is_single:
                one.measure_open(rate=options.rate, seconds=options.open_seconds)
        _say(f"round {number + 1} of {options.rounds} done")


def _conclude(
    options: argparse.Namespace, series: list[Series], rows: list[Row], before: dict[str, object] | None
) -> int:
    cores = len(os.sched_getaffinity(0))
    text = page(
        rows,
        machine=f"{platform.machine()}, {cores} cores",
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        command=" ".join(["python -m bench", *sys.argv[1:]]),
    )
    sys.stdout.write(text)
    wrong = [f"{one.system.name}, {one.workload}: {fault}" for one in series for fault in one.wrong[:3]]
    for line in wrong:
        _say(f"WRONG ANSWER: {line}")
    late = [one for one in series if one.late_s > _LATE_S]
    for one in late:
        _say(f"VOID: {one.late_s * 1000:.0f} ms behind with {one.system.name}, {one.workload}")
    if wrong or late:
        return 1
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.with_suffix(".json").write_text(json.dumps(table(rows), indent=2) + "\n")
        options.out.with_suffix(".md").write_text(text)
    worse = check(rows, before, slack=options.slack) if before else []
    for line in worse:
        _say(f"WORSE: {line}")
    return 2 if worse else 0


def _say(text: str) -> None:
    sys.stderr.write(f"[bench] {text}\n")


if __name__ == "__main__":
    sys.exit(main())
