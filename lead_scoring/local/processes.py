"""A process runner: starts commands, notices the first that ends, ends all of them in order, leaves none behind.

In the spirit of honcho: SIGTERM, a wait, SIGKILL. Each process writes straight to a file of its own, so the service
runs on even when the runner or its terminal is stopped.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from lead_scoring.local import leash

__all__ = ["Command", "Exit", "Process", "Runner", "last_words"]


@dataclass(frozen=True, slots=True)
class Command:
    """What to run and how much time it gets to end."""

    name: str
    arguments: Sequence[str]
    log: Path
    grace_s: float = 20.0
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended; `code` is negative for a signal."""

    name: str
    code: int
    log: Path

    def __str__(self) -> str:
        how = f"killed by {signal.Signals(-self.code).name}" if self.code < 0 else f"exit code {self.code}"
        return f"{self.name} ended ({how})"


@dataclass(frozen=True, slots=True)
class Process:
    """A command that was started."""

    command: Command
    running: asyncio.subprocess.Process

    @property
    def pid(self) -> int:
        """Its process id, also the id of its process group."""
        return self.running.pid

    @property
    def ended(self) -> bool:
        """Whether it is gone."""
        return self.running.returncode is not None


class Runner:
    """All processes of one stack."""

    def __init__(self) -> None:
        self._processes: dict[str, Process] = {}
        self._hurry = asyncio.Event()

    @property
    def processes(self) -> list[Process]:
        """In the order they were started."""
        return list(self._processes.values())

    async def start(self, command: Command) -> Process:
        """Start a command in a process group of its own, so that Ctrl-C reaches the runner alone.

        Raises:
            OSError: the program can't be run.
        """
        leashed = [sys.executable, "-I", "-S", str(leash.__file__), str(os.getpid()), *command.arguments]
        command.log.parent.mkdir(parents=True, exist_ok=True)
        with command.log.open("wb") as log:
            running = await asyncio.create_subprocess_exec(
                *leashed,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **command.environment},
                start_new_session=True,
            )
        self._processes[command.name] = Process(command, running)
        return self._processes[command.name]

    async def first_exit(self) -> Exit:
        """Wait until any process ends."""
        waiting = {asyncio.create_task(process.running.wait()): process for process in self.processes}
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
        command = waiting[done.pop()].command
        return Exit(command.name, self._processes[command.name].running.returncode or 0, command.log)

    def hurry(self) -> None:
        """Skip what is left of every grace period, now and later."""
        self._hurry.set()

    @property
    def hurried(self) -> bool:
        """Whether somebody lost patience."""
        return self._hurry.is_set()

    async def stop(self, names: Sequence[str]) -> list[str]:
        """End some processes, all at the same time: SIGTERM, their grace, SIGKILL to the whole process group.

        Returns:
            The names of those that had to be killed.
        """
        chosen = [self._processes[name] for name in names if name in self._processes]
        killed = await asyncio.gather(*(self._stop(process) for process in chosen))
        return [process.command.name for process, was_killed in zip(chosen, killed, strict=True) if was_killed]

    async def _stop(self, process: Process) -> bool:
        was_killed = False
        if not process.ended:
            with suppress(ProcessLookupError):
                process.running.terminate()
            was_killed = not await self._ends(process)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # whatever it may have left in its group
        await process.running.wait()
        return was_killed

    async def _ends(self, process: Process) -> bool:
        """Return whether a process ended by itself within its grace."""
        ending = asyncio.create_task(process.running.wait())
        hurrying = asyncio.create_task(self._hurry.wait())
        await asyncio.wait({ending, hurrying}, timeout=process.command.grace_s, return_when=asyncio.FIRST_COMPLETED)
        hurrying.cancel()
        if ending.done():
            return True
        ending.cancel()
        return False


def last_words(log: Path, *, lines: int = 20) -> str:
    """Return the end of what a process wrote."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 64 * 1024))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
