"""The benchmark itself: it starts us and the peers, checks every answer, and fails when it should."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import features, hooks, model, report, systems
from bench.connections import Response, build_request
from bench.generator import Outcome, Shot, run_closed, run_open
from bench.report import TARGETS, Row

ROOT = Path(__file__).resolve().parents[2]


def _row(system: str, workload: str, cpu_ms: float) -> Row:
    return Row(system, workload, cpu_ms, cpu_ms, cpu_ms, None, 1.0, None, None, 1.0, 1.0)


def _rows(ours: float) -> list[Row]:
    sides = {(system, workload) for first in TARGETS.values() for system, workload in (first[:2], first[2:4])}
    return [_row(system, workload, ours if system == report.US else 1.0) for system, workload in sorted(sides)]


def test_a_ratio_that_got_worse_by_more_than_a_quarter_is_named() -> None:
    before = report.table(_rows(0.2))
    assert report.check(_rows(0.24), before) == []
    assert len(report.check(_rows(0.26), before)) == len(TARGETS)


def test_a_slower_machine_changes_no_ratio() -> None:
    slower = [_row(row.system, row.workload, row.cpu_ms * 7) for row in _rows(0.2)]
    assert report.check(slower, report.table(_rows(0.2))) == []


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while head := await reader.readuntil(b"\r\n\r\n"):
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))


def _serve_and(run_name: str, body: bytes, expected: bytes) -> Outcome:
    def check(response: Response) -> str | None:
        return None if (response.status, response.body) == (200, expected) else "wrong"

    async def run() -> Outcome:
        async with await asyncio.start_server(_answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            shots = [Shot(build_request("/", body), check)]
            if run_name == "closed":
                return await run_closed("127.0.0.1", port, shots, connections=3, requests=50)
            return await run_open("127.0.0.1", port, shots, rate=100, seconds=0.5)

    with asyncio.Runner() as runner:
        return runner.run(run())


@pytest.mark.parametrize("loop", ["closed", "open"])
def test_every_answer_is_counted_and_checked(loop: str) -> None:
    right = _serve_and(loop, b"yes" * 40_000, b"yes" * 40_000)
    assert (len(right.latencies_s), right.wrong) == (50, ())
    assert len(_serve_and(loop, b"no", b"yes").wrong) == 50


def test_a_server_that_is_not_there_is_wrong_not_fast() -> None:
    async def run() -> Outcome:
        return await run_open("127.0.0.1", 1, [Shot(b"", lambda _: None)], rate=50, seconds=0.2)

    with asyncio.Runner() as runner:
        assert len(runner.run(run()).wrong) == 10


@pytest.mark.timeout(300)
def test_features_cost_nothing_while_they_are_off(tmp_path: Path) -> None:
    """Counted in bytecode instructions, against our source with the hooks of these features taken out."""
    folder = model.publish(tmp_path / "repository")
    shots = features.requests_of(folder)
    bare = features.instructions(
        folder, tmp_path / "bare", shots(None), source=hooks.without(systems.ROOT, tmp_path / "source")
    )
    off = features.instructions(folder, tmp_path / "off", shots(None))
    on = features.instructions(folder, tmp_path / "on", shots({"explain": True}))
    assert 0 < bare <= off < 1.03 * bare
    assert on > 1.1 * bare


def test_a_hook_that_has_moved_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "HOOKS", {"transformers/lead_transformer/calls.py": ("self._gone is not None",)})
    with pytest.raises(LookupError, match="_gone"):
        hooks.without(systems.ROOT, tmp_path / "source")


@pytest.mark.timeout(400)
def test_a_ratio_that_got_worse_fails_the_quick_check(tmp_path: Path) -> None:
    """Four times as good is what they are said to have been."""
    before = json.loads((ROOT / "docs" / "bench.json").read_text())
    (tmp_path / "before.json").write_text(
        json.dumps({"ratios": {name: value / 4 for name, value in before["ratios"].items()}})
    )
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "--against", str(tmp_path / "before.json")],
        cwd=ROOT, capture_output=True, text=True, timeout=380, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("WORSE:") == len(TARGETS)
    assert "once more, to be sure" in done.stderr


@pytest.mark.timeout(400)
def test_us_and_the_peers_answer_alike(tmp_path: Path) -> None:
    """Timing is for quiet machines; that all six systems give the offline answers is for every machine."""
    out = tmp_path / "bench"
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--rounds", "1", "--requests", "64", "--open-seconds", "0", "--out", str(out)],
        cwd=ROOT, capture_output=True, text=True, timeout=380, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    measured = json.loads(out.with_suffix(".json").read_text())
    assert {row["system"] for row in measured["rows"]} == {
        report.US,
        "lead-scoring, gRPC",
        "lead-scoring, Envoy",
        *_peers(),
    }
    assert set(measured["ratios"]) == set(TARGETS)
    assert all(ratio > 0 for ratio in measured["ratios"].values())
    assert "| CPU ratio |" in out.with_suffix(".md").read_text()


def _peers() -> tuple[str, ...]:
    return report.PAIR, report.BARE, report.HAND
