"""What reaches the terminal of all that the processes write."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from lead_scoring.local.log_follower import follow, is_warning
from tests.support.stack import until

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("line", "warns"),
    [
        (b"[2026-11-21 09:39:44.657][1][warning][config] something", True),
        (b"[2026-11-21 09:39:44.657][1][critical][main] something", True),
        (b"[2026-11-21 09:39:44.657][1][info][main] no error here", False),
        (b"[2026-11-21 09:39:44.657][1][warning][main] [server.cc:1] caught ENVOY_SIGTERM", False),
        (b'{"time":"x","level":"ERROR","message":"x"}', True),
        (b'{"level": "warning", "message": "x"}', True),
        (b'{"level":"INFO","message":"error rate 0"}', False),
        (b"Traceback (most recent call last):", True),
        (b"", False),
    ],
)
def test_warnings_are_told_from_the_rest(line: bytes, warns: bool) -> None:
    assert is_warning(line) is warns


@pytest.mark.parametrize(
    ("everything", "expected"), [(True, ["one   | a", "one   | WARN b"]), (False, ["one   | WARN b"])]
)
async def test_lines_come_whole_and_once_with_their_name(tmp_path: Path, everything: bool, expected: list[str]) -> None:
    said: list[str] = []
    logs = {"one": tmp_path / "one.log", "three": tmp_path / "three.log"}
    following = asyncio.create_task(follow(logs, said.append, everything=everything, every_s=0.001))
    await asyncio.sleep(0.01)
    with (tmp_path / "one.log").open("ab", buffering=0) as log:
        log.write(b"a\nWARN ")
        await asyncio.sleep(0.01)
        assert "one   | WARN " not in said
        log.write(b"b\n")
    await asyncio.to_thread(until, lambda: said == expected, "the lines are said")
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following
    assert said == expected


async def test_what_was_there_before_can_be_left_out(tmp_path: Path) -> None:
    said: list[str] = []
    log = tmp_path / "one.log"
    log.write_bytes(b"WARN old\n")
    following = asyncio.create_task(follow({"one": log}, said.append, everything=False, from_now=True, every_s=0.001))
    await asyncio.sleep(0.01)
    with log.open("ab") as file:
        file.write(b"WARN new\n")
    await asyncio.to_thread(until, lambda: said == ["one | WARN new"], "the new line alone is said")
    following.cancel()


async def test_a_line_without_end_does_not_hold_up_the_rest(tmp_path: Path) -> None:
    said: list[str] = []
    log = tmp_path / "one.log"
    log.write_bytes(b"x" * 300_000 + b"\nlast\n")
    following = asyncio.create_task(follow({"one": log}, said.append, everything=True, every_s=0.001))
    await asyncio.to_thread(until, lambda: said[-1:] == ["one | last"], "the last line is said")
    following.cancel()
