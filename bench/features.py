"""What optional features cost while they are off, and while they are on: ``python -m bench.features``."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

from bench import hooks, model, systems, workloads
from bench.generator import Shot
from bench.report import Row
from bench.series import Series
from bench.systems import System
from lead_scoring.contract import files
from lead_scoring.core.scoring import interpret
from lead_scoring.packaging import booster as boosters
from lead_scoring.packaging.folder import read_verified

CUT, OFF = "taken out of the source", "all off, as shipped"
_COUNTED = 20
_ABOUT = """\
One packed lead a request, the same model and machine as [the peers](bench.md), transformer and predictor together, in
interleaved rounds over 16 connections. *Taken out* is our source without the places where traces, explanations,
cancellation of explanations, prediction times and binary outputs ask whether they are on (`bench/hooks.py`).
Instructions are the bytecode instructions of our own code in the transformer for one request: they do not depend on how
busy the machine is, and do not see what C code does."""


def main(arguments: list[str] | None = None) -> int:
    """Measure; return 0, or 1 for a wrong answer."""
    parser = argparse.ArgumentParser("bench.features", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="interleaved rounds (9)")
    parser.add_argument("--requests", type=int, default=1000, help="requests a round (1000)")
    parser.add_argument("--out", type=Path, help="write the table to this Markdown file")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="lead-features-") as work, ExitStack() as running:
        rows, counts, wrong = measure(Path(work), running, rounds=options.rounds, requests=options.requests)
    text = page(rows, counts, command=" ".join(["python -m bench.features", *sys.argv[1:]]))
    sys.stdout.write(text)
    for fault in wrong:
        sys.stderr.write(f"WRONG ANSWER: {fault}\n")
    if options.out and not wrong:
        options.out.write_text(text)
    return 1 if wrong else 0


def measure(
    work: Path, running: ExitStack, *, rounds: int, requests: int
) -> tuple[list[Row], dict[str, int], list[str]]:
    """Return a row of CPU by feature, bytecode instructions by feature, and what was wrong with answers."""
    folder = model.publish(work / "repository")
    bare = hooks.without(systems.ROOT, work / "bare")
    shots = requests_of(folder)
    sink = running.enter_context(_otlp_sink())
    tracing = {"flags": ("--tracing", "on"), "environment": {"OTEL_EXPORTER_OTLP_ENDPOINT": sink}}
    plain, explained, timed = (shots(parameters) for parameters in (None, {"explain": True}, {"prediction_time": True}))
    start: Callable[..., System] = partial(_start, running, folder, work)
    off = start(OFF)
    series = [
        Series(start(CUT, source=bare), CUT, plain),
        Series(off, OFF, plain),
        Series(off, "prediction time asked for", timed),
        Series(start("no access log", flags=("--access-log", "false")), "access log off too", plain),
        Series(start("tracing", **tracing), "traces on", plain),
        Series(off, "explanations asked for", explained),
    ]
    for one in series:
        one.warm_up(connections=16)
    for _ in range(rounds):
        for one in series:
            one.measure(requests // 5 if one.shots is explained else requests, connections=16)
    counts: dict[str, int] = {}
    counted = {CUT: ({"source": bare}, plain), OFF: ({}, plain), "traces on": (tracing, plain),
               "explanations asked for": ({}, explained), "prediction time asked for": ({}, timed)}  # fmt: skip
    for name, (how, asked) in counted.items():
        counts[name] = instructions(folder, work / "counted" / name.replace(" ", "-"), asked, **how)
    return [one.row() for one in series], counts, [fault for one in series for fault in one.wrong[:3]]


def page(rows: Sequence[Row], counts: Mapping[str, int], *, command: str) -> str:
    """Return the table in Markdown."""
    off = next(row.cpu_ms for row in rows if row.workload == OFF)
    cores = len(os.sched_getaffinity(0))
    lines = [
        "# What features cost",
        "",
        _ABOUT,
        "",
        f"Machine: {platform.machine()}, {cores} cores. Date: {datetime.now(UTC):%Y-%m-%d}. Command: `{command}`.",
        "",
        "| | CPU ms/request (range) | of all off | instructions/request |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row.workload} | {row.cpu_ms:.3f} ({row.cpu_low:.3f}–{row.cpu_high:.3f}) | {row.cpu_ms / off:.2f} "
        f"| {counts.get(row.workload, '–')} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def requests_of(folder: Path) -> Callable[[Mapping[str, object] | None], list[Shot]]:
    """Return what makes requests of one packed lead with parameters of their own."""
    contract = files.read(folder / "contract.json")
    matrix = model.leads(500, seed=99)
    margin = boosters.margins(boosters.load(contract, read_verified(folder).model))(matrix.astype(np.float32))
    answers = interpret(contract, margin)
    return lambda parameters: workloads.v2_shots(contract, matrix, answers, batch=1, named=False, parameters=parameters)


def _start(running: ExitStack, folder: Path, work: Path, name: str, **how: object) -> System:
    system = systems.ours(folder, work, name=name, **how)  # type: ignore[arg-type]
    return running.enter_context(system)


def instructions(folder: Path, work: Path, shots: Sequence[Shot], **how: object) -> int:
    """Return how many a request takes, the median over some of them, one at a time, for a system started just `how`.

    Raises:
        ValueError: an answer was wrong.
    """
    work.mkdir(parents=True)
    counts = work / "counts"
    with ExitStack() as alone:
        system = _start(alone, folder, work, "counted", module=("bench.bytecode", str(counts)), **how)
        series = Series(system, "counted", shots[:_COUNTED])
        series.measure(_COUNTED, connections=1)
    if series.wrong:
        raise ValueError(series.wrong[0])
    return int(statistics.median(int(line) for line in counts.read_text().split()))


@contextmanager
def _otlp_sink() -> Iterator[str]:
    """Take traces and throw them away; yields the endpoint."""

    class Sink(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Sink) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


if __name__ == "__main__":
    sys.exit(main())
