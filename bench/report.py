"""The figures as a table for people and as ratios for the regression check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["TARGETS", "Row", "check", "page", "ratios", "table"]

US, PAIR, BARE, HAND = "lead-scoring", "stock pair", "MLServer REST", "FastAPI by hand"

TARGETS: Mapping[str, tuple[str, str, str, str, float]] = {
    "one lead packed / stock pair": (US, "1 packed", PAIR, "1 packed", 0.25),
    "one lead packed / FastAPI": (US, "1 packed", HAND, "1 named", 1.0),
    "one lead named / FastAPI": (US, "1 named", HAND, "1 named", 1.0),
    "500 leads packed / stock pair": (US, "500 packed", PAIR, "500 packed", 0.4),
    "500 leads named / stock pair": (US, "500 named", PAIR, "500 named", 0.6),
}
"""CPU ratios: whose workload over whose, and what it may be at the most."""

_ABOUT = """\
One model (50 numeric features, 400 trees of depth 6), the same leads, all systems in one go in interleaved rounds,
every answer held against offline scores while it is timed. CPU is that of the system's whole process tree over a
closed loop with 16 connections, the median of the rounds with their range; Envoy's share stands beside it. The open
loop sends 300 requests a second, latency from the intended start. `gRPC` is our pair without its unix socket. Of the
stock pair and MLServer these are the best settings: no worker pool, no debug, no latency logging. FastAPI gets
records, the others V2 tensors; where the form is the same, so are the bytes, but for MLServer alone, which knows no
lead ids. Only ratios are compared between runs. What features cost: [bench-features.md](bench-features.md)."""
_HEAD = (
    "leads, form", "system", "CPU ms/request (range)", "Envoy's", "requests/s", "open p50 ms", "open p99 ms", "RSS MB",
    "start s",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One system under one workload: medians over the rounds, CPU with its range."""

    system: str
    workload: str
    cpu_ms: float
    cpu_low: float
    cpu_high: float
    gateway_ms: float | None
    per_second: float
    open_p50_ms: float | None
    open_p99_ms: float | None
    rss_mb: float
    startup_s: float


def ratios(rows: Sequence[Row]) -> dict[str, float]:
    """Return the ratios of CPU per request that `TARGETS` names."""
    cpu = {(row.system, row.workload): row.cpu_ms for row in rows}
    return {
        name: cpu[system, workload] / cpu[peer, peer_workload]
        for name, (system, workload, peer, peer_workload, _) in TARGETS.items()
    }


def table(rows: Sequence[Row]) -> dict[str, Any]:
    """Return everything as JSON values."""
    return {"rows": [asdict(row) for row in rows], "ratios": ratios(rows)}


def check(rows: Sequence[Row], before: Mapping[str, Any], *, slack: float = 1.25) -> list[str]:
    """Return what got worse by more than `slack` since an earlier `table`; only ratios are compared, never times."""
    now = ratios(rows)
    return [
        f"{name}: {now[name]:.2f}, was {value:.2f}"
        for name, value in before["ratios"].items()
        if now[name] > value * slack
    ]


def page(rows: Sequence[Row], *, machine: str, date: str, command: str) -> str:
    """Return the report in Markdown."""
    lines = [
        "# Beside the peers",
        "",
        _ABOUT,
        "",
        f"Machine: {machine}. Date: {date}. Command: `{command}`.",
        "",
        f"| {' | '.join(_HEAD)} |",
        f"|{' --- |' * len(_HEAD)}",
    ]
    ordered = sorted(rows, key=lambda row: (row.workload.split()[0] != "1", row.workload, row.cpu_ms))
    lines += [_line(row) for row in ordered]
    lines += ["", "| CPU ratio | measured | at most |", "| --- | --- | --- |"]
    lines += [f"| {name} | {value:.2f} | {TARGETS[name][-1]:.2f} |" for name, value in ratios(rows).items()]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    cells = [
        row.workload,
        row.system,
        f"{row.cpu_ms:.2f} ({row.cpu_low:.2f}–{row.cpu_high:.2f})",
        "–" if row.gateway_ms is None else f"{row.gateway_ms:.2f}",
        f"{row.per_second:.0f}",
        _or_dash(row.open_p50_ms),
        _or_dash(row.open_p99_ms),
        f"{row.rss_mb:.0f}",
        f"{row.startup_s:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def _or_dash(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
