"""The real stack on a free port: Envoy, and transformer and MLServer for two versions, started as by `make run`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lead_scoring.contract import files
from lead_scoring.contract.types import Contract
from lead_scoring.local.ports import free_ports
from lead_scoring.local.run_folder import RunFolder, State
from tests.support import small_model

ROOT = Path(__file__).resolve().parent.parent.parent
SHIPPED = ROOT / "model-repo"
DEADLINE_S = 120.0
"""For whatever should take a second: the machine may be busy."""


def until(condition: Callable[[], bool], what: str, *, within_s: float = DEADLINE_S, every_s: float = 0.02) -> None:
    """Wait until something is so; fail if it doesn't become so."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(every_s)


def alive(pid: int) -> bool:
    """Return whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@dataclass
class Stack:
    """A stack that runs."""

    process: subprocess.Popen[bytes]
    folder: RunFolder
    repository: Path
    output: Path
    """What `up` printed so far."""

    @property
    def state(self) -> State:
        return self.folder.load_state()

    @property
    def port(self) -> int:
        return self.state.port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def grpc(self) -> str:
        return f"127.0.0.1:{self.port}"

    def contract(self, role: str = "stable") -> Contract:
        """Return the contract of `stable` or `canary`."""
        return files.read(Path(self.state.variant(role).folder) / "contract.json")

    def metrics(self, role: str) -> dict[str, float]:
        """Return what a variant's transformer counts, by the text in front of the number."""
        port = self.state.variant(role).rest_port
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        pairs = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}

    def pids(self) -> list[int]:
        """Return the runner and all that it started."""
        return [self.process.pid, *self.state.pids.values()]

    def stop(self) -> int:
        """End it as Ctrl-C does; return the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(DEADLINE_S)


def versions(work: Path) -> Path:
    """Return a model repository with versions 1 and 2: the shipped one if it has both, else small models."""
    if all((SHIPPED / "lead-scoring" / version / "SHA256SUMS").exists() for version in ("1", "2")):
        return SHIPPED
    return small_versions(work)


def small_versions(work: Path) -> Path:
    """Return a model repository with two different versions that load at once."""
    repository = work / "model-repo"
    small_model.build(repository, "1")
    small_model.build(repository, "2", seed=1, rounds=30)
    return repository


@contextmanager
def running_stack(
    work: Path, repository: Path, *options: str, run_root: Path | None = None, command: Sequence[str] = ()
) -> Iterator[Stack]:
    """Start a stack, wait until it says that it is ready, end it.

    Args:
        work: an empty folder for its state and output.
        repository: a model repository with versions 1 and 2.
        options: more options for `up`.
        run_root: where state is kept; two stacks may share it.
        command: starts the stack instead of `up`; `{port}` stands for the port.
    """
    port = free_ports(1)[0]
    run_root = run_root or work / ".run"
    up = [sys.executable, "-c", "import sys; from lead_scoring.cli import main; sys.exit(main())", "up"]
    up += ["--port", str(port), "--repository", str(repository), "--run-root", str(run_root), *options]
    chosen = [word.format(port=port) for word in command] or up
    output = work / "up.log"
    with output.open("wb") as log:
        process = subprocess.Popen(
            chosen,
            cwd=ROOT,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    stack = Stack(process, RunFolder(run_root.absolute() / str(port)), repository, output)
    try:
        until(lambda: b"Ctrl-C ends it all" in output.read_bytes() or process.poll() is not None, "ready")
        assert process.poll() is None, output.read_text()
        yield stack
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
