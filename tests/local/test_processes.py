"""The process runner with real processes: how they end, and that none is left."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from lead_scoring.local.processes import Command, Runner, last_words
from tests.support.stack import DEADLINE_S, ROOT, alive, until

pytestmark = pytest.mark.anyio

SLEEP = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)
POLITE = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: (print('bye', flush=True), sys.exit(0)));"
    "print('up', flush=True); time.sleep(600)"
)
PARENT = (
    f"import subprocess, sys; print('up', subprocess.Popen([sys.executable, '-c', {SLEEP!r}]).pid, flush=True); {SLEEP}"
)


def command(work: Path, name: str, code: str, grace_s: float = DEADLINE_S) -> Command:
    return Command(name, [sys.executable, "-c", code], work / f"{name}.log", grace_s)


async def up(work: Path, *names: str) -> None:
    await asyncio.to_thread(until, lambda: all("up" in (work / f"{n}.log").read_text() for n in names), "all are up")


async def test_the_first_that_ends_is_noticed_with_its_last_words(tmp_path: Path) -> None:
    runner = Runner()
    await runner.start(command(tmp_path, "long", SLEEP))
    await runner.start(command(tmp_path, "short", "for n in range(100): print('line', n)\nraise SystemExit(3)"))
    ended = await asyncio.wait_for(runner.first_exit(), DEADLINE_S)
    assert (ended.name, ended.code, str(ended)) == ("short", 3, "short ended (exit code 3)")
    assert last_words(ended.log, lines=2) == "line 98\nline 99"
    await runner.stop(["long", "short"])
    assert not any(alive(process.pid) for process in runner.processes)


async def test_a_signal_is_named(tmp_path: Path) -> None:
    runner = Runner()
    process = await runner.start(command(tmp_path, "long", SLEEP))
    os.kill(process.pid, signal.SIGKILL)
    assert str(await asyncio.wait_for(runner.first_exit(), DEADLINE_S)) == "long ended (killed by SIGKILL)"


async def test_who_heeds_sigterm_is_not_killed_and_who_does_not_is(tmp_path: Path) -> None:
    runner = Runner()
    await runner.start(command(tmp_path, "polite", POLITE))
    await runner.start(command(tmp_path, "stubborn", STUBBORN, grace_s=0.2))
    await up(tmp_path, "polite", "stubborn")
    assert await runner.stop(["polite", "stubborn"]) == ["stubborn"]
    assert last_words(tmp_path / "polite.log") == "up\nbye"
    assert not any(alive(process.pid) for process in runner.processes)


async def test_a_lost_patience_skips_the_grace(tmp_path: Path) -> None:
    runner = Runner()
    await runner.start(command(tmp_path, "stubborn", STUBBORN, grace_s=10 * DEADLINE_S))
    await up(tmp_path, "stubborn")
    stopping = asyncio.create_task(runner.stop(["stubborn"]))
    await asyncio.sleep(0)
    assert not stopping.done()
    runner.hurry()
    assert await asyncio.wait_for(stopping, DEADLINE_S) == ["stubborn"]


async def test_what_a_process_started_ends_with_it(tmp_path: Path) -> None:
    runner = Runner()
    await runner.start(command(tmp_path, "parent", PARENT))
    await up(tmp_path, "parent")
    grandchild = int((tmp_path / "parent.log").read_text().split()[1])
    await runner.stop(["parent"])
    until(lambda: not alive(grandchild), "the grandchild is gone")


async def test_a_program_that_is_not_there_has_last_words_too(tmp_path: Path) -> None:
    runner = Runner()
    await runner.start(Command("nobody", [str(tmp_path / "nobody")], tmp_path / "nobody.log"))
    ended = await asyncio.wait_for(runner.first_exit(), DEADLINE_S)
    assert ended.code == 1
    assert "FileNotFoundError" in last_words(ended.log)


def test_nothing_outlives_a_runner_that_is_killed(tmp_path: Path) -> None:
    code = f"""
        import asyncio, sys
        from pathlib import Path
        from lead_scoring.local.processes import Command, Runner

        async def main():
            runner = Runner()
            work = Path({str(tmp_path)!r})
            for name in ("one", "two"):
                words = [sys.executable, "-c", {STUBBORN!r}]
                process = await runner.start(Command(name, words, work / (name + ".log")))
                print(process.pid, flush=True)
            await asyncio.sleep(600)

        asyncio.run(main())
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, cwd=ROOT) as runner:
        assert runner.stdout is not None
        pids = [int(runner.stdout.readline()) for _ in range(2)]
        until(lambda: all("up" in (tmp_path / f"{name}.log").read_text() for name in ("one", "two")), "both are up")
        assert all(map(alive, pids))
        runner.kill()
    until(lambda: not any(map(alive, pids)), "no orphan is left")


def test_a_log_that_is_not_there_has_no_last_words(tmp_path: Path) -> None:
    assert last_words(tmp_path / "nothing.log") == ""
